//! A sampler of this library as a `llama_sampler` in the host's chain: the callback table.
//!
//! What the callbacks do is for a [`ChainSampler`] to say. They return nothing, so it keeps its errors itself.
//! Nothing unwinds into the host.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};

use super::candidates::{TokenData, TokenDataArray};
use super::table::{Host, LlamaSampler, Token};
use crate::error::{Error, Result};
use crate::guard::guard_or;

/// What a sampler in a host's chain does. The host calls from any thread, one at a time.
pub trait ChainSampler: Any + Send + Sync {
    /// The name that hosts show.
    fn name(&self) -> &'static CStr;

    /// Takes note of the token that was chosen.
    fn accept(&self, token: Token);

    /// Changes the candidates; what is returned is as in [`TokenDataArray::edit`]. On an error they must be as
    /// they were: nobody else sees it.
    fn apply(&self, candidates: &mut [TokenData]) -> Result<Option<usize>>;

    /// Goes back to the state before the first token.
    fn reset(&self);

    /// A sampler at the same point that continues by itself. Hosts do not expect a clone to fail.
    fn fork(&self) -> Box<dyn ChainSampler>;
}

/// What the host's sampler object points to.
struct Data {
    host: Host,
    sampler: Box<dyn ChainSampler>,
}

/// Makes a `llama_sampler` for the host's chain; the chain owns it and frees it.
pub fn wrap(host: &Host, sampler: Box<dyn ChainSampler>) -> Result<*mut LlamaSampler> {
    let sampler_new = host.table().sampler_new.ok_or(Error::Null { name: "host.sampler_new" })?;
    let data = Box::into_raw(Box::new(Data { host: host.clone(), sampler }));
    // SAFETY: the callback table is static and longer than any host's; `data` is what its callbacks
    // expect and is freed by `free`, once.
    let made = unsafe { sampler_new((&raw const CALLBACKS).cast(), data.cast()) };
    if made.is_null() {
        // SAFETY: the host did not take the box over.
        drop(unsafe { Box::from_raw(data) });
        return Err(Error::Host { call: "sampler_new", code: 0 });
    }
    Ok(made)
}

/// The sampler behind a `llama_sampler`, or None if it is not one that [`wrap`] made of a `T`.
///
/// # Safety
/// `sampler` must be NULL or point to a `llama_sampler` that lives during `'a`.
pub unsafe fn find<'a, T: ChainSampler>(sampler: *const LlamaSampler) -> Option<&'a T> {
    let words: *const *const c_void = sampler.cast();
    // SAFETY: see above; the first word of `struct llama_sampler` is its callback table.
    if words.is_null() || unsafe { *words } != (&raw const CALLBACKS).cast() {
        return None;
    }
    // SAFETY: the table says that it is ours.
    let data = unsafe { data(sampler) }?;
    let sampler: &dyn Any = data.sampler.as_ref();
    sampler.downcast_ref()
}

/// `llama_sampler_i`: six callbacks since 2024-09, more in later versions. The rest is NULL, which all
/// hosts take as "not implemented", and there is more of it than any known host reads.
#[repr(C)]
struct Callbacks {
    name: unsafe extern "C" fn(*const LlamaSampler) -> *const c_char,
    accept: unsafe extern "C" fn(*mut LlamaSampler, Token),
    apply: unsafe extern "C" fn(*mut LlamaSampler, *mut TokenDataArray),
    reset: unsafe extern "C" fn(*mut LlamaSampler),
    clone: unsafe extern "C" fn(*const LlamaSampler) -> *mut LlamaSampler,
    free: unsafe extern "C" fn(*mut LlamaSampler),
    later: [Option<unsafe extern "C" fn()>; 26],
}

static CALLBACKS: Callbacks = Callbacks { name, accept, apply, reset, clone, free, later: [None; 26] };

/// # Safety
/// `sampler` must be NULL or one that [`wrap`] made and that lives during `'a`.
unsafe fn data<'a>(sampler: *const LlamaSampler) -> Option<&'a Data> {
    // The data pointer is the second word of `struct llama_sampler` since the struct exists.
    let words: *const *const Data = sampler.cast();
    if words.is_null() {
        return None;
    }
    // SAFETY: `struct llama_sampler` is `{ iface, ctx }` in every version that has one, and `ctx` is the
    // pointer that `wrap` passed.
    unsafe { (*words.add(1)).as_ref() }
}

unsafe extern "C" fn name(sampler: *const LlamaSampler) -> *const c_char {
    guard_or(c"".as_ptr(), || {
        // SAFETY: the host calls with its own live sampler.
        unsafe { data(sampler) }.map_or(c"", |data| data.sampler.name()).as_ptr()
    })
}

unsafe extern "C" fn accept(sampler: *mut LlamaSampler, token: Token) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return };
        data.sampler.accept(token);
    });
}

unsafe extern "C" fn apply(sampler: *mut LlamaSampler, array: *mut TokenDataArray) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler and array.
        let (Some(data), Some(array)) = (unsafe { (data(sampler), array.as_mut()) }) else { return };
        // SAFETY: the host's array holds `size` candidates at `data`, which nobody else uses now. A callback
        // has no way to return the error.
        let _ = unsafe { array.edit(|candidates| data.sampler.apply(candidates)) };
    });
}

unsafe extern "C" fn reset(sampler: *mut LlamaSampler) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return };
        data.sampler.reset();
    });
}

unsafe extern "C" fn clone(sampler: *const LlamaSampler) -> *mut LlamaSampler {
    guard_or(std::ptr::null_mut(), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return std::ptr::null_mut() };
        wrap(&data.host, data.sampler.fork()).unwrap_or(std::ptr::null_mut())
    })
}

unsafe extern "C" fn free(sampler: *mut LlamaSampler) {
    guard_or((), || {
        let words: *const *mut Data = sampler.cast();
        if words.is_null() {
            return;
        }
        // SAFETY: as in `data`; the host frees a sampler once. A drop-in sampler frees a context of the
        // host here.
        unsafe {
            let data = *words.add(1);
            if !data.is_null() {
                drop(Box::from_raw(data));
            }
        }
    });
}
