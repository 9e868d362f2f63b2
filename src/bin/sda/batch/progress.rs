//! How far a list is, with the time left, on a terminal.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::per_second;

/// A line on standard error, only if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    tokens: usize,
}

impl Progress {
    /// Counts to `total` from the answers of earlier runs.
    pub fn new(done: usize, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} answers, {msg}, {eta} left")
            .expect("the template is well-formed")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_position(done as u64);
        // The time left is reckoned from what this run does.
        bar.reset_eta();
        Progress { bar, start: Instant::now(), tokens: 0 }
    }

    /// A token of any answer.
    pub fn token(&mut self) {
        self.tokens += 1;
        self.bar.set_message(format!("{:.1} tokens/s", per_second(self.tokens, self.start.elapsed())));
    }

    /// An answer, or a failure.
    pub fn answer(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
