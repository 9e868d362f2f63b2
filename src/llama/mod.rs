//! llama.cpp built into this library: the adapter behind [`HostTable`](crate::host::HostTable) for
//! programs that bring no llama.cpp of their own, such as the `sda` command.

// Calls llama.cpp's C API where llama-cpp-2 has no safe wrapper (samplers of ours, log).
#![allow(unsafe_code)]

mod adapter;
mod architecture;
mod chain;
mod context;
mod device;
mod dry;
mod fatal;
mod gbnf;
mod grammar;
mod load;
mod log;
mod model;
#[cfg(any(test, feature = "dynamic-backends"))]
mod modules;
mod numa;
mod options;
mod order;
mod overrides;
mod parts;
mod path;
mod raw;
mod rope;
mod rpc;
mod sampling;
mod template;
mod threads;

pub use llama_cpp_2::context::params::KvCacheType;

pub use adapter::{Adapter, LayerRange};
pub use chain::{Chain, Head};
pub use device::{Device, DeviceKind, device_backends, device_names, devices, max_devices};
pub use fatal::on_fatal;
pub use grammar::{Grammar, GrammarSampler};
pub use load::{GpuLayers, ModelOptions, SplitMode};
pub use log::{LogLine, set_log};
pub use model::{Model, backend};
pub use numa::{Numa, use_numa};
pub use options::{ContextOptions, MAX_CELLS, MAX_ROWS, MAX_SEQUENCES, MAX_THREADS};
pub use order::{Plan, SamplerKind};
pub use overrides::{KvOverride, KvValue, TensorOverride};
pub use rope::{Rope, RopeScaling};
pub use rpc::{add_rpc_servers, supports_rpc};
pub use sampling::Sampling;
pub use threads::{CpuSet, Priority, ThreadOptions};
