//! How large a context has to be for the answers that are to run in it, and for the local judge: the one place where
//! lengths become cells and pairs become sequences.

use super::{BatchSize, DEFAULT_N_CTX};
use crate::error::{Error, Result};
use crate::host::SeqId;
use crate::llama::{ContextOptions, MAX_CELLS, MAX_SEQUENCES, Model};
use crate::steer::MOST_INSTRUCTIONS;

/// The most answers at once: two sequences each, and one for the local judge.
pub const MAX_PAIRS: usize = (MAX_SEQUENCES as usize - 1) / 2;

/// The fewest tokens of a branch: with one, a pair would have no cell for the judge.
pub const MIN_N_CTX: usize = 2;

/// The most tokens of a branch, in a context for a single pair.
pub const MAX_N_CTX: usize = MAX_CELLS as usize / 2;

/// Sizes of a context.
pub(super) struct Sizes {
    pub(super) n_pairs: usize,
    /// Branches of single instructions in each pair.
    n_singles: usize,
    /// The most tokens of a branch.
    pub(super) n_ctx: usize,
    pub(super) options: ContextOptions,
}

impl Sizes {
    pub(super) fn new(model: &Model, size: &BatchSize, options: &ContextOptions) -> Result<Sizes> {
        let BatchSize { n_pairs, n_singles, n_ctx, cells } = *size;
        let n_ctx = branch_length(model, n_ctx);
        if n_singles > MOST_INSTRUCTIONS {
            return Err(Error::param("n_singles", n_singles, format!("at most {MOST_INSTRUCTIONS}")));
        }
        let branches = 2 + n_singles;
        let each = match n_singles {
            0 => "two for each answer at once".to_owned(),
            _ => format!("{branches} for each answer at once"),
        };
        let most = (MAX_SEQUENCES as usize - 1) / branches;
        if !(1..=most).contains(&n_pairs) {
            let allowed = format!("at least 1 and at most {most}, with {branches} branches each");
            return Err(Error::param("n_pairs", n_pairs, allowed));
        }
        let sharing = if cells.is_some() { 1 } else { n_pairs };
        let most = MAX_CELLS as usize / branches / sharing;
        if !(MIN_N_CTX..=most).contains(&n_ctx) {
            let beside = if sharing > 1 { " for so many answers at once" } else { "" };
            let allowed = format!("at least {MIN_N_CTX} and at most {most}{beside}");
            return Err(Error::param("n_ctx", n_ctx, allowed));
        }
        let cells = cells.unwrap_or(branches * n_ctx * n_pairs);
        let n_seq_max = (branches * n_pairs + 1) as u32;
        let least = (branches * n_ctx).max(n_seq_max as usize);
        if !(least..=MAX_CELLS as usize).contains(&cells) {
            let allowed = format!(
                "at least {least}, n_ctx for each branch of an answer and one a sequence, and at most {MAX_CELLS}"
            );
            return Err(Error::param("cells", cells, allowed));
        }
        if options.n_batch < n_seq_max {
            let allowed = format!("at least {n_seq_max}, {each} and one for a judge");
            return Err(Error::param("n_batch", options.n_batch, allowed));
        }
        let options = ContextOptions { n_ctx: cells as u32, n_seq_max, ..*options };
        options.validate()?;
        Ok(Sizes { n_pairs, n_singles, n_ctx, options })
    }

    /// Branches of each pair.
    pub(super) fn branches(&self) -> usize {
        2 + self.n_singles
    }

    /// The judge's sequence, after those of the pairs.
    pub(super) fn judge(&self) -> SeqId {
        self.options.n_seq_max as SeqId - 1
    }
}

/// The most tokens that a branch can hold: `n_ctx`, or for 0 the model's training length, at most [`DEFAULT_N_CTX`].
pub fn branch_length(model: &Model, n_ctx: usize) -> usize {
    match n_ctx {
        0 => model.n_ctx_train().clamp(MIN_N_CTX, DEFAULT_N_CTX),
        n => n,
    }
}
