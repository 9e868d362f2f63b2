//! How far a run is, and how long it will still take.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error, only if that is a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// `done` of `total` results are there from an earlier run, and do not count for the time left.
    pub fn new(done: usize, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{prefix:>12} [{bar:30}] {pos}/{len} {elapsed} gone, {eta} left {msg}",
        );
        bar.set_style(style.expect("the template is well-formed").progress_chars("=> "));
        bar.set_prefix("evaluating");
        bar.set_position(done as u64);
        bar.reset_eta();
        Progress(bar)
    }

    /// Says what is being done.
    pub fn show(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// One more result.
    pub fn add(&self, count: usize) {
        self.0.inc(count as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
