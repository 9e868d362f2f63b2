//! The one gate of every function that C calls, be it an export or a callback: no panic gets out, since
//! unwinding into C aborts the host. `tests/core/guard.rs` checks that none lacks it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Runs the body of a function that returns a status. A panic becomes [`Error::Panic`].
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> i32 {
    match caught(body) {
        Ok(()) => 0,
        Err(error) => error.code(),
    }
}

/// Runs the body of a function that returns something else; `fallback` if it panics.
pub(crate) fn guard_or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Runs a part of such a body that needs to know of its panic, as to poison a handle.
pub(crate) fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    guard_or(Err(Error::Panic), body)
}
