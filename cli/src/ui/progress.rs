//! Progress on standard error, only if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far some work has got. It goes away when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A share of work whose amount is told with each [`Progress::set`].
    pub fn share(what: &'static str) -> Progress {
        Progress::new(what, Some(1), "{prefix:>12} [{bar:30}] {percent:>3}% {elapsed}")
    }

    /// A sign of life while the length of a wait is not known.
    pub fn wait(what: &'static str) -> Progress {
        let progress = Progress::new(what, None, "{prefix:>12} {spinner} {elapsed}");
        progress.0.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    /// So many records, with the time left.
    pub fn count(what: &'static str, total: usize) -> Progress {
        let template = "{prefix:>12} [{bar:30}] {pos}/{len}{msg}, {eta} left";
        let progress = Progress::new(what, Some(total as u64), template);
        progress.0.enable_steady_tick(Duration::from_millis(500));
        progress
    }

    fn new(what: &'static str, total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(what);
        Progress(bar)
    }

    /// So much is done of all.
    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total.max(1) as u64);
        self.0.set_position(done as u64);
        if done >= total {
            self.0.finish_and_clear();
        }
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

    /// The same progress, for a callback that outlives the borrow.
    pub fn handle(&self) -> Progress {
        Progress(self.0.clone())
    }
}
