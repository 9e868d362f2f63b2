//! When a request is sent again, and how long to wait before.

use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};

/// How often a wait looks at the caller's cancel hook.
pub(crate) const SLICE: Duration = Duration::from_millis(25);

/// Retries of requests that failed for a reason which may pass: no connection, a timeout, a broken
/// or garbled reply, and the statuses 408, 425, 429 and 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is sent again after the first time. 0 to 20, default 4.
    pub max_retries: u32,
    /// Upper end of the first wait; it doubles with every retry. Up to 10 minutes, default 500 ms.
    pub base: Duration,
    /// Upper end of all waits. From `base` to 10 minutes, default 20 s.
    pub cap: Duration,
    /// Longest wait that a server's `Retry-After` is followed for. Up to 1 hour, default 60 s.
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_retries: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(20),
            retry_after_cap: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    pub(crate) fn validate(&self) -> Result<()> {
        let ms = |d: Duration| format!("{} ms", d.as_millis());
        if self.max_retries > 20 {
            return Err(Error::param("judge retries", self.max_retries, "from 0 to 20"));
        }
        if self.cap > Duration::from_secs(600) || self.cap < self.base {
            return Err(Error::param("judge back-off cap", ms(self.cap), "from the base to 10 minutes"));
        }
        if self.retry_after_cap > Duration::from_secs(3600) {
            return Err(Error::param("judge retry-after cap", ms(self.retry_after_cap), "at most 1 hour"));
        }
        Ok(())
    }

    /// The wait before retry number `retry` (0 is the first): with full jitter, that is evenly
    /// drawn from 0 to the doubled base, `unit` from 0 to 1 being the draw. `wish`, the server's
    /// `Retry-After`, is a lower bound, up to a cap of its own.
    pub(crate) fn wait(&self, retry: u32, unit: f64, wish: Option<Duration>) -> Duration {
        let top = self.base.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(self.cap);
        let jittered = top.mul_f64(unit.clamp(0.0, 1.0));
        jittered.max(wish.unwrap_or_default().min(self.retry_after_cap))
    }
}

/// True for statuses that a retry may change.
pub(crate) fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Reads a `Retry-After` header: seconds, or a date, of which the past means no wait.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Some(wait) = seconds(value) {
        return Some(wait);
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// Reads digits with an optional fraction, which servers send although the standard has none.
pub(crate) fn seconds(value: &str) -> Option<Duration> {
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // More digits than fit are a long time, which the cap cuts.
    let most = Duration::from_secs(u64::MAX);
    Some(value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(most))
}

/// A draw from 0 to 1 for the jitter; 1 (the full wait) when the system has no randomness.
pub(crate) fn draw() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

/// Sleeps in slices.
///
/// # Errors
/// [`Error::Cancelled`] as soon as the hook asks to stop, also before a sleep of no length.
pub(crate) fn sleep(time: Duration, cancel: &dyn Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    loop {
        if cancel() {
            return Err(Error::Cancelled);
        }
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        base: Duration::from_millis(100),
        cap: Duration::from_millis(1000),
        retry_after_cap: Duration::from_secs(5),
    };

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_spans_all_of_it() {
        let tops: Vec<u128> = (0..6).map(|n| POLICY.wait(n, 1.0, None).as_millis()).collect();
        assert_eq!(tops, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(POLICY.wait(40, 1.0, None).as_millis(), 1000);
        assert_eq!(POLICY.wait(2, 0.25, None).as_millis(), 100);
        assert_eq!(POLICY.wait(2, 0.0, None), Duration::ZERO);
    }

    #[test]
    fn a_servers_wish_is_followed_up_to_its_own_cap() {
        let wish = |s| Some(Duration::from_secs(s));
        assert_eq!(POLICY.wait(0, 0.5, wish(2)), Duration::from_secs(2));
        assert_eq!(POLICY.wait(0, 0.5, wish(3600)), Duration::from_secs(5));
        assert_eq!(POLICY.wait(0, 0.5, wish(0)), Duration::from_millis(50));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let secs = |v| retry_after(v, now).map(|d| d.as_secs());
        assert_eq!(secs("7"), Some(7));
        assert_eq!(secs(" 0 "), Some(0));
        assert_eq!(secs("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        assert_eq!(retry_after("1.5", now), Some(Duration::from_millis(1500)));
        for bad in ["", "soon", "-1", "1e3", ".5", "1.", "Sun, 99 Nov 1994 08:49:47 GMT"] {
            assert_eq!(secs(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_statuses_that_may_pass_are_retried() {
        assert!([408, 425, 429, 500, 502, 503, 504, 599].into_iter().all(is_retryable));
        assert!(![200, 301, 400, 401, 403, 404, 413, 422, 499, 600].into_iter().any(is_retryable));
    }

    #[test]
    fn a_sleep_ends_soon_after_it_is_cancelled() {
        let asked = Cell::new(0);
        let cancel = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let start = Instant::now();
        assert_eq!(sleep(Duration::from_secs(60), &cancel), Err(Error::Cancelled));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(sleep(Duration::from_millis(1), &|| false), Ok(()));
    }
}
