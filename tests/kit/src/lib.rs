//! What the tests of this repository share; never published.

pub mod again;
pub mod fake_host;
pub mod fault_server;
pub mod ffi;
pub mod gguf;
pub mod gguf_write;
pub mod maths;
pub mod oracle;
pub mod rng;
pub mod sda_h;
