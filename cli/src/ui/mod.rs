//! What the user sees: answers and records on standard output, the rest on standard error, and pages for a browser.

pub mod color;
pub mod console;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod table;
pub mod web;
