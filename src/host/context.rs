//! A host's context: what may be done with it, by whom and when.
//!
//! Several objects may work in one context, in sequences of their own: the pairs of a batch, a fork, the
//! local judge. Each holds a [`Context`], a handle onto the same [`Shared`], where two rules are kept:
//!
//! - One thread at a time is inside a function of the host; others wait.
//! - Rows of logits live in the context until the next decode. A borrowed row ([`Logits`]) therefore holds
//!   decodes off, and a row of an earlier decode ([`LogitsRow`]) is refused rather than read.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::table::{Host, HostTable, LlamaContext, Row, SeqId};
use crate::error::{Error, Result};

/// Numbers all decodes of the process in order, so that no row is taken for one of another context.
static DECODES: AtomicU64 = AtomicU64::new(1);

/// A handle onto a host's context, checked once; a clone is another handle onto the same context. May be
/// used by several threads: the host's functions are called for one at a time.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
    n_vocab: usize,
    n_ctx: usize,
    n_ctx_seq: usize,
    n_batch: usize,
    /// Sequence ids are below it.
    n_seq_max: u32,
}

struct Shared {
    host: Host,
    ctx: *mut LlamaContext,
    /// The context goes with the last handle.
    owned: bool,
    /// Number of the last decode, 0 before the first. Locked while a function of the host works on the
    /// context.
    decode: Mutex<u64>,
    /// Rows of logits that are borrowed. It grows only while `decode` is locked.
    borrowed: AtomicUsize,
}

// SAFETY: a llama_context has no thread affinity, it only must not be used by two threads at once. Every
// function that gets it is called with `decode` locked, and the rows that are read without the lock are
// counted in `borrowed`, which keeps decodes from writing them.
unsafe impl Send for Shared {}
// SAFETY: see above.
unsafe impl Sync for Shared {}

/// A decode that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded(u64);

impl Decoded {
    /// Its row `index`, which has logits if it was asked for them.
    pub fn row(self, index: usize) -> LogitsRow {
        LogitsRow { index: index as i32, decode: self.0 }
    }
}

/// A row of logits of one decode, and of no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogitsRow {
    index: i32,
    decode: u64,
}

impl LogitsRow {
    /// Its index in the decode: the `idx` for `llama_sampler_sample`.
    pub fn index(self) -> i32 {
        self.index
    }
}

/// A borrowed row of logits, `n_vocab` values by token id. While it lives, every decode in its context is
/// refused with [`Error::State`].
pub struct Logits<'a> {
    row: &'a [f32],
    borrowed: &'a AtomicUsize,
}

impl Deref for Logits<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.row
    }
}

impl Drop for Logits<'_> {
    fn drop(&mut self) {
        // Release: what was read from the row was read before a decode sees that it is free.
        self.borrowed.fetch_sub(1, Ordering::Release);
    }
}

impl Context {
    /// Wraps a context that somebody else frees: the owner of `host`'s keep-alive, or the caller.
    ///
    /// # Safety
    /// `ctx` must be a context that the host's functions accept. It must stay valid for as long as the host's
    /// keep-alive lives; without one, for as long as the returned value and everything made with it. Nobody
    /// may use it while a function of the returned value runs or a row of its logits is borrowed.
    pub unsafe fn new(host: &Host, ctx: *mut LlamaContext) -> Result<Context> {
        // SAFETY: passed on.
        unsafe { Context::checked(host, ctx, false) }
    }

    /// Takes over a context that the host's `context_free` frees after the last handle, also on an error.
    ///
    /// # Safety
    /// `ctx` must be a context that the host's functions accept, and nobody else's.
    pub unsafe fn owned(host: &Host, ctx: *mut LlamaContext) -> Result<Context> {
        if host.table().context_free.is_none() {
            return Err(Error::Null { name: "host.context_free" });
        }
        // SAFETY: passed on.
        unsafe { Context::checked(host, ctx, true) }
    }

    /// # Safety
    /// As for [`Context::new`] or [`Context::owned`].
    unsafe fn checked(host: &Host, ctx: *mut LlamaContext, owned: bool) -> Result<Context> {
        if ctx.is_null() {
            return Err(Error::Null { name: "ctx" });
        }
        // From here on it is freed if it is owned.
        let shared = Shared {
            host: host.clone(),
            ctx,
            owned,
            decode: Mutex::default(),
            borrowed: AtomicUsize::default(),
        };
        let table = host.table();
        let required = [
            ("host.decode", table.decode.is_some()),
            ("host.get_logits_ith", table.get_logits_ith.is_some()),
            ("host.seq_cp", table.seq_cp.is_some()),
            ("host.seq_rm", table.seq_rm.is_some()),
        ];
        for (name, present) in required {
            if !present {
                return Err(Error::Null { name });
            }
        }
        let n_vocab = shared.number("host.n_vocab", table.n_vocab)?;
        let n_ctx = shared.number("host.n_ctx", table.n_ctx)? as usize;
        let n_batch = shared.number("host.n_batch", table.n_batch)? as usize;
        let n_ctx_seq = table.n_ctx_seq.map(|f| shared.number("host.n_ctx_seq", Some(f))).transpose()?;
        let n_seq_max = table.n_seq_max.map(|f| shared.number("host.n_seq_max", Some(f))).transpose()?;
        Ok(Context {
            shared: Arc::new(shared),
            n_vocab: usize::try_from(n_vocab)
                .ok()
                .filter(|&n| n > 0)
                .ok_or(Error::Host { call: "n_vocab", code: n_vocab })?,
            n_ctx,
            n_ctx_seq: n_ctx_seq.map_or(n_ctx, |n| n as usize),
            n_batch: n_batch.max(1),
            n_seq_max: n_seq_max.unwrap_or(i32::MAX as u32),
        })
    }

    /// Makes a second context of the same model through the host; freed with its last handle.
    pub fn sibling(&self) -> Result<Context> {
        let host = &self.shared.host;
        let (Some(new), Some(_)) = (host.table().context_new, host.table().context_free) else {
            return Err(Error::Null { name: "host.context_new or host.context_free" });
        };
        let lock = self.shared.lock()?;
        // SAFETY: the function accepts this context (contract of `new`), which is locked.
        let ctx = unsafe { new(self.shared.ctx) };
        drop(lock);
        if ctx.is_null() {
            return Err(Error::Host { call: "context_new", code: 0 });
        }
        // SAFETY: the host made it for us.
        unsafe { Context::owned(host, ctx) }
    }

    /// True if both stand for the same context of the host.
    pub fn is_same(&self, other: &Context) -> bool {
        self.shared.ctx == other.shared.ctx
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// Number of tokens in the vocabulary: the length of every row of logits.
    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    /// KV cells of the whole context.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// The most tokens one sequence can hold.
    pub fn n_ctx_seq(&self) -> usize {
        self.n_ctx_seq
    }

    /// True if all sequences share one KV buffer, so that parts of one can be shared with another.
    pub fn is_unified(&self) -> bool {
        self.n_ctx_seq >= self.n_ctx
    }

    /// The most rows of one decode.
    pub fn n_batch(&self) -> usize {
        self.n_batch
    }

    /// Checks that a sequence id can be used.
    pub fn check_seq(&self, field: &'static str, seq: SeqId) -> Result<()> {
        let max = self.n_seq_max;
        if seq < 0 || seq as u32 >= max {
            let allowed = "at least 0 and below the context's n_seq_max";
            return Err(Error::param(field, format_args!("{seq} (n_seq_max {max})"), allowed));
        }
        Ok(())
    }

    /// Decodes rows in one call. Rows of earlier decodes cannot be read afterwards, whatever the result.
    ///
    /// [`Error::ContextFull`] if the host found no room, [`Error::State`] while a row of logits is borrowed.
    pub fn decode(&mut self, rows: &[Row]) -> Result<Decoded> {
        let shared = &*self.shared;
        let decode = shared.table().decode.ok_or(Error::Null { name: "host.decode" })?;
        let mut last = shared.lock()?;
        // Acquire: see the release in `Logits::drop`. Nobody can borrow while the lock is held.
        if shared.borrowed.load(Ordering::Acquire) > 0 {
            return Err(Error::State {
                reason: "a row of logits is still borrowed, which the next decode would overwrite".into(),
            });
        }
        *last = DECODES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the function accepts this context (contract of `new`), which is locked and whose rows nobody
        // reads; `rows` is a live slice of `len` rows.
        match unsafe { decode(shared.ctx, rows.as_ptr(), rows.len()) } {
            0 => Ok(Decoded(*last)),
            1 => Err(Error::ContextFull { needed: rows.len(), available: 0 }),
            2 => Err(Error::Cancelled),
            code => Err(Error::Host { call: "decode", code }),
        }
    }

    /// Takes note of a decode that was called through another handle, [`Context::is_same`] as this one: a C
    /// host may wrap a context several times, and each wrapping has its own number of the last decode.
    pub(crate) fn note(&mut self, decoded: Decoded) -> Result<()> {
        let mut last = self.shared.lock()?;
        // Another thread may have decoded since.
        *last = decoded.0.max(*last);
        Ok(())
    }

    /// Logits of a row: `n_vocab` values. [`Error::State`] if there was another decode since.
    pub fn logits(&self, row: LogitsRow) -> Result<Logits<'_>> {
        let shared = &*self.shared;
        let get = shared.table().get_logits_ith.ok_or(Error::Null { name: "host.get_logits_ith" })?;
        let last = shared.lock()?;
        if *last != row.decode {
            return Err(Error::State {
                reason: "these logits are gone: something else was decoded in the context since".into(),
            });
        }
        // SAFETY: the function accepts this context (contract of `new`), which is locked.
        let logits = unsafe { get(shared.ctx, row.index) };
        if logits.is_null() {
            return Err(Error::Host { call: "get_logits_ith", code: row.index });
        }
        shared.borrowed.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the host returns `n_vocab` floats that stay as they are until the next decode, which the
        // count of borrowed rows holds off; the context lives as long as this handle, which is borrowed.
        let row = unsafe { std::slice::from_raw_parts(logits, self.n_vocab) };
        Ok(Logits { row, borrowed: &shared.borrowed })
    }

    /// True if a row can still be read: nothing was decoded in the context since.
    pub fn is_current(&self, row: LogitsRow) -> bool {
        self.shared.lock().is_ok_and(|last| *last == row.decode)
    }

    /// Copies positions `[p0, p1)` of one sequence to another; negative for an open end.
    pub fn seq_cp(&mut self, src: SeqId, dst: SeqId, p0: i32, p1: i32) -> Result<()> {
        let cp = self.shared.table().seq_cp.ok_or(Error::Null { name: "host.seq_cp" })?;
        let _lock = self.shared.lock()?;
        // SAFETY: the function accepts this context (contract of `new`), which is locked.
        unsafe { cp(self.shared.ctx, src, dst, p0, p1) };
        Ok(())
    }

    /// Drops positions `[p0, ..)` of a sequence. False if the memory cannot drop just a part.
    pub fn seq_truncate(&mut self, seq: SeqId, p0: usize) -> Result<bool> {
        let rm = self.shared.table().seq_rm.ok_or(Error::Null { name: "host.seq_rm" })?;
        let _lock = self.shared.lock()?;
        // SAFETY: the function accepts this context (contract of `new`), which is locked.
        Ok(unsafe { rm(self.shared.ctx, seq, p0 as i32, -1) } != 0)
    }

    /// True if the host can tell the smallest position that is held.
    pub(crate) fn has_seq_pos_min(&self) -> bool {
        self.shared.table().seq_pos_min.is_some()
    }

    /// Smallest position that is still held of a sequence, -1 if none; 0 where the host cannot tell.
    pub fn seq_pos_min(&self, seq: SeqId) -> Result<i32> {
        let Some(pos_min) = self.shared.table().seq_pos_min else { return Ok(0) };
        let _lock = self.shared.lock()?;
        // SAFETY: the function accepts this context (contract of `new`), which is locked.
        Ok(unsafe { pos_min(self.shared.ctx, seq) })
    }
}

impl Shared {
    fn table(&self) -> &HostTable {
        self.host.table()
    }

    /// The context for one thread. Nothing of the library's caller runs while it is locked, so nobody can
    /// wait for himself.
    fn lock(&self) -> Result<MutexGuard<'_, u64>> {
        self.decode.lock().map_err(|_| Error::Panic)
    }

    /// A property that does not change while the context lives.
    fn number<T>(
        &self,
        name: &'static str,
        f: Option<unsafe extern "C" fn(*mut LlamaContext) -> T>,
    ) -> Result<T> {
        let f = f.ok_or(Error::Null { name })?;
        let _lock = self.lock()?;
        // SAFETY: the function accepts this context (contract of `Context::new`), which is locked.
        Ok(unsafe { f(self.ctx) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let (true, Some(free)) = (self.owned, self.table().context_free) {
            // SAFETY: `ctx` is ours (contract of `Context::owned`) and is freed once, here.
            unsafe { free(self.ctx) }
        }
    }
}
