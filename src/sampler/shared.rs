//! A sampler that its owner and a host's chain share.
//!
//! A chain's callbacks return nothing, so an error is kept, logged once, and the candidates stay as they were.
//! Nothing is locked while the host's log is called.

use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Sampler, Source};
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::host::llama_sampler::{self, ChainSampler};
use crate::host::{Host, LlamaSampler, Token, TokenData};
use crate::params::Params;

/// The name that hosts show for the sampler.
pub const NAME: &CStr = c"sda";

/// A handle onto a sampler, its host and the first error that it met; a clone is another handle onto the same.
/// Shared by its owner and the `llama_sampler` in a chain, whichever is freed last. May be used by several
/// threads, which wait for each other.
#[derive(Clone)]
pub struct SharedSampler(Arc<Mutex<State>>);

struct State {
    sampler: Sampler,
    host: Host,
    /// First error since the last reset that no caller was told of; later steps are steered again, this stays.
    error: Option<Error>,
    /// Text of `error`, or of the last error that a caller was told of, for C.
    message: CString,
    /// A line for the host's log, which waits for the lock's release: the host may call back.
    unsaid: Option<String>,
}

impl State {
    /// Keeps an error that nobody was told of. A panic replaces what was there; else the first one stays.
    fn fail(&mut self, error: Error) {
        if self.error.is_some() && error != Error::Panic {
            return;
        }
        self.unsaid = Some(format!("sda: {error}; candidates are left as they were"));
        self.note(&error);
        self.error = Some(error);
    }

    /// Keeps the text of an error that the caller was told of by its status.
    fn note(&mut self, error: &Error) {
        if self.error.is_none() {
            self.message = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
        }
    }
}

impl SharedSampler {
    /// Puts a sampler behind a handle.
    pub fn new(sampler: Sampler, host: &Host) -> SharedSampler {
        SharedSampler::with_error(sampler, host, None, CString::default())
    }

    fn with_error(sampler: Sampler, host: &Host, error: Option<Error>, message: CString) -> SharedSampler {
        let state = State { sampler, host: host.clone(), error, message, unsaid: None };
        SharedSampler(Arc::new(Mutex::new(state)))
    }

    /// Runs a closure on the sampler. [`SharedSampler::message`] has the text of its error. After a panic in
    /// it every call is [`Error::Panic`].
    pub fn with<T>(&self, body: impl FnOnce(&mut Sampler) -> Result<T>) -> Result<T> {
        self.locked(|state| body(&mut state.sampler).inspect_err(|error| state.note(error)))
    }

    /// [`Sampler::apply`], whose error is kept, too; and [`Sampler::kept`].
    pub fn apply(&self, candidates: &mut [TokenData]) -> Result<Option<usize>> {
        self.locked(|state| match state.sampler.apply(candidates) {
            Ok(_) => Ok(state.sampler.kept()),
            Err(error) => {
                state.fail(error.clone());
                Err(error)
            }
        })
    }

    /// Goes back to the state before the first step, without an error.
    pub fn reset(&self) -> Result<()> {
        self.locked(|state| {
            state.error = None;
            state.message = CString::default();
            state.sampler.reset();
            Ok(())
        })
    }

    /// First error of a step since the sampler was made or reset.
    pub fn error(&self) -> Option<Error> {
        self.lock().error.clone()
    }

    /// Text of that error, or of the last one that a call returned; empty if there was none.
    pub fn message(&self) -> CString {
        self.lock().message.clone()
    }

    /// A sampler at the same point that continues by itself, with the error that this one has.
    pub fn fork(&self) -> Result<SharedSampler> {
        self.locked(|state| {
            let (error, message) = (state.error.clone(), state.message.clone());
            Ok(SharedSampler::with_error(state.sampler.fork()?, &state.host, error, message))
        })
    }

    /// Makes a `llama_sampler` for the host's chain; the chain owns it and frees it. The handle stays valid
    /// beside it.
    pub fn into_llama(&self) -> Result<*mut LlamaSampler> {
        let host = self.locked(|state| Ok(state.host.clone()))?;
        llama_sampler::wrap(&host, Box::new(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic has left is refused by the error that it was kept as.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a closure under the lock; a panic is kept as an error. What is to be logged is logged after the
    /// lock is released.
    fn locked<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        if state.error == Some(Error::Panic) {
            return Err(Error::Panic);
        }
        let result = caught(|| body(&mut state));
        if let Err(Error::Panic) = result {
            state.fail(Error::Panic);
        }
        if let Some(line) = state.unsaid.take() {
            let host = state.host.clone();
            drop(state);
            host.warn(&line);
        }
        result
    }
}

impl ChainSampler for SharedSampler {
    fn name(&self) -> &'static CStr {
        NAME
    }

    fn accept(&self, token: Token) {
        // Taking note of a token cannot fail; what may come back is a panic, which is kept.
        let _ = self.with(|sampler| {
            sampler.accept(token);
            Ok(())
        });
    }

    fn apply(&self, candidates: &mut [TokenData]) -> Result<Option<usize>> {
        SharedSampler::apply(self, candidates)
    }

    fn reset(&self) {
        // It fails after a panic only, which is kept.
        let _ = SharedSampler::reset(self);
    }

    /// Some hosts use a clone without a look, so one that failed is a sampler that refuses every step and
    /// says why.
    fn fork(&self) -> Box<dyn ChainSampler> {
        Box::new(SharedSampler::fork(self).unwrap_or_else(|error| {
            let source = Source::Given { n_vocab: 1, logits: Vec::new(), fresh: false };
            let sampler = Sampler::new(Params::default(), source).expect("default settings are valid");
            let broken = SharedSampler::new(sampler, &self.lock().host);
            // The error is there for the host to find; it is no result of this call.
            let _ = broken.locked(|state| {
                state.fail(error);
                Ok(())
            });
            broken
        }))
    }
}
