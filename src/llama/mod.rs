//! llama.cpp built into this library: the adapter behind [`HostTable`](crate::host::HostTable) for
//! programs that bring no llama.cpp of their own, such as the `sda` command.

// Calls llama.cpp's C API where llama-cpp-2 has no safe wrapper (samplers, log).
#![allow(unsafe_code)]

mod architecture;
mod chain;
mod context;
mod gbnf;
mod grammar;
mod log;
mod model;
mod options;
mod parts;
mod path;
mod sampling;
mod template;

pub use llama_cpp_2::context::params::KvCacheType;

pub use chain::{Chain, Head};
pub use grammar::{Grammar, GrammarSampler};
pub use log::{LogLine, set_log};
pub use model::{Model, ModelOptions, backend};
pub use options::{ContextOptions, MAX_CELLS, MAX_ROWS, MAX_SEQUENCES, MAX_THREADS};
pub use sampling::Sampling;
