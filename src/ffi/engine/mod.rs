//! The whole engine for hosts in C that bring no llama.cpp: only in the library that has it built in.

// The header is rendered file by file, in this order, and learns of the feature from these lines alone.
#[cfg(feature = "bundled")]
mod devices;

#[cfg(feature = "bundled")]
mod load;

#[cfg(feature = "bundled")]
mod model;

#[cfg(feature = "bundled")]
mod settings;

#[cfg(feature = "bundled")]
mod generate_params;

#[cfg(feature = "bundled")]
mod request;

#[cfg(feature = "bundled")]
mod sampling;

#[cfg(feature = "bundled")]
mod answer;

#[cfg(feature = "bundled")]
mod judged;

#[cfg(feature = "bundled")]
mod handle;

pub use answer::*;
pub use devices::*;
pub use generate_params::*;
pub use handle::*;
pub use load::*;
pub use model::*;
pub use settings::*;
