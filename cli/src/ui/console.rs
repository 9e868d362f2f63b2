//! What the user is told, and where.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Outcome};

/// Tells the user something on standard error.
pub fn note(text: &str) {
    eprintln!("sda: {text}");
}

pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes to standard output. A reader that has seen enough is no failure.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}
