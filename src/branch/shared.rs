//! A pair that a sampler and its owner both use.

use std::sync::{Arc, Mutex, MutexGuard};

use super::Pair;
use crate::error::{Error, Result};

/// A pair that a sampler and its owner both use.
pub type SharedPair = Arc<Mutex<Pair>>;

/// A pair's lock, or [`Error::Panic`] if a panic has left the pair in an unknown state.
pub fn lock(pair: &SharedPair) -> Result<MutexGuard<'_, Pair>> {
    pair.lock().map_err(|_| Error::Panic)
}
