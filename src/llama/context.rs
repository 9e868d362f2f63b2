//! A llama.cpp context behind the host table.

use std::num::NonZeroU32;
use std::sync::Arc;

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2 as sys;

use super::model::{Model, backend};
use super::options::{ContextOptions, MAX_THREADS};
use crate::error::{Error, Result};
use crate::guard::guard_or;
use crate::host::{self, Host, HostTable, Row, SeqId};

impl Model {
    /// Makes a context. It keeps the model, and is freed with the last object that works in it.
    ///
    /// # Errors
    /// Those of [`ContextOptions::validate`]; [`Error::Model`] if llama.cpp could not make it, for want of memory for one.
    pub fn new_context(&self, options: &ContextOptions) -> Result<host::Context> {
        let state = Box::into_raw(Box::new(State::new(self, options)?));
        // SAFETY: the table's functions take a pointer to `State`, from any thread, and need nothing else.
        let host = unsafe { Host::new(&TABLE, None) };
        // SAFETY: as above; the pointer is the only one, and is freed by `context_free`.
        unsafe { host::Context::owned(&host, state.cast()) }
    }
}

/// What the host table's functions get a pointer to.
struct State {
    // Dropped before the model that it borrows.
    context: LlamaContext<'static>,
    model: Model,
    options: ContextOptions,
    batch: LlamaBatch<'static>,
    /// Which rows of the last decode have logits; llama-cpp-2 panics when asked for another.
    has_logits: Vec<bool>,
}

/// The host table of the built-in llama.cpp.
const TABLE: HostTable = HostTable {
    decode: Some(decode),
    get_logits_ith: Some(get_logits_ith),
    seq_cp: Some(seq_cp),
    seq_rm: Some(seq_rm),
    seq_pos_min: Some(seq_pos_min),
    n_vocab: Some(n_vocab),
    n_ctx: Some(n_ctx),
    n_ctx_seq: None,
    n_batch: Some(n_batch),
    n_seq_max: Some(n_seq_max),
    context_new: Some(context_new),
    context_free: Some(context_free),
    sampler_new: Some(sampler_new),
    ..HostTable::EMPTY
};

impl State {
    fn new(model: &Model, options: &ContextOptions) -> Result<State> {
        options.validate()?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32).min(MAX_THREADS);
        let threads = if options.n_threads == 0 { cores } else { options.n_threads };
        let threads_batch = if options.n_threads_batch == 0 { threads } else { options.n_threads_batch };
        let flash_attn = match options.flash_attn {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        };
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(options.n_ctx))
            .with_n_batch(options.n_batch)
            .with_n_ubatch(options.n_ubatch)
            .with_n_seq_max(options.n_seq_max)
            .with_n_threads(threads as i32)
            .with_n_threads_batch(threads_batch as i32)
            .with_flash_attention_policy(flash_attn)
            .with_type_k(options.cache_type_k)
            .with_type_v(options.cache_type_v)
            .with_swa_full(options.swa_full)
            .with_kv_unified(true)
            .with_no_perf(true);
        // SAFETY: the model is on the heap, and the state keeps it for longer than the context that borrows it.
        let borrowed: &'static LlamaModel = unsafe { &*Arc::as_ptr(model.inner()) };
        let context = borrowed.new_context(backend()?, params).map_err(|e| Error::Model {
            reason: format!("llama.cpp could not make a context of {} cells ({e})", options.n_ctx),
        })?;
        let batch = LlamaBatch::new(context.n_batch() as usize, 1);
        Ok(State { context, model: model.clone(), options: *options, batch, has_logits: Vec::new() })
    }

    fn decode(&mut self, rows: &[Row]) -> std::result::Result<(), i32> {
        self.has_logits.clear();
        self.batch.clear();
        for row in rows {
            let wants = row.wants_logits != 0;
            self.batch.add(LlamaToken(row.token), row.pos, &[row.seq], wants).map_err(|_| -1)?;
        }
        self.context.decode(&mut self.batch).map_err(|e| match e {
            DecodeError::NoKvCacheSlot => 1,
            DecodeError::NTokensZero => -1,
            DecodeError::Unknown(code) => code,
        })?;
        self.has_logits.extend(rows.iter().map(|row| row.wants_logits != 0));
        Ok(())
    }
}

/// # Safety
/// `ctx` must come from [`Model::new_context`] or [`context_new`] and be alive, and nobody else uses it
/// during `'a`.
unsafe fn state<'a>(ctx: *mut host::LlamaContext) -> &'a mut State {
    // SAFETY: see above; the core checked that it is not NULL and lets one thread in at a time.
    unsafe { &mut *ctx.cast() }
}

unsafe extern "C" fn decode(ctx: *mut host::LlamaContext, rows: *const Row, n_rows: usize) -> i32 {
    guard_or(-1, || {
        // SAFETY: contract of the host table.
        let (state, rows) = unsafe { (state(ctx), std::slice::from_raw_parts(rows, n_rows)) };
        state.decode(rows).err().unwrap_or(0)
    })
}

unsafe extern "C" fn get_logits_ith(ctx: *mut host::LlamaContext, i: i32) -> *const f32 {
    guard_or(std::ptr::null(), || {
        // SAFETY: contract of the host table.
        let state = unsafe { state(ctx) };
        match usize::try_from(i).ok().and_then(|i| state.has_logits.get(i)) {
            Some(true) => state.context.get_logits_ith(i).as_ptr(),
            _ => std::ptr::null(),
        }
    })
}

fn bound(p: i32) -> Option<u32> {
    u32::try_from(p).ok()
}

unsafe extern "C" fn seq_cp(ctx: *mut host::LlamaContext, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
    guard_or((), || {
        // SAFETY: contract of the host table.
        let state = unsafe { state(ctx) };
        let copied = state.context.copy_kv_cache_seq(src, dst, bound(p0), bound(p1));
        debug_assert!(copied.is_ok(), "positions came from i32");
    })
}

unsafe extern "C" fn seq_rm(ctx: *mut host::LlamaContext, seq: SeqId, p0: i32, p1: i32) -> i32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        let state = unsafe { state(ctx) };
        i32::from(state.context.kv_cache_seq_rm(seq, bound(p0), bound(p1)).is_ok())
    })
}

unsafe extern "C" fn seq_pos_min(ctx: *mut host::LlamaContext, seq: SeqId) -> i32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.context.kv_cache_seq_pos_min(seq)
    })
}

unsafe extern "C" fn n_vocab(ctx: *mut host::LlamaContext) -> i32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.model.n_vocab() as i32
    })
}

unsafe extern "C" fn n_ctx(ctx: *mut host::LlamaContext) -> u32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.context.n_ctx()
    })
}

unsafe extern "C" fn n_batch(ctx: *mut host::LlamaContext) -> u32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.context.n_batch()
    })
}

unsafe extern "C" fn n_seq_max(ctx: *mut host::LlamaContext) -> u32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.options.n_seq_max
    })
}

unsafe extern "C" fn context_new(ctx: *mut host::LlamaContext) -> *mut host::LlamaContext {
    guard_or(std::ptr::null_mut(), || {
        // SAFETY: contract of the host table.
        let state = unsafe { state(ctx) };
        let options = ContextOptions { n_seq_max: 1, ..state.options };
        match State::new(&state.model, &options) {
            Ok(sibling) => Box::into_raw(Box::new(sibling)).cast(),
            Err(_) => std::ptr::null_mut(),
        }
    })
}

unsafe extern "C" fn context_free(ctx: *mut host::LlamaContext) {
    guard_or((), || {
        // SAFETY: `context_new` made it, and the core frees it once.
        drop(unsafe { Box::from_raw(ctx.cast::<State>()) });
    })
}

unsafe extern "C" fn sampler_new(
    iface: *const std::ffi::c_void,
    data: *mut std::ffi::c_void,
) -> *mut host::LlamaSampler {
    guard_or(std::ptr::null_mut(), || {
        // SAFETY: `iface` is a callback table at least as long as this llama.cpp's.
        unsafe { sys::llama_sampler_init(iface.cast_mut().cast(), data) }.cast()
    })
}
