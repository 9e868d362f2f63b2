//! Groups of options that commands share. Names are llama.cpp's where it has one for the thing. No group knows a
//! command.

mod adapt;
mod common;
mod compat;
mod constraint;
mod cpu;
mod device;
mod escapes;
mod generate;
pub mod judge;
mod list;
mod model;
mod prompt;
mod samplers;
mod sampling;
mod steering;

pub use adapt::AdaptArgs;
pub use common::CommonArgs;
pub use compat::CompatArgs;
pub use device::DeviceArgs;
pub use generate::GenerateArgs;
pub use model::{LoadArgs, ModelArgs};
pub use prompt::{Placement, PromptArgs};
pub use sampling::SamplingArgs;
pub use steering::SteeringArgs;
