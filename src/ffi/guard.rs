//! What the exports have in common: pointers are checked, handles are handed out and taken back.

pub(super) use crate::guard::{guard, guard_or};

use crate::error::{Error, Result};

/// # Safety
/// `pointer` is NULL or points to a live `T` that nothing else changes during `'a`.
pub(super) unsafe fn get<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: see above.
    unsafe { pointer.as_ref() }.ok_or(Error::Null { name })
}

/// # Safety
/// `pointer` is NULL or points to a live `T` that nothing else uses during `'a`.
pub(super) unsafe fn get_mut<'a, T>(pointer: *mut T, name: &'static str) -> Result<&'a mut T> {
    // SAFETY: see above.
    unsafe { pointer.as_mut() }.ok_or(Error::Null { name })
}

/// Checks where a result goes, before anything is done. The memory need not be initialised.
pub(super) fn out<T>(pointer: *mut T, name: &'static str) -> Result<*mut T> {
    if pointer.is_null() { Err(Error::Null { name }) } else { Ok(pointer) }
}

/// # Safety
/// `pointer` is NULL or points to `len` values that nothing changes during `'a`.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, len: usize, name: &'static str) -> Result<&'a [T]> {
    if pointer.is_null() {
        return Err(Error::Null { name });
    }
    // No object can be larger; such a length is a negative number in disguise.
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::Length {
            what: name,
            got: len,
            expected: isize::MAX as usize / size_of::<T>().max(1),
        });
    }
    // SAFETY: see above.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// Puts a new handle behind a checked out-pointer.
///
/// # Safety
/// `to` is valid for a write.
pub(super) unsafe fn hand_out<T>(to: *mut *mut T, handle: T) {
    // SAFETY: see above.
    unsafe { to.write(Box::into_raw(Box::new(handle))) }
}

/// Frees a handle that [`hand_out`] gave; nothing for NULL.
///
/// # Safety
/// `handle` is NULL or came from [`hand_out`] and was not freed.
pub(super) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: see above.
        drop(unsafe { Box::from_raw(handle) });
    }
}
