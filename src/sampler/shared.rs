//! A sampler that its owner and a host's chain share.
//!
//! A chain's callbacks return nothing, so an error is kept, logged once, and the candidates stay as they were.
//! Nothing is locked while the host's log is called.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Sampler, Source};
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::host::llama_sampler::{self, ChainSampler};
use crate::host::{Host, LlamaSampler, Token, TokenData};
use crate::params::Params;

/// The name that hosts show for the sampler.
pub const NAME: &CStr = c"sda";

/// A handle onto a sampler, its host and its errors; a clone is another handle onto the same.
/// Shared by its owner and the `llama_sampler` in a chain, whichever is freed last. May be used by several
/// threads, which wait for each other.
#[derive(Clone)]
pub struct SharedSampler(Arc<Mutex<State>>);

struct State {
    sampler: Sampler,
    host: Host,
    /// First error of a step since the last reset; later steps are steered again, this stays.
    error: Option<Error>,
    /// What [`SharedSampler::last_error`] returns.
    last: Option<Error>,
    /// A line for the host's log, which waits for the lock's release: the host may call back.
    unsaid: Option<String>,
}

impl State {
    /// Keeps the error of a step, which a chain cannot report. A panic replaces what was there; else the first
    /// one stays.
    fn fail(&mut self, error: Error) {
        if self.error.is_some() && error != Error::Panic {
            return;
        }
        self.unsaid = Some(format!("sda: {error}; candidates are left as they were"));
        self.last = Some(error.clone());
        self.error = Some(error);
    }
}

impl SharedSampler {
    /// Puts a sampler behind a handle.
    pub fn new(sampler: Sampler, host: &Host) -> SharedSampler {
        SharedSampler::with_errors(sampler, host, None, None)
    }

    fn with_errors(
        sampler: Sampler,
        host: &Host,
        error: Option<Error>,
        last: Option<Error>,
    ) -> SharedSampler {
        let state = State { sampler, host: host.clone(), error, last, unsaid: None };
        SharedSampler(Arc::new(Mutex::new(state)))
    }

    /// Runs a closure on the sampler; [`SharedSampler::last_error`] has its error. After a panic in it every
    /// call is [`Error::Panic`].
    pub fn with<T>(&self, body: impl FnOnce(&mut Sampler) -> Result<T>) -> Result<T> {
        self.told(|| self.locked(|state| body(&mut state.sampler)))
    }

    /// Runs a call whose error its caller gets, and keeps the error for [`SharedSampler::last_error`].
    pub fn told<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        body().inspect_err(|error| self.lock().last = Some(error.clone()))
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
            state.last = None;
            state.sampler.reset();
            Ok(())
        })
    }

    /// First error of a step since the sampler was made or reset.
    pub fn error(&self) -> Option<Error> {
        self.lock().error.clone()
    }

    /// Error of the last call of [`SharedSampler::with`] or [`SharedSampler::told`] that failed, or of the first
    /// failed step if none failed since. None since the last reset.
    pub fn last_error(&self) -> Option<Error> {
        self.lock().last.clone()
    }

    /// A sampler at the same point that continues by itself, with the errors that this one has.
    pub fn fork(&self) -> Result<SharedSampler> {
        self.locked(|state| {
            let (error, last) = (state.error.clone(), state.last.clone());
            Ok(SharedSampler::with_errors(state.sampler.fork()?, &state.host, error, last))
        })
    }

    /// Makes a `llama_sampler` for the host's chain; the chain owns it and frees it. The handle stays valid
    /// beside it.
    pub fn into_llama(&self) -> Result<*mut LlamaSampler> {
        let host = self.locked(|state| Ok(state.host.clone()))?;
        llama_sampler::wrap(&host, Box::new(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic, the error that was kept refuses every call.
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

    /// Some hosts use a clone without checking it, so a clone that failed is a sampler that refuses every step
    /// and says why.
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
