//! What Ctrl-C does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::failure::{Failure, Outcome};

/// Exit status after Ctrl-C, as shells expect it.
pub const EXIT_INTERRUPTED: u8 = 130;

const IDLE: u8 = 0;
const BUSY: u8 = 1;

/// Turns Ctrl-C into a wish to stop. The first one ends the answer that is being written; a second one,
/// or one while nothing is written, ends the program.
#[derive(Clone, Default)]
pub struct Interrupt {
    wanted: Arc<AtomicBool>,
    state: Arc<AtomicU8>,
}

impl Interrupt {
    pub fn install() -> Outcome<Interrupt> {
        let interrupt = Interrupt::default();
        let seen = interrupt.clone();
        ctrlc::set_handler(move || {
            let again = seen.wanted.swap(true, Ordering::SeqCst);
            if again || seen.state.load(Ordering::SeqCst) == IDLE {
                eprintln!();
                std::process::exit(EXIT_INTERRUPTED.into());
            }
        })
        .map_err(|e| Failure::Failed(e.to_string()))?;
        Ok(interrupt)
    }

    /// From now on the first Ctrl-C only asks to stop.
    pub fn begin(&self) {
        self.wanted.store(false, Ordering::SeqCst);
        self.state.store(BUSY, Ordering::SeqCst);
    }

    /// From now on Ctrl-C ends the program at once.
    pub fn end(&self) {
        self.state.store(IDLE, Ordering::SeqCst);
    }

    /// As Ctrl-C does.
    #[cfg(test)]
    pub fn ask(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// [`Failure::Interrupted`] if the user wants to stop.
    pub fn check(&self) -> Outcome {
        if self.is_wanted() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}
