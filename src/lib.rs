//! Steering-Driven Distribution Alignment (SDA) for llama.cpp.
//!
//! The same model runs on two prompts: a *plain* one (the query) and an *instructed* one (the query
//! and an instruction). [`steer`] moves the instructed distribution further away from the plain one,
//! by an amount that a judge's score of a plain draft decides ([`amplify`]), and lowers the
//! temperature where the two disagree (arXiv 2511.16324).
//!
//! Layers, each using only those above it:
//!
//! 1. [`amplify`], [`params`], [`steer`]: the maths, on plain rows of logits.
//! 2. [`host`], [`pair`], [`dropin`]: two branches of one model, through a table of C functions that the
//!    host fills in. No llama.cpp is linked.
//! 3. [`sampler`], [`plugin`]: the steering as a state machine, and as a `llama_sampler`.
//! 4. [`ffi`]: the C ABI, `include/sda.h`.
//! 5. [`judge`], `prompt`: what is asked of a judge, and how a conversation becomes two prompts.
//! 6. `llama`, `engine` (feature `bundled`): llama.cpp built in, and whole answers.

pub mod amplify;
pub mod dropin;
#[cfg(feature = "bundled")]
pub mod engine;
mod error;
pub mod ffi;
mod guard;
pub mod host;
pub mod judge;
#[cfg(feature = "bundled")]
pub mod llama;
pub mod nucleus;
pub mod pair;
pub mod params;
pub mod plugin;
#[cfg(feature = "bundled")]
pub mod prompt;
pub mod sampler;
pub mod steer;

pub use error::{Error, Result};
pub use params::Params;
