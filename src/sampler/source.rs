//! Where a sampler gets the plain branch's logits from.

use std::sync::Arc;

use crate::branch::{DropIn, SharedPair, lock};
use crate::error::Result;
use crate::host::Token;

/// Where the plain branch's logits come from.
pub enum Source {
    /// The host hands them in before each step.
    Given {
        /// Size of the vocabulary.
        n_vocab: usize,
        /// The plain logits that were set last.
        logits: Vec<f32>,
        /// False once a token was accepted: they are then those of an earlier step.
        fresh: bool,
    },
    /// The plain row of a pair in the host's own context.
    Paired(SharedPair),
    /// A context of the sampler's own.
    DropIn(Box<DropIn>),
}

impl Source {
    /// Number of tokens in the vocabulary.
    pub(super) fn n_vocab(&self) -> Result<usize> {
        Ok(match self {
            Source::Given { n_vocab, .. } => *n_vocab,
            Source::Paired(pair) => lock(pair)?.context().n_vocab(),
            Source::DropIn(dropin) => dropin.n_vocab(),
        })
    }

    /// Takes note of the token that the host chose.
    pub(super) fn accept(&mut self, token: Token) {
        match self {
            Source::Given { fresh, .. } => *fresh = false,
            Source::Paired(_) => {}
            Source::DropIn(dropin) => dropin.accept(token),
        }
    }

    /// Goes back to the state before the first step; a pair is left alone.
    pub(super) fn reset(&mut self) {
        match self {
            Source::Given { fresh, .. } => *fresh = false,
            Source::Paired(_) => {}
            Source::DropIn(dropin) => dropin.reset(),
        }
    }

    /// The source of a sampler at the same point: the same pair, or a branch in a context of its own.
    pub(super) fn fork(&self) -> Result<Source> {
        Ok(match self {
            Source::Given { n_vocab, logits, fresh } => {
                Source::Given { n_vocab: *n_vocab, logits: logits.clone(), fresh: *fresh }
            }
            Source::Paired(pair) => Source::Paired(Arc::clone(pair)),
            Source::DropIn(dropin) => Source::DropIn(Box::new(dropin.fork()?)),
        })
    }
}
