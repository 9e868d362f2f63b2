//! What the tests of the C interface share: handles that are made as C makes them.

#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the tests pass live handles, or NULL where it may be")]

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use sda::Error;
use sda::ffi::*;
use sda::host::HostTable;
use sda::sampler::Source;

use crate::fake_host::{Chain, FakeHost};

/// A text of the library's.
#[track_caller]
pub fn text(pointer: *const c_char) -> String {
    assert!(!pointer.is_null());
    // SAFETY: the library gives NUL-terminated text that lives for now.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

/// A struct that was set up with its `_init` function.
pub fn made<T>(init: unsafe extern "C" fn(*mut T, usize) -> i32) -> T {
    let mut made = std::mem::MaybeUninit::uninit();
    // SAFETY: the struct has the size that is passed, and is filled on success.
    unsafe {
        assert_eq!(init(made.as_mut_ptr(), size_of::<T>()), SDA_OK);
        made.assume_init()
    }
}

pub fn params() -> CParams {
    made(sda_params_init)
}

pub fn new_sampler(host: *const HostTable, n_vocab: usize) -> *mut SamplerHandle {
    let mut sampler = null_mut();
    // SAFETY: all pointers are live.
    assert_eq!(unsafe { sda_sampler_new(host, n_vocab, &params(), null_mut(), 0, &mut sampler) }, SDA_OK);
    sampler
}

pub fn new_pair(host: &FakeHost) -> *mut PairHandle {
    let mut pair = null_mut();
    // SAFETY: all pointers are live.
    assert_eq!(unsafe { sda_pair_new(&host.table(), host.ctx(), 0, 1, null_mut(), 0, &mut pair) }, SDA_OK);
    pair
}

/// Panics where the library holds the pair: in a step of a sampler.
pub fn poison(pair: *mut PairHandle) {
    let (mut sampler, mut llama) = (null_mut(), null_mut());
    // SAFETY: handles are live and freed once.
    unsafe {
        assert_eq!(sda_sampler_new_paired(pair, &params(), null_mut(), 0, &mut sampler), SDA_OK);
        assert_eq!(sda_sampler_to_llama(sampler, &mut llama), SDA_OK);
        let chain = Chain::<6>::new(llama);
        let handle = chain.sampler();
        std::panic::set_hook(Box::new(|_| {}));
        let result = handle.with(|sampler| -> sda::Result<()> {
            let Source::Paired(pair) = sampler.source() else { unreachable!() };
            let _held = pair.lock();
            panic!("forced by a test")
        });
        let _ = std::panic::take_hook();
        assert_eq!(result, Err(Error::Panic));
        drop(chain);
        sda_sampler_free(sampler);
    }
}

/// Room for the text of an error, as a caller lends it.
pub struct ErrorRoom(Cell<[c_char; 400]>);

impl Default for ErrorRoom {
    fn default() -> ErrorRoom {
        ErrorRoom(Cell::new([0; 400]))
    }
}

impl ErrorRoom {
    pub fn as_ptr(&self) -> *mut c_char {
        self.0.as_ptr().cast()
    }

    pub fn size(&self) -> usize {
        self.0.get().len()
    }

    /// The text, which is then gone.
    pub fn take(&self) -> String {
        let text = text(self.as_ptr());
        self.0.set([0; 400]);
        text
    }
}
