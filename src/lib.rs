//! Steering-Driven Distribution Alignment (SDA) for llama.cpp.
//!
//! The same model runs on two prompts: a *plain* one (the query) and an *instructed* one (the query
//! and an instruction). [`steer`] moves the instructed distribution further away from the plain one,
//! by an amount that a judge's score of a plain draft decides ([`amplify`]), and lowers the
//! temperature where the two disagree (arXiv 2511.16324).
//!
//! Layers, each using only those above it:
//!
//! 1. [`amplify`], [`params`], [`steer`]: the maths, on plain slices, no llama.cpp.

#![deny(unsafe_code)]

pub mod amplify;
mod error;
pub mod judge;
pub mod params;
pub mod steer;

pub use error::Error;
pub use params::Params;
