//! llama.cpp's context by its pointer. llama-cpp-2 keeps that to itself, and has no calls for all that is set on a
//! context: several adapters, control vectors, thread pools.

use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use crate::host::{Row, SeqId};

/// A context, freed when it is dropped. The model that it was made from has to outlive it.
pub(super) struct RawContext(NonNull<sys::llama_context>);

impl RawContext {
    /// None if llama.cpp could not make it; its log says why.
    ///
    /// # Safety
    /// The model is loaded and lives for longer than the context; what the parameters point to lives as long as
    /// llama.cpp wants it.
    pub(super) unsafe fn new(
        model: NonNull<sys::llama_model>,
        params: sys::llama_context_params,
    ) -> Option<RawContext> {
        // SAFETY: passed on.
        NonNull::new(unsafe { sys::llama_init_from_model(model.as_ptr(), params) }).map(RawContext)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_context {
        self.0.as_ptr()
    }

    pub(super) fn n_ctx(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_ctx(self.as_ptr()) }
    }

    pub(super) fn n_batch(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.as_ptr()) }
    }

    /// llama.cpp's own number: 0 is success.
    pub(super) fn decode(&mut self, batch: &mut Batch) -> i32 {
        // SAFETY: the context is live, and the batch's arrays have as many elements as it says.
        unsafe { sys::llama_decode(self.as_ptr(), batch.raw()) }
    }

    /// Logits of a row of the last decode that has them; NULL where llama.cpp has none.
    pub(super) fn logits_ith(&self, i: i32) -> *const f32 {
        // SAFETY: the context is live; llama.cpp checks the index.
        unsafe { sys::llama_get_logits_ith(self.as_ptr(), i) }
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is live.
        unsafe { sys::llama_get_memory(self.as_ptr()) }
    }

    /// Positions below 0 are the beginning and the end.
    pub(super) fn seq_cp(&mut self, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
        // SAFETY: the memory is that of a live context.
        unsafe { sys::llama_memory_seq_cp(self.memory(), src, dst, p0, p1) }
    }

    /// False where only a whole sequence can be forgotten. Positions as for [`RawContext::seq_cp`].
    pub(super) fn seq_rm(&mut self, seq: SeqId, p0: i32, p1: i32) -> bool {
        // SAFETY: the memory is that of a live context.
        unsafe { sys::llama_memory_seq_rm(self.memory(), seq, p0, p1) }
    }

    pub(super) fn seq_pos_min(&self, seq: SeqId) -> i32 {
        // SAFETY: the memory is that of a live context.
        unsafe { sys::llama_memory_seq_pos_min(self.memory(), seq) }
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: it was made by `llama_init_from_model` and is freed once.
        unsafe { sys::llama_free(self.as_ptr()) }
    }
}

/// The rows of a decode, in arrays that are kept from one to the next.
#[derive(Default)]
pub(super) struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    seqs: Vec<sys::llama_seq_id>,
    /// Each row is of one sequence.
    n_seqs: Vec<i32>,
    seq_lists: Vec<*mut sys::llama_seq_id>,
    wants_logits: Vec<i8>,
}

impl Batch {
    /// Takes over the rows.
    pub(super) fn set(&mut self, rows: &[Row]) {
        self.tokens.clear();
        self.tokens.extend(rows.iter().map(|row| row.token));
        self.positions.clear();
        self.positions.extend(rows.iter().map(|row| row.pos));
        self.seqs.clear();
        self.seqs.extend(rows.iter().map(|row| row.seq));
        self.n_seqs.clear();
        self.n_seqs.resize(rows.len(), 1);
        self.wants_logits.clear();
        self.wants_logits.extend(rows.iter().map(|row| i8::from(row.wants_logits != 0)));
        self.seq_lists.clear();
        self.seq_lists.extend(self.seqs.iter_mut().map(std::ptr::from_mut));
    }

    fn raw(&mut self) -> sys::llama_batch {
        sys::llama_batch {
            n_tokens: self.tokens.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.n_seqs.as_mut_ptr(),
            seq_id: self.seq_lists.as_mut_ptr(),
            logits: self.wants_logits.as_mut_ptr(),
        }
    }
}
