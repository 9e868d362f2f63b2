//! Colours, which set apart what is not the answer: headings, and the mark in front of a turn.

use console::style;

/// On, off, or as the terminal and NO_COLOR have it.
pub fn set(on: Option<bool>) {
    if let Some(on) = on {
        console::set_colors_enabled(on);
        console::set_colors_enabled_stderr(on);
    }
}

/// A heading on standard output.
pub fn heading(text: &str) -> String {
    style(text).yellow().to_string()
}

/// What asks for a turn, on standard error.
pub fn prompt(text: &str) -> String {
    style(text).for_stderr().green().bold().to_string()
}
