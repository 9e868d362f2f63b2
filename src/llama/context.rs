//! A llama.cpp context behind the host table.

use llama_cpp_sys_2 as sys;

use super::model::{Model, backend};
use super::options::ContextOptions;
use super::raw::{Batch, RawContext};
use super::threads::ThreadPool;
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
    // Dropped before the threads that it uses, and the model that it was made from.
    context: RawContext,
    _threads: Option<ThreadPool>,
    model: Model,
    options: ContextOptions,
    batch: Batch,
    /// Which rows of the last decode have logits; llama.cpp logs an error when asked for another.
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
        backend()?;
        let params = options.params();
        // Of one pool for both, as many as either wants.
        let n_threads = params.n_threads.max(params.n_threads_batch) as u32;
        // SAFETY: the state keeps the model for longer than the context; the parameters point to nothing.
        let context = unsafe { RawContext::new(model.as_ptr(), params) };
        let mut context = context.ok_or_else(|| Error::Model {
            reason: format!(
                "llama.cpp could not make a context of {} cells; its log says why",
                options.n_ctx
            ),
        })?;
        model.adapters().apply(&mut context)?;
        let threads = ThreadPool::attach(&mut context, &options.threads, n_threads)?;
        Ok(State {
            context,
            _threads: threads,
            model: model.clone(),
            options: *options,
            batch: Batch::default(),
            has_logits: Vec::new(),
        })
    }

    fn decode(&mut self, rows: &[Row]) -> i32 {
        self.has_logits.clear();
        if rows.len() > self.context.n_batch() as usize {
            return -1;
        }
        self.batch.set(rows);
        let code = self.context.decode(&mut self.batch);
        if code == 0 {
            self.has_logits.extend(rows.iter().map(|row| row.wants_logits != 0));
        }
        code
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
        state.decode(rows)
    })
}

unsafe extern "C" fn get_logits_ith(ctx: *mut host::LlamaContext, i: i32) -> *const f32 {
    guard_or(std::ptr::null(), || {
        // SAFETY: contract of the host table.
        let state = unsafe { state(ctx) };
        match usize::try_from(i).ok().and_then(|i| state.has_logits.get(i)) {
            Some(true) => state.context.logits_ith(i),
            _ => std::ptr::null(),
        }
    })
}

unsafe extern "C" fn seq_cp(ctx: *mut host::LlamaContext, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
    guard_or((), || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.context.seq_cp(src, dst, p0, p1);
    })
}

unsafe extern "C" fn seq_rm(ctx: *mut host::LlamaContext, seq: SeqId, p0: i32, p1: i32) -> i32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        i32::from(unsafe { state(ctx) }.context.seq_rm(seq, p0, p1))
    })
}

unsafe extern "C" fn seq_pos_min(ctx: *mut host::LlamaContext, seq: SeqId) -> i32 {
    guard_or(0, || {
        // SAFETY: contract of the host table.
        unsafe { state(ctx) }.context.seq_pos_min(seq)
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
