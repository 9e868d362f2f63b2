//! The port to llama.cpp: a table of C functions that the host fills in.
//!
//! llama.cpp's ABI moves, so this library never links it and never builds one of its structs. All it
//! needs passes through [`HostTable`]: a C host fills it by including `sda_llama.h`, which is compiled
//! against the host's own `llama.h`; the `bundled` feature fills it from the llama.cpp built into this
//! library; tests fill it with a fake.

// The one place of the core that calls foreign function pointers and is called by them.
#![allow(unsafe_code)]

mod candidates;
mod context;
pub mod llama_sampler;
mod table;

pub use candidates::{TokenData, TokenDataArray};
pub use context::{Context, Decoded, Logits, LogitsRow};
pub use table::{Host, HostTable, LOG_WARN, LlamaContext, LlamaSampler, Row, SeqId, Token};
