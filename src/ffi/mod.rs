//! The C ABI: `include/sda.h` is generated from this module. Translation only: each export checks its
//! pointers, calls the core, and turns the result into a status.
//!
//! Doc comments here are written for the reader of the C header.

// The exports take raw pointers from C.
#![allow(unsafe_code)]
// Every export has the same preconditions; the header states them once, under "Conventions".
#![allow(clippy::missing_safety_doc)]

mod arm;
#[cfg(feature = "bundled")]
mod engine;
mod host;
mod judge;
mod pair;
mod pair_many;
mod params;
mod pointer;
mod report;
mod sampler;
mod sized;
mod status;
mod steer;
mod text;
mod version;

pub use arm::*;
#[cfg(feature = "bundled")]
pub use engine::*;
pub use judge::*;
pub use pair::*;
pub use pair_many::*;
pub use params::*;
pub use report::*;
pub use sampler::*;
pub use status::*;
pub use steer::*;
pub use version::*;
