//! The port to llama.cpp: a table of C functions that the host fills in.
//!
//! llama.cpp's ABI moves, so this library never links it and never builds one of its structs. All it
//! needs passes through [`HostTable`]: a C host fills it by including `sda_llama.h`, which is compiled
//! against the host's own `llama.h`; the `bundled` feature fills it from the llama.cpp built into this
//! library; tests fill it with a fake.

// The one place of the core that calls foreign function pointers.
#![allow(unsafe_code)]

mod context;
mod table;

pub use context::{Context, Decoded, Logits, LogitsRow};
pub use table::{Host, HostTable, LOG_WARN, LlamaContext, LlamaSampler, Row, SeqId, Token};
