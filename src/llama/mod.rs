//! llama.cpp built into this library: the adapter behind [`HostTable`](crate::host::HostTable) for
//! programs that bring no llama.cpp of their own, such as the `sda` command.

// Calls llama.cpp's C API where llama-cpp-2 has no safe wrapper (samplers, log).
#![allow(unsafe_code)]

mod chain;
mod context;
mod log;
mod model;
mod path;
mod sampling;
mod template;

pub use llama_cpp_2::context::params::KvCacheType;

pub use chain::{Chain, Head};
pub use context::ContextOptions;
pub use log::{LogLine, set_log};
pub use model::{Model, ModelOptions, backend};
pub use sampling::Sampling;
