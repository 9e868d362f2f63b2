//! llama.cpp built into this library: the adapter behind [`HostTable`](crate::host::HostTable) for
//! programs that bring no llama.cpp of their own, such as the `sda` command.

// Calls llama.cpp's C API where llama-cpp-2 has no safe wrapper (samplers, log).
#![allow(unsafe_code)]

mod architecture;
mod chain;
mod context;
mod device;
mod gbnf;
mod grammar;
mod load;
mod log;
mod model;
mod options;
mod parts;
mod path;
mod raw;
mod sampling;
mod template;

pub use llama_cpp_2::context::params::KvCacheType;

pub use chain::{Chain, Head};
pub use device::{Device, DeviceKind, device_names, devices, max_devices};
pub use grammar::{Grammar, GrammarSampler};
pub use load::{GpuLayers, ModelOptions, SplitMode};
pub use log::{LogLine, set_log};
pub use model::{Model, backend};
pub use options::{ContextOptions, MAX_CELLS, MAX_ROWS, MAX_SEQUENCES, MAX_THREADS};
pub use sampling::Sampling;
