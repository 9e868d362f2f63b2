//! The arms of a generation: which distribution the answer is drawn from.

/// Both branches, steered.
pub const SDA_ARM_STEERED: i32 = 0;
/// The instructed prompt alone, without steering.
pub const SDA_ARM_INSTRUCTED: i32 = 1;
/// The plain prompt alone: the draft that a judge scores.
pub const SDA_ARM_PLAIN: i32 = 2;
