//! A toy sampler chain, of every generation of llama.cpp's callback table.

use std::ffi::{CStr, CString, c_char, c_void};

use sda::host::{LlamaSampler, Token, TokenData, TokenDataArray, llama_sampler};
use sda::sampler::SharedSampler;

/// `struct llama_sampler`.
#[repr(C)]
struct FakeSampler {
    iface: *const c_void,
    data: *mut c_void,
}

pub(super) unsafe extern "C" fn sampler_new(iface: *const c_void, data: *mut c_void) -> *mut LlamaSampler {
    Box::into_raw(Box::new(FakeSampler { iface, data })).cast()
}

type Slot = Option<unsafe extern "C" fn()>;

/// A host's chain with samplers of a generation whose callback table has `SLOTS` entries: 6 in the first
/// versions with a chain, later 10 and 12. It owns its samplers.
pub struct Chain<const SLOTS: usize> {
    samplers: Vec<*mut LlamaSampler>,
}

impl<const SLOTS: usize> Chain<SLOTS> {
    pub fn new(sampler: *mut LlamaSampler) -> Self {
        assert!(SLOTS >= 6 && !sampler.is_null());
        Chain { samplers: vec![sampler] }
    }

    pub fn add(&mut self, sampler: *mut LlamaSampler) {
        assert!(!sampler.is_null());
        self.samplers.push(sampler);
    }

    pub fn first(&self) -> *mut LlamaSampler {
        self.samplers[0]
    }

    /// The library's handle onto the first sampler.
    pub fn sampler(&self) -> SharedSampler {
        // SAFETY: the chain keeps the sampler alive.
        unsafe { llama_sampler::find::<SharedSampler>(self.samplers[0]) }
            .expect("it is the library's")
            .clone()
    }

    /// The callback table as this generation declares it.
    fn slots(sampler: *mut LlamaSampler) -> [Slot; SLOTS] {
        // SAFETY: a live `FakeSampler`, whose table is at least that long or the library is broken.
        unsafe { (*(*sampler.cast::<FakeSampler>()).iface.cast::<[Slot; SLOTS]>()).to_owned() }
    }

    /// A callback that every generation has.
    fn slot<F: Copy>(sampler: *mut LlamaSampler, index: usize) -> F {
        let slot = Self::slots(sampler)[index].expect("the first six callbacks are there");
        // SAFETY: `F` is the function type of that slot in llama.h.
        unsafe { std::mem::transmute_copy(&slot) }
    }

    pub fn names(&self) -> Vec<CString> {
        let name = |&s: &*mut LlamaSampler| {
            let f: unsafe extern "C" fn(*const LlamaSampler) -> *const c_char = Self::slot(s, 0);
            // SAFETY: slot 0 is `name`, which gives static text.
            unsafe { CStr::from_ptr(f(s)) }.to_owned()
        };
        self.samplers.iter().map(name).collect()
    }

    /// Callbacks beyond the first six that are set: a host would call them.
    pub fn extra(&self) -> usize {
        self.samplers.iter().map(|&s| Self::slots(s)[6..].iter().flatten().count()).sum()
    }

    pub fn accept(&self, token: Token) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler, Token) = Self::slot(s, 1);
            // SAFETY: slot 1 is `accept`, the sampler lives.
            unsafe { f(s, token) }
        }
    }

    pub fn apply(&self, array: &mut TokenDataArray) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler, *mut TokenDataArray) = Self::slot(s, 2);
            // SAFETY: slot 2 is `apply`, sampler and array live.
            unsafe { f(s, array) }
        }
    }

    pub fn reset(&self) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler) = Self::slot(s, 3);
            // SAFETY: slot 3 is `reset`, the sampler lives.
            unsafe { f(s) }
        }
    }

    /// Applies to a row of logits and takes the most likely token, without accepting it.
    pub fn pick(&self, logits: &[f32]) -> Token {
        let mut data = candidates(logits);
        self.apply(&mut TokenDataArray::new(&mut data));
        best(&data)
    }
}

impl<const SLOTS: usize> Clone for Chain<SLOTS> {
    fn clone(&self) -> Self {
        let copy = |&s: &*mut LlamaSampler| {
            let f: unsafe extern "C" fn(*const LlamaSampler) -> *mut LlamaSampler = Self::slot(s, 4);
            // SAFETY: slot 4 is `clone`, the sampler lives.
            let copy = unsafe { f(s) };
            assert!(!copy.is_null());
            copy
        };
        Chain { samplers: self.samplers.iter().map(copy).collect() }
    }
}

impl<const SLOTS: usize> Drop for Chain<SLOTS> {
    fn drop(&mut self) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler) = Self::slot(s, 5);
            // SAFETY: slot 5 is `free`; the object came from `sampler_new` and goes here, once.
            unsafe {
                f(s);
                drop(Box::from_raw(s.cast::<FakeSampler>()));
            }
        }
    }
}

/// A row of logits as a candidate array, in order.
pub fn candidates(logits: &[f32]) -> Vec<TokenData> {
    let candidate = |(id, &logit): (usize, &f32)| TokenData { id: id as Token, logit, p: 0.0 };
    logits.iter().enumerate().map(candidate).collect()
}

/// The most likely candidate, the lowest id if there are several.
pub fn best(candidates: &[TokenData]) -> Token {
    let first = |a: &&TokenData, b: &&TokenData| a.logit.total_cmp(&b.logit).then(b.id.cmp(&a.id));
    candidates.iter().max_by(first).unwrap().id
}
