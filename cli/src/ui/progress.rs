//! Progress of a run over many records, with the time left, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts records.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new(what: &'static str, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>12} [{bar:30}] {pos}/{len}{msg}, {eta} left")
            .expect("the template is well-formed")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress(bar)
    }

    /// One record more is done; `failed` is how many have failed so far.
    pub fn step(&self, failed: usize) {
        if failed > 0 {
            self.0.set_message(format!(", {failed} failed"));
        }
        self.0.inc(1);
    }

    /// Prints something without tearing the bar.
    pub fn above(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
