//! Steering-Driven Distribution Alignment (SDA) for llama.cpp.
//!
//! The same model runs on two prompts: a *plain* one (the query) and an *instructed* one (the query
//! and an instruction). [`steer`] moves the instructed distribution further away from the plain one,
//! by an amount that a judge's score of a plain draft decides ([`amplify`]), and lowers the
//! temperature where the two disagree (arXiv 2511.16324).
//!
//! Rooms, each using only those above it:
//!
//! 1. [`amplify`], [`params`], [`strength`], [`steer`]: the maths, on plain rows of logits; [`quality`]: what to
//!    steer towards.
//! 2. [`host`]: the port to llama.cpp, a table of C functions that the host fills in. No llama.cpp is linked.
//! 3. [`branch`]: two branches of one model, in the host's context or beside it.
//! 4. [`sampler`]: the steering as a state machine, and as a `llama_sampler`.
//! 5. [`judge`], `text` (feature `text`): what is asked of a judge, and how a conversation becomes two prompts.
//! 6. `llama`, `engine` (feature `bundled`): llama.cpp built in, and whole answers.
//! 7. [`ffi`]: the C ABI, `include/sda.h`.
//!
//! Beside them stand [`Error`] and the guard that lets no panic into C. Unsafe code stands in `ffi`, `host` and
//! `llama` only.

pub mod amplify;
pub mod branch;
#[cfg(feature = "bundled")]
pub mod engine;
mod error;
pub mod ffi;
mod guard;
pub mod host;
pub mod judge;
#[cfg(feature = "bundled")]
pub mod llama;
pub mod params;
pub mod quality;
pub mod sampler;
pub mod steer;
pub mod strength;
#[cfg(feature = "text")]
pub mod text;

pub use error::{Error, Result};
pub use params::Params;
pub use quality::Quality;
pub use strength::Strength;
