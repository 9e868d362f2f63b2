//! Pointers from C: each is checked before anything is done, and used through a type that is safe from then
//! on.

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// # Safety
/// `pointer` is NULL or points to a live `T` that nothing else changes during `'a`.
pub(super) unsafe fn get<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: passed on.
    unsafe { pointer.as_ref() }.ok_or(Error::Null { name })
}

/// # Safety
/// `pointer` is NULL or points to a live `T` that nothing else uses during `'a`.
pub(super) unsafe fn get_mut<'a, T>(pointer: *mut T, name: &'static str) -> Result<&'a mut T> {
    // SAFETY: passed on.
    unsafe { pointer.as_mut() }.ok_or(Error::Null { name })
}

/// # Safety
/// `pointer` is NULL or points to `len` values that nothing changes during `'a`.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, len: usize, name: &'static str) -> Result<&'a [T]> {
    if pointer.is_null() {
        return Err(Error::Null { name });
    }
    // No object can be larger; such a length is a negative number in disguise.
    let most = isize::MAX as usize / size_of::<T>().max(1);
    if len > most {
        return Err(Error::Length { what: name, got: len, expected: most });
    }
    // SAFETY: passed on; the length was checked.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// As [`slice`], but no values need no pointer.
///
/// # Safety
/// `pointer` is valid for `len` values, or NULL.
#[cfg(feature = "bundled")]
pub(super) unsafe fn list<'a, T>(pointer: *const T, len: usize, name: &'static str) -> Result<&'a [T]> {
    // SAFETY: passed on.
    if len == 0 { Ok(&[]) } else { unsafe { slice(pointer, len, name) } }
}

/// Where a result goes: checked before anything is done, written on success.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL, or a `T` can be written to it while the value lives. The memory need not be
    /// initialised.
    pub(super) unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Out<T>> {
        NonNull::new(pointer).map(Out).ok_or(Error::Null { name })
    }

    pub(super) fn write(self, value: T) {
        // SAFETY: what `new` was told.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// Makes a value a handle that C owns, until [`free`].
    pub(super) fn hand_out(self, value: T) {
        self.write(Box::into_raw(Box::new(value)));
    }
}

/// Frees a handle; nothing for NULL.
///
/// # Safety
/// `handle` is NULL, or came from [`Out::hand_out`] and was not freed.
pub(super) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: see above.
        drop(unsafe { Box::from_raw(handle) });
    }
}
