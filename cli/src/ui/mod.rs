//! What the user sees: answers and records on standard output, the rest on standard error.

pub mod console;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod table;
