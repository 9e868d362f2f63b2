//! A toy llama.cpp behind a host table, and a toy sampler chain.
//!
//! The toy model is causal like a real one: what a cell holds is a hash of its token, its position and of
//! every cell that it can see, and logits are made from that hash. So a wrong prefill, copy, rewind or
//! fork shows up in all logits from there on. Where llama.cpp would abort or compute nonsense, the fake
//! writes a complaint, which tests assert to be none.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use sda::host::{Context, HostTable, LlamaContext, LlamaSampler, Row, SeqId, Token};
use sda::plugin::TokenDataArray;
use sda::sampler::TokenData;

/// What the toy context is like.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub n_vocab: usize,
    /// Cells of the whole context.
    pub n_ctx: usize,
    pub n_batch: usize,
    pub n_seq_max: usize,
    /// One KV buffer for all sequences; else each has `n_ctx / n_seq_max` cells of its own.
    pub unified: bool,
    /// Cells further back than this are neither seen nor kept.
    pub window: Option<i32>,
    /// Keeps one state per sequence, which cannot be rewound.
    pub recurrent: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            n_vocab: 48,
            n_ctx: 256,
            n_batch: 64,
            n_seq_max: 8,
            unified: true,
            window: None,
            recurrent: false,
        }
    }
}

impl Config {
    pub fn n_ctx_seq(&self) -> usize {
        if self.unified { self.n_ctx } else { self.n_ctx / self.n_seq_max }
    }
}

#[derive(Clone, Copy)]
struct Cell {
    pos: i32,
    hash: u64,
    /// Bit set of sequence ids.
    seqs: u64,
}

impl Cell {
    fn of(&self, seq: SeqId) -> bool {
        self.seqs >> seq & 1 == 1
    }
}

/// Everything behind the context pointer.
pub struct State {
    pub config: Config,
    cells: Vec<Cell>,
    outputs: Vec<Option<Vec<f32>>>,
    /// Rows that were decoded.
    pub rows: usize,
    /// Calls of decode, also failed ones.
    pub decodes: usize,
    /// The call of decode that fails (from 0) and what it returns.
    pub fail: Option<(usize, i32)>,
    /// What llama.cpp would not have survived.
    pub complaints: Vec<String>,
    /// Contexts that live, this one and those made from it.
    living: Arc<AtomicUsize>,
    /// Whether `context_new` fails, here and in the contexts made from this one.
    alone: Arc<AtomicBool>,
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl State {
    fn new(config: Config, living: Arc<AtomicUsize>, alone: Arc<AtomicBool>) -> State {
        assert!(config.n_seq_max <= 64);
        living.fetch_add(1, Ordering::SeqCst);
        State {
            config,
            cells: Vec::new(),
            outputs: Vec::new(),
            rows: 0,
            decodes: 0,
            fail: None,
            complaints: Vec::new(),
            living,
            alone,
        }
    }

    pub fn pos_max(&self, seq: SeqId) -> i32 {
        self.cells.iter().filter(|c| c.of(seq)).map(|c| c.pos).max().unwrap_or(-1)
    }

    pub fn pos_min(&self, seq: SeqId) -> i32 {
        self.cells.iter().filter(|c| c.of(seq)).map(|c| c.pos).min().unwrap_or(-1)
    }

    /// Cells in use, of all sequences.
    pub fn used(&self) -> usize {
        self.cells.len()
    }

    fn has_room(&self, rows: &[Row]) -> bool {
        if self.config.unified {
            return self.cells.len() + rows.len() <= self.config.n_ctx;
        }
        (0..self.config.n_seq_max as SeqId).all(|seq| {
            let held = self.cells.iter().filter(|c| c.of(seq)).count();
            held + rows.iter().filter(|r| r.seq == seq).count() <= self.config.n_ctx_seq()
        })
    }

    fn compute(&mut self, row: Row) -> bool {
        let Row { token, pos, seq, wants_logits } = row;
        let valid = (0..self.config.n_vocab as Token).contains(&token)
            && (0..self.config.n_seq_max as SeqId).contains(&seq);
        if !valid || pos != self.pos_max(seq) + 1 {
            self.complaints.push(format!("invalid row {row:?}"));
            return false;
        }
        let window = if self.config.recurrent { Some(2) } else { self.config.window };
        let first = window.map_or(0, |w| pos - w + 1);
        let mut seen: Vec<Cell> =
            self.cells.iter().copied().filter(|c| c.of(seq) && c.pos >= first).collect();
        seen.sort_by_key(|c| c.pos);
        let mut hash = mix(token as u64 ^ (pos as u64) << 32);
        for cell in &seen {
            hash = mix(hash ^ cell.hash.rotate_left((cell.pos % 63) as u32));
        }
        self.cells.push(Cell { pos, hash, seqs: 1 << seq });
        // What the next row cannot see is let go.
        if window.is_some() {
            self.drop_cells(seq, 0, first + 1);
        }
        let n_vocab = self.config.n_vocab as u64;
        let logits =
            || (0..n_vocab).map(|t| (mix(hash ^ mix(t)) >> 40) as f32 / (1 << 21) as f32 - 4.0).collect();
        self.outputs.push((wants_logits != 0).then(logits));
        self.rows += 1;
        true
    }

    fn drop_cells(&mut self, seq: SeqId, p0: i32, p1: i32) {
        for cell in &mut self.cells {
            if (p0..p1).contains(&cell.pos) {
                cell.seqs &= !(1 << seq);
            }
        }
        self.cells.retain(|c| c.seqs != 0);
    }

    fn decode(&mut self, rows: &[Row]) -> i32 {
        let call = self.decodes;
        self.decodes += 1;
        self.outputs.clear();
        if rows.is_empty() || rows.len() > self.config.n_batch {
            self.complaints.push(format!("batch of {} rows", rows.len()));
            return -1;
        }
        let failing = self.fail.filter(|(nth, _)| *nth == call).map(|(_, code)| code);
        if failing == Some(1) || !self.has_room(rows) {
            return 1;
        }
        // An aborted decode leaves what it has done in the cache.
        let end = if failing.is_some() { rows.len().div_ceil(2) } else { rows.len() };
        if !rows[..end].iter().all(|&row| self.compute(row)) {
            return -1;
        }
        failing.unwrap_or(0)
    }

    fn seq_cp(&mut self, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
        let all = p0 <= 0 && p1 < 0;
        let range = p0.max(0)..if p1 < 0 { i32::MAX } else { p1 };
        if self.config.recurrent {
            // There is one state; it is taken whole, whatever the range.
            self.drop_cells(dst, 0, i32::MAX);
            self.cells.iter_mut().filter(|c| c.of(src)).for_each(|c| c.seqs |= 1 << dst);
        } else if self.config.unified {
            for cell in self.cells.iter_mut().filter(|c| c.of(src) && range.contains(&c.pos)) {
                cell.seqs |= 1 << dst;
            }
        } else if !all {
            self.complaints.push(format!("seq_cp of positions {range:?} between KV buffers"));
        } else {
            self.drop_cells(dst, 0, i32::MAX);
            let copies: Vec<Cell> =
                self.cells.iter().filter(|c| c.of(src)).map(|c| Cell { seqs: 1 << dst, ..*c }).collect();
            self.cells.extend(copies);
        }
    }

    fn seq_rm(&mut self, seq: SeqId, p0: i32, p1: i32) -> bool {
        let p1 = if p1 < 0 { i32::MAX } else { p1 };
        let last = self.pos_max(seq);
        if self.config.recurrent && p0 > 0 && p0 <= last {
            return false;
        }
        self.drop_cells(seq, p0.max(0), p1);
        true
    }
}

/// A toy context that the test owns.
pub struct FakeHost {
    state: Box<Mutex<State>>,
    living: Arc<AtomicUsize>,
    log: Box<Mutex<Vec<String>>>,
}

impl FakeHost {
    pub fn new(config: Config) -> FakeHost {
        let living = Arc::new(AtomicUsize::new(0));
        let state = Box::new(Mutex::new(State::new(config, Arc::clone(&living), Arc::default())));
        FakeHost { state, living, log: Box::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The `llama_context *`.
    pub fn ctx(&self) -> *mut LlamaContext {
        (&raw const *self.state).cast_mut().cast()
    }

    /// Every function filled in.
    pub fn table(&self) -> HostTable {
        HostTable {
            decode: Some(decode),
            get_logits_ith: Some(get_logits_ith),
            seq_cp: Some(seq_cp),
            seq_rm: Some(seq_rm),
            seq_pos_min: Some(seq_pos_min),
            n_vocab: Some(n_vocab),
            n_ctx: Some(n_ctx),
            n_ctx_seq: Some(n_ctx_seq),
            n_batch: Some(n_batch),
            n_seq_max: Some(n_seq_max),
            context_new: Some(context_new),
            context_free: Some(context_free),
            sampler_new: Some(sampler_new),
            log: Some(log),
            log_data: (&raw const *self.log).cast_mut().cast(),
            ..HostTable::EMPTY
        }
    }

    /// The context as the library uses it. The host must outlive it.
    pub fn context(&self) -> Context {
        // SAFETY: the functions accept this context; tests keep the host until the end.
        unsafe { Context::new(&self.table(), self.ctx()) }.unwrap()
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
        self.living.load(Ordering::SeqCst) - 1
    }

    /// No further context can be made.
    pub fn refuse_siblings(&self) {
        self.state().alone.store(true, Ordering::SeqCst);
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
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
    unsafe { &*ctx.cast::<Mutex<State>>() }.lock().unwrap()
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

/// `struct llama_sampler`.
#[repr(C)]
struct FakeSampler {
    iface: *const c_void,
    data: *mut c_void,
}

unsafe extern "C" fn sampler_new(iface: *const c_void, data: *mut c_void) -> *mut LlamaSampler {
    Box::into_raw(Box::new(FakeSampler { iface, data })).cast()
}

type Slot = Option<unsafe extern "C" fn()>;

/// A host's chain with samplers of a generation whose callback table has `SLOTS` entries: 6 in the first
/// versions with a chain, later 10 and 12. It owns its samplers.
pub struct Chain<const SLOTS: usize> {
    samplers: Vec<*mut LlamaSampler>,
}

impl<const SLOTS: usize> Chain<SLOTS> {
    pub fn new(sampler: *mut LlamaSampler) -> Self {
        assert!(SLOTS >= 6 && !sampler.is_null());
        Chain { samplers: vec![sampler] }
    }

    pub fn add(&mut self, sampler: *mut LlamaSampler) {
        assert!(!sampler.is_null());
        self.samplers.push(sampler);
    }

    pub fn first(&self) -> *mut LlamaSampler {
        self.samplers[0]
    }

    /// The callback table as this generation declares it.
    fn slots(sampler: *mut LlamaSampler) -> [Slot; SLOTS] {
        // SAFETY: a live `FakeSampler`, whose table is at least that long or the library is broken.
        unsafe { (*(*sampler.cast::<FakeSampler>()).iface.cast::<[Slot; SLOTS]>()).to_owned() }
    }

    /// A callback that every generation has.
    fn slot<F: Copy>(sampler: *mut LlamaSampler, index: usize) -> F {
        let slot = Self::slots(sampler)[index].expect("the first six callbacks are there");
        // SAFETY: `F` is the function type of that slot in llama.h.
        unsafe { std::mem::transmute_copy(&slot) }
    }

    pub fn names(&self) -> Vec<CString> {
        let name = |&s: &*mut LlamaSampler| {
            let f: unsafe extern "C" fn(*const LlamaSampler) -> *const c_char = Self::slot(s, 0);
            // SAFETY: slot 0 is `name`, which gives static text.
            unsafe { CStr::from_ptr(f(s)) }.to_owned()
        };
        self.samplers.iter().map(name).collect()
    }

    /// Callbacks beyond the first six that are set: a host would call them.
    pub fn extra(&self) -> usize {
        self.samplers.iter().map(|&s| Self::slots(s)[6..].iter().flatten().count()).sum()
    }

    pub fn accept(&self, token: Token) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler, Token) = Self::slot(s, 1);
            // SAFETY: slot 1 is `accept`, the sampler lives.
            unsafe { f(s, token) }
        }
    }

    pub fn apply(&self, array: &mut TokenDataArray) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler, *mut TokenDataArray) = Self::slot(s, 2);
            // SAFETY: slot 2 is `apply`, sampler and array live.
            unsafe { f(s, array) }
        }
    }

    pub fn reset(&self) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler) = Self::slot(s, 3);
            // SAFETY: slot 3 is `reset`, the sampler lives.
            unsafe { f(s) }
        }
    }

    /// Applies to a row of logits and takes the most likely token, without accepting it.
    pub fn pick(&self, logits: &[f32]) -> Token {
        let mut data = candidates(logits);
        self.apply(&mut TokenDataArray::new(&mut data));
        best(&data)
    }
}

impl<const SLOTS: usize> Clone for Chain<SLOTS> {
    fn clone(&self) -> Self {
        let copy = |&s: &*mut LlamaSampler| {
            let f: unsafe extern "C" fn(*const LlamaSampler) -> *mut LlamaSampler = Self::slot(s, 4);
            // SAFETY: slot 4 is `clone`, the sampler lives.
            let copy = unsafe { f(s) };
            assert!(!copy.is_null());
            copy
        };
        Chain { samplers: self.samplers.iter().map(copy).collect() }
    }
}

impl<const SLOTS: usize> Drop for Chain<SLOTS> {
    fn drop(&mut self) {
        for &s in &self.samplers {
            let f: unsafe extern "C" fn(*mut LlamaSampler) = Self::slot(s, 5);
            // SAFETY: slot 5 is `free`; the object came from `sampler_new` and goes here, once.
            unsafe {
                f(s);
                drop(Box::from_raw(s.cast::<FakeSampler>()));
            }
        }
    }
}

/// A row of logits as a candidate array, in order.
pub fn candidates(logits: &[f32]) -> Vec<TokenData> {
    let candidate = |(id, &logit): (usize, &f32)| TokenData { id: id as Token, logit, p: 0.0 };
    logits.iter().enumerate().map(candidate).collect()
}

/// The most likely candidate, the lowest id if there are several.
pub fn best(candidates: &[TokenData]) -> Token {
    let first = |a: &&TokenData, b: &&TokenData| a.logit.total_cmp(&b.logit).then(b.id.cmp(&a.id));
    candidates.iter().max_by(first).unwrap().id
}
