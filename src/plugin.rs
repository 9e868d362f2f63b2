//! The sampler dressed as a `llama_sampler`: the callback table, and the state behind it.
//!
//! Callbacks return nothing, so an error is latched in the [`Plugin`], logged once, and the candidates
//! stay as they were. Nothing unwinds into the host, and nothing is locked while its log is called.

// Implements C callbacks on pointers that the host hands in.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::guard::{caught, guard_or};
use crate::host::{Host, LlamaSampler, Token};
use crate::sampler::{Sampler, TokenData};

/// A sampler, the host it lives in and the first error it met.
pub struct Plugin {
    sampler: Sampler,
    host: Host,
    /// First error since the last reset; later steps go on, this stays.
    error: Option<Error>,
    /// Text of `error`, for C.
    message: CString,
    /// A line for the host's log, which waits for the lock's release: the host may call back.
    unsaid: Option<String>,
}

/// Shared by the owner's handle and by the `llama_sampler` in the chain, whichever is freed last.
pub type Handle = Arc<Mutex<Plugin>>;

impl Plugin {
    /// Puts a sampler behind a handle.
    pub fn new(sampler: Sampler, host: &Host) -> Handle {
        let plugin =
            Plugin { sampler, host: host.clone(), error: None, message: CString::default(), unsaid: None };
        Arc::new(Mutex::new(plugin))
    }

    /// The sampler, unless a panic has left it in an unknown state.
    pub fn sampler(&mut self) -> Result<&mut Sampler> {
        match self.error {
            Some(Error::Panic) => Err(Error::Panic),
            _ => Ok(&mut self.sampler),
        }
    }

    /// First error since the sampler was made or reset.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Latches an error that nobody was told of. A panic replaces what was there; else the first one
    /// stays.
    pub fn fail(&mut self, error: Error) {
        if self.error.is_some() && error != Error::Panic {
            return;
        }
        self.unsaid = Some(format!("sda: {error}; candidates are left as they were"));
        self.note(&error);
        self.error = Some(error);
    }

    /// Keeps the text of an error that the caller was told of by its status.
    pub fn note(&mut self, error: &Error) {
        if self.error.is_none() {
            self.message = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
        }
    }

    /// Goes back to the state before the first step, without an error.
    pub fn reset(&mut self) -> Result<()> {
        self.error = None;
        self.message = CString::default();
        self.sampler.reset()
    }
}

/// Runs a closure on the plugin behind a handle; an error is latched, a panic poisons the handle. What is
/// to be logged is logged after the lock is released.
pub fn with<T>(handle: &Handle, body: impl FnOnce(&mut Plugin) -> Result<T>) -> Result<T> {
    let mut plugin = handle.lock().unwrap_or_else(PoisonError::into_inner);
    if plugin.error == Some(Error::Panic) {
        return Err(Error::Panic);
    }
    let result = caught(|| body(&mut plugin));
    if let Err(Error::Panic) = result {
        plugin.fail(Error::Panic);
    }
    if let Some(line) = plugin.unsaid.take() {
        let host = plugin.host.clone();
        drop(plugin);
        host.warn(&line);
    }
    result
}

/// Text of the latched error, or of the last one that a call returned; empty if there was none.
pub fn message(handle: &Handle) -> CString {
    handle.lock().unwrap_or_else(PoisonError::into_inner).message.clone()
}

/// A sampler at the same point that goes on by itself, with the error that this one has.
pub fn fork(handle: &Handle) -> Result<Handle> {
    with(handle, |plugin| {
        let (error, message) = (plugin.error.clone(), plugin.message.clone());
        let sampler = plugin.sampler.fork()?;
        Ok(Arc::new(Mutex::new(Plugin { sampler, host: plugin.host.clone(), error, message, unsaid: None })))
    })
}

/// Steers a candidate array, and cuts it down to what the sampler kept. On an error it is left as it was.
///
/// # Safety
/// `array.data` is NULL or points to `array.size` candidates that nobody else uses during the call.
pub unsafe fn steer(handle: &Handle, array: &mut TokenDataArray) -> Result<()> {
    with(handle, |plugin| {
        let candidates = match (array.data.is_null(), array.size) {
            (true, _) | (_, 0) => &mut [],
            // SAFETY: see above.
            (false, size) => unsafe { std::slice::from_raw_parts_mut(array.data, size) },
        };
        match plugin.sampler.apply(candidates) {
            Ok(_) => {
                let kept = plugin.sampler.kept();
                array.size = kept.unwrap_or(array.size);
                array.sorted = kept.is_some();
            }
            Err(error) => {
                plugin.fail(error.clone());
                return Err(error);
            }
        }
        Ok(())
    })
}

/// Makes a `llama_sampler` for the host's chain; the chain owns it and frees it. The handle stays
/// valid beside it.
pub fn into_llama(handle: &Handle) -> Result<*mut LlamaSampler> {
    let host = with(handle, |plugin| Ok(plugin.host.clone()))?;
    wrap(handle, host)
}

/// As [`into_llama`], also for a sampler that a panic has broken.
fn wrap(handle: &Handle, host: Host) -> Result<*mut LlamaSampler> {
    let sampler_new = host.table().sampler_new.ok_or(Error::Null { name: "host.sampler_new" })?;
    let data = Box::into_raw(Box::new(Data { host, handle: Arc::clone(handle) }));
    // SAFETY: the callback table is static and longer than any host's; `data` is what its callbacks
    // expect and is freed by `free`, once.
    let sampler = unsafe { sampler_new((&raw const CALLBACKS).cast(), data.cast()) };
    if sampler.is_null() {
        // SAFETY: the host did not take the box over.
        drop(unsafe { Box::from_raw(data) });
        return Err(Error::Host { call: "sampler_new", code: 0 });
    }
    Ok(sampler)
}

/// What the host's sampler object points to.
struct Data {
    host: Host,
    handle: Handle,
}

/// The host's `llama_token_data_array`.
#[repr(C)]
pub struct TokenDataArray {
    data: *mut TokenData,
    size: usize,
    selected: i64,
    sorted: bool,
}

impl TokenDataArray {
    /// An unsorted array over a live slice.
    pub fn new(candidates: &mut [TokenData]) -> TokenDataArray {
        TokenDataArray { data: candidates.as_mut_ptr(), size: candidates.len(), selected: -1, sorted: false }
    }

    /// As [`TokenDataArray::new`], for candidates in descending order.
    pub fn sorted(candidates: &mut [TokenData]) -> TokenDataArray {
        TokenDataArray { sorted: true, ..TokenDataArray::new(candidates) }
    }

    /// Candidates that are left.
    pub fn size(&self) -> usize {
        self.size
    }

    /// True if they are in descending order.
    pub fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// Index of the candidate that the last sampler of the chain chose, -1 if none did.
    pub fn selected(&self) -> i64 {
        self.selected
    }
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

/// The name that hosts show for the sampler.
pub const NAME: &std::ffi::CStr = c"sda";

/// # Safety
/// `sampler` must be one that [`into_llama`] made and that was not freed.
unsafe fn data<'a>(sampler: *const LlamaSampler) -> Option<&'a Data> {
    // The data pointer is the second word of `struct llama_sampler` since the struct exists.
    let words: *const *const Data = sampler.cast();
    if words.is_null() {
        return None;
    }
    // SAFETY: `struct llama_sampler` is `{ iface, ctx }` in every version that has one, and `ctx` is the
    // pointer that `into_llama` passed.
    unsafe { (*words.add(1)).as_ref() }
}

unsafe extern "C" fn name(_: *const LlamaSampler) -> *const c_char {
    guard_or(NAME.as_ptr(), || NAME.as_ptr())
}

unsafe extern "C" fn accept(sampler: *mut LlamaSampler, token: Token) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return };
        // Taking note of a token cannot fail; what may come back is a panic, which `with` has latched.
        let _ = with(&data.handle, |plugin| {
            plugin.sampler.accept(token);
            Ok(())
        });
    });
}

unsafe extern "C" fn apply(sampler: *mut LlamaSampler, array: *mut TokenDataArray) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler and array.
        let (Some(data), Some(array)) = (unsafe { (data(sampler), array.as_mut()) }) else { return };
        // SAFETY: the host's array holds `size` candidates at `data`, which nobody else uses now. The error
        // is latched and logged; a callback has no other way to tell.
        let _ = unsafe { steer(&data.handle, array) };
    });
}

unsafe extern "C" fn reset(sampler: *mut LlamaSampler) {
    guard_or((), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return };
        let _ = with(&data.handle, |plugin| plugin.reset().inspect_err(|error| plugin.fail(error.clone())));
    });
}

unsafe extern "C" fn clone(sampler: *const LlamaSampler) -> *mut LlamaSampler {
    guard_or(std::ptr::null_mut(), || {
        // SAFETY: the host calls with its own live sampler.
        let Some(data) = (unsafe { data(sampler) }) else { return std::ptr::null_mut() };
        let copy = fork(&data.handle).unwrap_or_else(|error| broken(error, &data.host));
        wrap(&copy, data.host.clone()).unwrap_or(std::ptr::null_mut())
    })
}

/// Hosts do not expect a clone to fail, and some use the result unseen; so a failed clone is a sampler
/// that refuses every step and says why.
fn broken(error: Error, host: &Host) -> Handle {
    let source = crate::sampler::Source::Given { n_vocab: 1, logits: Vec::new(), fresh: false };
    let sampler = Sampler::new(crate::params::Params::default(), source).expect("default settings are valid");
    let handle = Plugin::new(sampler, host);
    // The error is there for the host to find; it is no result of this call.
    let _ = with(&handle, |plugin| {
        plugin.fail(error);
        Ok(())
    });
    handle
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

/// The handle behind a sampler in a chain, or None if it is not one of ours.
///
/// # Safety
/// `sampler` must be NULL or point to a live `llama_sampler`.
pub unsafe fn handle_of(sampler: *const LlamaSampler) -> Option<Handle> {
    let words: *const *const c_void = sampler.cast();
    if words.is_null() {
        return None;
    }
    // SAFETY: see `data`; the first word is the callback table.
    unsafe {
        if *words != (&raw const CALLBACKS).cast() {
            return None;
        }
        data(sampler).map(|data| Arc::clone(&data.handle))
    }
}
