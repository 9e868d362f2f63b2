//! What the user sees beside the answer: progress, notes, and the reaction to Ctrl-C.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Exit status after Ctrl-C, as shells expect it.
pub const EXIT_INTERRUPTED: u8 = 130;

const IDLE: u8 = 0;
const BUSY: u8 = 1;

/// Turns Ctrl-C into a wish to stop. The first one ends the answer that is being written; a second one,
/// or one while nothing is written, ends the program.
#[derive(Clone)]
pub struct Interrupt {
    wanted: Arc<AtomicBool>,
    state: Arc<AtomicU8>,
}

impl Interrupt {
    pub fn install() -> Result<Interrupt, String> {
        let interrupt = Interrupt { wanted: Arc::default(), state: Arc::default() };
        let seen = interrupt.clone();
        ctrlc::set_handler(move || {
            let again = seen.wanted.swap(true, Ordering::SeqCst);
            if again || seen.state.load(Ordering::SeqCst) == IDLE {
                eprintln!();
                std::process::exit(EXIT_INTERRUPTED.into());
            }
        })
        .map_err(|e| e.to_string())?;
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

    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }
}

/// A progress bar on standard error, only if that is a terminal.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(what: &'static str) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% {elapsed}")
            .expect("the template is well-formed")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what);
        Bar(bar)
    }

    /// A sign of life while the length of a wait is not known; it goes away when dropped.
    pub fn waiting(what: &'static str) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>12} {spinner} {elapsed}")
            .expect("the template is well-formed");
        bar.set_style(style);
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total.max(1) as u64);
        self.0.set_position(done as u64);
        if done >= total {
            self.0.finish_and_clear();
        }
    }

    /// The bar behind this one, for a callback that outlives the borrow.
    pub fn handle(&self) -> Bar {
        Bar(self.0.clone())
    }
}

/// Tells the user something on standard error.
pub fn note(text: &str) {
    eprintln!("sda: {text}");
}

pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

pub fn per_second(n: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() }
}
