//! The C libraries: every export of [`sda`](library), and nothing else.

pub use library::*;
