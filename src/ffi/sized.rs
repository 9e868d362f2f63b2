//! Structs whose first field is their size, which tells the version that the caller was compiled with: a
//! struct only ever grows at its end.

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// The largest size that is taken for one. A struct never grows that much; such a size is a field that was
/// not set.
const LARGEST: usize = 4096;

/// A struct that can grow.
///
/// # Safety
/// It is plain data in C's layout, any bytes of it are a value, and its first field is `struct_size: usize`.
pub(super) unsafe trait SizedStruct: Copy {
    /// Its name in C.
    const NAME: &'static str;

    /// Bytes that every version has: the size, and the fields without which the struct is of no use.
    const SMALLEST: usize;

    /// What the fields are that a caller does not know or set.
    fn defaults() -> Self;
}

/// Fills a struct with its defaults, as much of it as the caller knows; what the library does not know
/// becomes 0.
///
/// # Safety
/// `to` is NULL or valid for writing `size` bytes.
pub(super) unsafe fn init_sized<T: SizedStruct>(to: *mut T, size: usize) -> Result<()> {
    if to.is_null() {
        return Err(Error::Null { name: T::NAME });
    }
    check_size::<T>(size)?;
    // SAFETY: passed on.
    unsafe { write_sized(to, size, &T::defaults()) };
    Ok(())
}

/// Reads a struct of a caller of any version. A shorter one (an older caller) is filled up from the
/// defaults; a longer one (a newer caller) may hold only zeros beyond what is known here.
///
/// # Safety
/// `from` is NULL or points to as many bytes as its first field says.
pub(super) unsafe fn read_sized<T: SizedStruct>(from: *const T, name: &'static str) -> Result<T> {
    if from.is_null() {
        return Err(Error::Null { name });
    }
    // SAFETY: the first field is the size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    check_size::<T>(size)?;
    let bytes: *const u8 = from.cast();
    let known = size.min(size_of::<T>());
    let mut value = T::defaults();
    // SAFETY: reads stay within the size that the caller names, and any bytes are a `T`.
    let tail = unsafe {
        (&raw mut value).cast::<u8>().copy_from_nonoverlapping(bytes, known);
        std::slice::from_raw_parts(bytes.add(known), size - known)
    };
    if tail.iter().any(|&byte| byte != 0) {
        let reason = "a field is set that this version of the library does not know".to_owned();
        return Err(Error::Version { what: T::NAME, reason });
    }
    Ok(value)
}

/// Where a result goes that is a struct of a caller of any version: checked before anything is done, written
/// on success, as much of it as the caller knows. What the library does not know becomes 0.
pub(super) struct SizedOut<T> {
    to: NonNull<T>,
    size: usize,
}

impl<T: SizedStruct> SizedOut<T> {
    /// # Safety
    /// `to` is NULL or points to as many bytes as its first field, which is set, says; all of them can be
    /// written while the value lives.
    pub(super) unsafe fn new(to: *mut T, name: &'static str) -> Result<SizedOut<T>> {
        let to = NonNull::new(to).ok_or(Error::Null { name })?;
        // SAFETY: the first field is the size.
        let size = unsafe { to.cast::<usize>().read_unaligned() };
        check_size::<T>(size)?;
        Ok(SizedOut { to, size })
    }

    /// As [`SizedOut::new`], where NULL is an answer.
    ///
    /// # Safety
    /// As for [`SizedOut::new`].
    pub(super) unsafe fn optional(to: *mut T, name: &'static str) -> Result<Option<SizedOut<T>>> {
        // SAFETY: passed on.
        if to.is_null() { Ok(None) } else { unsafe { SizedOut::new(to, name) }.map(Some) }
    }

    pub(super) fn write(self, value: &T) {
        // SAFETY: what `new` was told.
        unsafe { write_sized(self.to.as_ptr(), self.size, value) }
    }
}

fn check_size<T: SizedStruct>(size: usize) -> Result<()> {
    if (T::SMALLEST..=LARGEST).contains(&size) {
        return Ok(());
    }
    let reason = format!("struct_size is {size}, must be {} to {LARGEST}", T::SMALLEST);
    Err(Error::Version { what: T::NAME, reason })
}

/// # Safety
/// `to` is valid for writing `size` bytes, which are enough for a `usize`.
unsafe fn write_sized<T: SizedStruct>(to: *mut T, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    let bytes: *mut u8 = to.cast();
    // SAFETY: see above; no more than `size` bytes are written.
    unsafe {
        bytes.copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        bytes.add(known).write_bytes(0, size - known);
        to.cast::<usize>().write_unaligned(size);
    }
}
