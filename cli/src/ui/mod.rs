//! What the user sees: answers and records on standard output, the rest on standard error.

pub mod console;
pub mod output;
pub mod progress;
