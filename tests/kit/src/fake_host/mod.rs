//! A toy llama.cpp behind a host table, and a toy sampler chain.
//!
//! The toy model is causal like a real one: what a cell holds is a hash of its token, its position and of
//! every cell that it can see, and logits are made from that hash. So a wrong prefill, copy, rewind or
//! fork shows up in all logits from there on. Where llama.cpp would abort or compute nonsense, the fake
//! writes a complaint, which tests assert to be none.
#![allow(unsafe_code, reason = "it plays the C host")]

mod chain;
mod model;

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use sda::host::{Context, Host, HostTable, LlamaContext, Row, SeqId, Token};

use chain::sampler_new;
#[allow(unused_imports, reason = "each test program uses its own part")]
pub use chain::{Chain, best, candidates};
pub use model::{Config, State};

/// A toy context. It lives as long as the test or anything of the library needs it.
pub struct FakeHost(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    living: Arc<AtomicUsize>,
    log: Mutex<Vec<String>>,
}

impl FakeHost {
    pub fn new(config: Config) -> FakeHost {
        let living = Arc::new(AtomicUsize::new(0));
        let state = Mutex::new(State::new(config, Arc::clone(&living), Arc::default()));
        FakeHost(Arc::new(Shared { state, living, log: Mutex::default() }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The `llama_context *`, for C functions: valid while this value lives.
    pub fn ctx(&self) -> *mut LlamaContext {
        (&raw const self.0.state).cast_mut().cast()
    }

    /// Every function filled in, but for those that the context is said to lack.
    pub fn table(&self) -> HostTable {
        let tells_pos_min = self.state().config.tells_pos_min;
        HostTable {
            decode: Some(decode),
            get_logits_ith: Some(get_logits_ith),
            seq_cp: Some(seq_cp),
            seq_rm: Some(seq_rm),
            seq_pos_min: tells_pos_min.then_some(seq_pos_min),
            n_vocab: Some(n_vocab),
            n_ctx: Some(n_ctx),
            n_ctx_seq: Some(n_ctx_seq),
            n_batch: Some(n_batch),
            n_seq_max: Some(n_seq_max),
            context_new: Some(context_new),
            context_free: Some(context_free),
            sampler_new: Some(sampler_new),
            log: Some(log),
            log_data: (&raw const self.0.log).cast_mut().cast(),
            ..HostTable::EMPTY
        }
    }

    /// The table as the library trusts it.
    pub fn host(&self) -> Host {
        // SAFETY: the functions do what they should; the keep-alive holds the log.
        unsafe { Host::new(&self.table(), Some(self.0.clone())) }
    }

    /// The context as the library uses it.
    pub fn context(&self) -> Context {
        // SAFETY: the functions accept this context, which the host's keep-alive holds; tests that use it
        // beside the library take its lock.
        unsafe { Context::new(&self.host(), self.ctx()) }.unwrap()
    }

    /// Decodes tokens at the end of one sequence, as a host's own code does; logits of the last.
    pub fn feed(&self, seq: SeqId, tokens: &[Token]) -> Vec<f32> {
        let mut state = self.state();
        for &token in tokens {
            let row = Row { token, pos: state.pos_max(seq) + 1, seq, wants_logits: 1 };
            assert_eq!(state.decode(&[row]), 0, "the host's own decode");
        }
        state.outputs.last().unwrap().clone().unwrap()
    }

    /// Rows that were decoded so far.
    pub fn rows(&self) -> usize {
        self.state().rows
    }

    /// Cells in use.
    pub fn used(&self) -> usize {
        self.state().used()
    }

    /// Lets the next decode fail.
    pub fn fail_next(&self, code: i32) {
        let mut state = self.state();
        state.fail = Some((state.decodes, code));
    }

    /// A row of the last decode.
    pub fn row(&self, i: i32) -> Vec<f32> {
        self.state().outputs[i as usize].clone().unwrap()
    }

    /// Contexts made by drop-in samplers that were not freed.
    pub fn siblings(&self) -> usize {
        self.0.living.load(Ordering::SeqCst) - 1
    }

    /// No further context can be made.
    pub fn refuse_siblings(&self) {
        self.state().alone.store(true, Ordering::SeqCst);
    }

    pub fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    /// Nothing was done that llama.cpp would not have survived.
    #[track_caller]
    pub fn assert_sound(&self) {
        assert_eq!(self.state().complaints, Vec::<String>::new());
    }
}

/// Logits after the last of `tokens`, read by a context that does nothing else.
pub fn direct(config: Config, tokens: &[Token]) -> Vec<f32> {
    FakeHost::new(Config { n_ctx: 4096, unified: true, ..config }).feed(0, tokens)
}

/// # Safety
/// `ctx` came from [`FakeHost::ctx`] or [`context_new`] and lives.
unsafe fn state<'a>(ctx: *mut LlamaContext) -> MutexGuard<'a, State> {
    // SAFETY: see above.
    let state = unsafe { &*ctx.cast::<Mutex<State>>() };
    match state.try_lock() {
        Ok(state) => state,
        Err(TryLockError::Poisoned(error)) => panic!("{error}"),
        Err(TryLockError::WouldBlock) => {
            let mut state = state.lock().unwrap();
            state.complaints.push("two threads at once".into());
            state
        }
    }
}

unsafe extern "C" fn decode(ctx: *mut LlamaContext, rows: *const Row, n_rows: usize) -> i32 {
    // SAFETY: the library passes a live context and slice.
    unsafe { state(ctx).decode(std::slice::from_raw_parts(rows, n_rows)) }
}

unsafe extern "C" fn get_logits_ith(ctx: *mut LlamaContext, i: i32) -> *const f32 {
    // SAFETY: the library passes a live context.
    let state = unsafe { state(ctx) };
    let output = usize::try_from(i).ok().and_then(|i| state.outputs.get(i)).and_then(Option::as_ref);
    output.map_or(std::ptr::null(), |row| row.as_ptr())
}

unsafe extern "C" fn seq_cp(ctx: *mut LlamaContext, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.seq_cp(src, dst, p0, p1);
}

unsafe extern "C" fn seq_rm(ctx: *mut LlamaContext, seq: SeqId, p0: i32, p1: i32) -> i32 {
    // SAFETY: the library passes a live context.
    i32::from(unsafe { state(ctx) }.seq_rm(seq, p0, p1))
}

unsafe extern "C" fn seq_pos_min(ctx: *mut LlamaContext, seq: SeqId) -> i32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.pos_min(seq)
}

unsafe extern "C" fn n_vocab(ctx: *mut LlamaContext) -> i32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.config.n_vocab as i32
}

unsafe extern "C" fn n_ctx(ctx: *mut LlamaContext) -> u32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.config.n_ctx as u32
}

unsafe extern "C" fn n_ctx_seq(ctx: *mut LlamaContext) -> u32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.config.n_ctx_seq() as u32
}

unsafe extern "C" fn n_batch(ctx: *mut LlamaContext) -> u32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.config.n_batch as u32
}

unsafe extern "C" fn n_seq_max(ctx: *mut LlamaContext) -> u32 {
    // SAFETY: the library passes a live context.
    unsafe { state(ctx) }.config.n_seq_max as u32
}

unsafe extern "C" fn context_new(ctx: *mut LlamaContext) -> *mut LlamaContext {
    // SAFETY: the library passes a live context.
    let parent = unsafe { state(ctx) };
    if parent.alone.load(Ordering::SeqCst) {
        return std::ptr::null_mut();
    }
    let config = Config { n_ctx: parent.config.n_ctx_seq(), n_seq_max: 1, unified: true, ..parent.config };
    Box::into_raw(Box::new(Mutex::new(State::new(
        config,
        Arc::clone(&parent.living),
        Arc::clone(&parent.alone),
    ))))
    .cast()
}

unsafe extern "C" fn context_free(ctx: *mut LlamaContext) {
    // SAFETY: the library frees what `context_new` made, once.
    let state = unsafe { Box::from_raw(ctx.cast::<Mutex<State>>()) }.into_inner().unwrap();
    assert_eq!(state.complaints, Vec::<String>::new());
    state.living.fetch_sub(1, Ordering::SeqCst);
}

unsafe extern "C" fn log(level: i32, text: *const c_char, data: *mut c_void) {
    // SAFETY: the text is NUL-terminated and `data` is the host's list.
    let (text, lines) = unsafe { (CStr::from_ptr(text), &*data.cast::<Mutex<Vec<String>>>()) };
    lines.lock().unwrap().push(format!("{level}: {}", text.to_str().unwrap()));
}
