//! The array of candidates that a host's samplers hand on, as llama.cpp lays it out.

use super::table::Token;
use crate::error::Result;

/// One candidate: the host's `llama_token_data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenData {
    /// Token id.
    pub id: Token,
    /// Logit.
    pub logit: f32,
    /// Probability; not read, and written only where candidates are dropped by it.
    pub p: f32,
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

    /// Lets `edit` change the candidates, and drop some: it returns how many of the first ones are left, which
    /// are then in descending order, or None if all are left, in any order. On an error nothing else changes.
    ///
    /// # Safety
    /// The array's data is NULL or points to as many candidates as its size says, which nobody else uses
    /// during the call.
    pub unsafe fn edit(
        &mut self,
        edit: impl FnOnce(&mut [TokenData]) -> Result<Option<usize>>,
    ) -> Result<()> {
        let candidates = if self.data.is_null() || self.size == 0 {
            &mut []
        } else {
            // SAFETY: see above.
            unsafe { std::slice::from_raw_parts_mut(self.data, self.size) }
        };
        let kept = edit(candidates)?;
        self.size = kept.map_or(self.size, |kept| kept.min(self.size));
        self.sorted = kept.is_some();
        Ok(())
    }
}
