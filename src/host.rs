//! The port to llama.cpp: a table of C functions that the host fills in.
//!
//! llama.cpp's ABI moves, so this library never links it and never builds one of its structs. All it
//! needs passes through [`HostTable`]: a C host fills it by including `sda_llama.h`, which is compiled
//! against the host's own `llama.h`; the `bundled` feature fills it from the llama.cpp built into this
//! library; tests fill it with a fake.

// The one place of the core that calls foreign function pointers.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_void};

use crate::error::{Error, Result};

/// Token id, `llama_token`.
pub type Token = i32;

/// Sequence id, `llama_seq_id`.
pub type SeqId = i32;

/// The host's `struct llama_context`; only ever a pointer here.
#[repr(C)]
pub struct LlamaContext {
    _opaque: [u8; 0],
}

/// The host's `struct llama_sampler`; only ever a pointer here.
#[repr(C)]
pub struct LlamaSampler {
    _opaque: [u8; 0],
}

/// One row of a batch: a token at a position of one sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Token id.
    pub token: Token,
    /// Position in the sequence, from 0.
    pub pos: i32,
    /// Sequence the token belongs to.
    pub seq: SeqId,
    /// Not 0: logits of this row are wanted after the decode.
    pub wants_logits: i32,
}

/// Log level of a message to [`HostTable::log`]: something was skipped or refused.
pub const LOG_WARN: i32 = 3;

/// The functions that a host lends to the library.
///
/// Every function gets the context pointer that was given with the table and is called on the thread
/// that called into the library. The table is copied, so it may live on the caller's stack; what its
/// pointers refer to must outlive every object made with it. Fields are only ever appended;
/// `struct_size` tells which exist.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostTable {
    /// `sizeof(sda_host)` as the caller knows it.
    pub struct_size: usize,
    /// `llama_decode` of `n_rows` rows in order. Returns what `llama_decode` returned: 0 ok, 1 no room
    /// in the KV cache, anything else an error. Required.
    pub decode: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, rows: *const Row, n_rows: usize) -> i32>,
    /// `llama_get_logits_ith`: `n_vocab` logits of row `i` of the last decode, valid until the next
    /// one; NULL if that row wanted none. Required.
    pub get_logits_ith: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, i: i32) -> *const f32>,
    /// `llama_memory_seq_cp`, positions `[p0, p1)`, negative for an open end. Required.
    pub seq_cp:
        Option<unsafe extern "C" fn(ctx: *mut LlamaContext, src: SeqId, dst: SeqId, p0: i32, p1: i32)>,
    /// `llama_memory_seq_rm`, positions `[p0, p1)`, negative for an open end. Returns 0 if the memory
    /// cannot drop part of a sequence, else 1. Required.
    pub seq_rm: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, seq: SeqId, p0: i32, p1: i32) -> i32>,
    /// `llama_memory_seq_pos_min`: smallest position still held, -1 if none. Optional: without it the
    /// library takes position 0 to be held always, which is wrong only for sliding-window models that
    /// rewind.
    pub seq_pos_min: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, seq: SeqId) -> i32>,
    /// `llama_vocab_n_tokens`. Required.
    pub n_vocab: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> i32>,
    /// `llama_n_ctx`: KV cells of the whole context. Required.
    pub n_ctx: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_ctx_seq`: the most tokens one sequence can hold. Optional; where it is smaller than
    /// `n_ctx` the context is not `kv_unified` and parts of sequences cannot be shared.
    pub n_ctx_seq: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_batch`: the most rows of one decode. Required.
    pub n_batch: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_seq_max`: sequence ids are below it. Optional.
    pub n_seq_max: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// Makes a second context of the same model, with one sequence and at least as many cells per
    /// sequence as `ctx`; NULL if it cannot. Needed by drop-in samplers only.
    pub context_new: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> *mut LlamaContext>,
    /// Frees what `context_new` made. Needed with `context_new`.
    pub context_free: Option<unsafe extern "C" fn(ctx: *mut LlamaContext)>,
    /// Makes a `llama_sampler` around a callback table (`llama_sampler_i`) and its data, so that the
    /// host's own `llama_sampler_free` can free it; NULL if it cannot. Needed by samplers that go into
    /// a host's chain.
    pub sampler_new:
        Option<unsafe extern "C" fn(iface: *const c_void, data: *mut c_void) -> *mut LlamaSampler>,
    /// Receives a message without a final newline, `level` as in `ggml_log_level` (3 = warning). It may
    /// call the library, but not free what it is called for. Optional.
    pub log: Option<unsafe extern "C" fn(level: i32, text: *const c_char, log_data: *mut c_void)>,
    /// Passed to `log` as it is.
    pub log_data: *mut c_void,
}

impl HostTable {
    /// A table without functions, to be filled.
    pub const EMPTY: HostTable = HostTable {
        struct_size: size_of::<HostTable>(),
        decode: None,
        get_logits_ith: None,
        seq_cp: None,
        seq_rm: None,
        seq_pos_min: None,
        n_vocab: None,
        n_ctx: None,
        n_ctx_seq: None,
        n_batch: None,
        n_seq_max: None,
        context_new: None,
        context_free: None,
        sampler_new: None,
        log: None,
        log_data: std::ptr::null_mut(),
    };

    /// Passes a warning to the host's log, if it has one.
    pub fn warn(&self, text: &str) {
        let Some(log) = self.log else { return };
        // A NUL inside would only cut the message short.
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the host promises that `log` and `log_data` stay valid with the table; the text is
        // NUL-terminated and outlives the call.
        unsafe { log(LOG_WARN, text.as_ptr(), self.log_data) }
    }
}

/// A host's context and the functions to use it with; checked once, then called without looking again.
pub struct Context {
    table: HostTable,
    ctx: *mut LlamaContext,
    n_vocab: usize,
    owned: bool,
}

// SAFETY: a llama_context has no thread affinity; it only must not be used by two threads at once,
// which `&mut self` on everything that decodes and the documented contract of the handles ensure.
unsafe impl Send for Context {}

impl Context {
    /// Wraps a context that the host owns.
    ///
    /// # Safety
    /// `ctx` must be a context that the functions of `table` accept, and both must stay valid for as
    /// long as the returned value lives.
    pub unsafe fn new(table: &HostTable, ctx: *mut LlamaContext) -> Result<Context> {
        if ctx.is_null() {
            return Err(Error::Null { name: "ctx" });
        }
        let required = [
            ("host.decode", table.decode.is_some()),
            ("host.get_logits_ith", table.get_logits_ith.is_some()),
            ("host.seq_cp", table.seq_cp.is_some()),
            ("host.seq_rm", table.seq_rm.is_some()),
            ("host.n_vocab", table.n_vocab.is_some()),
            ("host.n_ctx", table.n_ctx.is_some()),
            ("host.n_batch", table.n_batch.is_some()),
        ];
        for (name, present) in required {
            if !present {
                return Err(Error::Null { name });
            }
        }
        let mut context = Context { table: *table, ctx, n_vocab: 0, owned: false };
        let n_vocab = context.number("n_vocab", table.n_vocab)?;
        context.n_vocab = usize::try_from(n_vocab)
            .ok()
            .filter(|&n| n > 0)
            .ok_or(Error::Host { call: "n_vocab", code: n_vocab })?;
        Ok(context)
    }

    /// Makes a second context of the same model through the host; freed on drop.
    pub fn sibling(&self) -> Result<Context> {
        let (Some(new), Some(_)) = (self.table.context_new, self.table.context_free) else {
            return Err(Error::Null { name: "host.context_new or host.context_free" });
        };
        // SAFETY: the table's functions accept this context (contract of `new`).
        let ctx = unsafe { new(self.ctx) };
        if ctx.is_null() {
            return Err(Error::Host { call: "context_new", code: 0 });
        }
        Ok(Context { table: self.table, ctx, n_vocab: self.n_vocab, owned: true })
    }

    /// The same context again, for a second object that works in it; never frees it.
    pub(crate) fn alias(&self) -> Context {
        Context { table: self.table, ctx: self.ctx, n_vocab: self.n_vocab, owned: false }
    }

    /// True if both stand for the same context of the host.
    pub fn is_same(&self, other: &Context) -> bool {
        self.ctx == other.ctx
    }

    fn number<T>(
        &self,
        name: &'static str,
        f: Option<unsafe extern "C" fn(*mut LlamaContext) -> T>,
    ) -> Result<T> {
        let f = f.ok_or(Error::Null { name })?;
        // SAFETY: the table's functions accept this context (contract of `new`).
        Ok(unsafe { f(self.ctx) })
    }

    /// The functions this context is used through.
    pub fn table(&self) -> &HostTable {
        &self.table
    }

    /// Number of tokens in the vocabulary: the length of every row of logits.
    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    /// KV cells of the whole context.
    pub fn n_ctx(&self) -> usize {
        self.number("n_ctx", self.table.n_ctx).map_or(0, |n| n as usize)
    }

    /// The most tokens one sequence can hold.
    pub fn n_ctx_seq(&self) -> usize {
        self.number("n_ctx_seq", self.table.n_ctx_seq).map_or_else(|_| self.n_ctx(), |n| n as usize)
    }

    /// True if all sequences share one KV buffer, so that parts of one can be shared with another.
    pub fn is_unified(&self) -> bool {
        self.n_ctx_seq() >= self.n_ctx()
    }

    /// The most rows of one decode.
    pub fn n_batch(&self) -> usize {
        self.number("n_batch", self.table.n_batch).map_or(1, |n| (n as usize).max(1))
    }

    /// Checks that a sequence id can be used.
    pub fn check_seq(&self, field: &'static str, seq: SeqId) -> Result<()> {
        let max = self.number("n_seq_max", self.table.n_seq_max).map_or(i32::MAX as u32, |n| n);
        if seq < 0 || seq as u32 >= max {
            let allowed = "at least 0 and below the context's n_seq_max";
            return Err(Error::param(field, format_args!("{seq} (n_seq_max {max})"), allowed));
        }
        Ok(())
    }

    /// Decodes rows in one call. Earlier logits are invalid afterwards, whatever the result.
    pub fn decode(&mut self, rows: &[Row]) -> Result<()> {
        let decode = self.table.decode.ok_or(Error::Null { name: "host.decode" })?;
        // SAFETY: the context is valid (contract of `new`), `rows` is a live slice of `len` rows.
        match unsafe { decode(self.ctx, rows.as_ptr(), rows.len()) } {
            0 => Ok(()),
            1 => Err(Error::ContextFull { needed: rows.len(), available: 0 }),
            2 => Err(Error::Cancelled),
            code => Err(Error::Host { call: "decode", code }),
        }
    }

    /// Logits of row `i` of the last decode: `n_vocab` values.
    pub fn logits(&self, i: i32) -> Result<&[f32]> {
        let get = self.table.get_logits_ith.ok_or(Error::Null { name: "host.get_logits_ith" })?;
        // SAFETY: the context is valid (contract of `new`).
        let logits = unsafe { get(self.ctx, i) };
        if logits.is_null() {
            return Err(Error::Host { call: "get_logits_ith", code: i });
        }
        // SAFETY: the host returns `n_vocab` floats that stay as they are until the next decode, which
        // needs `&mut self` and so ends this borrow.
        Ok(unsafe { std::slice::from_raw_parts(logits, self.n_vocab) })
    }

    /// Copies positions `[p0, p1)` of one sequence to another; negative for an open end.
    pub fn seq_cp(&mut self, src: SeqId, dst: SeqId, p0: i32, p1: i32) -> Result<()> {
        let cp = self.table.seq_cp.ok_or(Error::Null { name: "host.seq_cp" })?;
        // SAFETY: the context is valid (contract of `new`).
        unsafe { cp(self.ctx, src, dst, p0, p1) };
        Ok(())
    }

    /// Drops positions `[p0, ..)` of a sequence. False if the memory cannot drop just a part.
    pub fn seq_truncate(&mut self, seq: SeqId, p0: usize) -> Result<bool> {
        let rm = self.table.seq_rm.ok_or(Error::Null { name: "host.seq_rm" })?;
        // SAFETY: the context is valid (contract of `new`).
        Ok(unsafe { rm(self.ctx, seq, p0 as i32, -1) } != 0)
    }

    /// Smallest position that is still held of a sequence, -1 if none.
    pub fn seq_pos_min(&self, seq: SeqId) -> i32 {
        match self.table.seq_pos_min {
            // SAFETY: the context is valid (contract of `new`).
            Some(f) => unsafe { f(self.ctx, seq) },
            None => 0,
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let (true, Some(free)) = (self.owned, self.table.context_free) {
            // SAFETY: `ctx` came from the host's `context_new` and is freed once, here.
            unsafe { free(self.ctx) }
        }
    }
}
