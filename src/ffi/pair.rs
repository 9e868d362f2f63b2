//! The prompt pair.

use std::ffi::{CString, c_char};
use std::sync::{Arc, Mutex};

use super::guard::{free, get, get_mut, guard, guard_or, hand_out, out, slice};
use super::params::read_host;
use crate::branch::{Move, Pair, Prefill, SharedPair, Side, lock, step_many};
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::host::{Context, Host, HostTable, LlamaContext};

/// The branch that sees the query alone.
pub const SDA_SIDE_PLAIN: i32 = 0;
/// The branch that sees the query and the instruction.
pub const SDA_SIDE_INSTRUCTED: i32 = 1;

/// Two sequences of one llama_context that hold different prompts and the same generated tokens.
///
/// May move between threads; not used by two at once. Neither the pair nor the samplers made from it may
/// be used after the context is freed; freeing them then is fine.
pub struct PairHandle {
    /// A panic while the pair is locked poisons the lock, and so the pair for all who share it.
    shared: SharedPair,
    message: CString,
}

/// What reading a prompt pair cost, in tokens.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CPrefill {
    /// Tokens that both prompts begin with, and that are held once for both.
    pub shared: usize,
    /// Tokens that were decoded.
    pub decoded: usize,
    /// Tokens that were in the KV cache from earlier calls.
    pub reused: usize,
}

impl From<Prefill> for CPrefill {
    fn from(p: Prefill) -> CPrefill {
        CPrefill { shared: p.shared, decoded: p.decoded, reused: p.reused }
    }
}

impl PairHandle {
    pub(super) fn new(pair: Pair) -> PairHandle {
        PairHandle { shared: Arc::new(Mutex::new(pair)), message: CString::default() }
    }

    pub(super) fn shared(&self) -> &SharedPair {
        &self.shared
    }

    /// Runs `body` on the pair; an error is kept for sda_pair_error(), a panic poisons the pair.
    fn with(&mut self, body: impl FnOnce(&mut Pair) -> Result<()>) -> Result<()> {
        let result = caught(|| body(&mut *lock(&self.shared)?));
        if let Err(error) = &result {
            self.keep(error);
        }
        result
    }

    /// Keeps an error for sda_pair_error().
    fn keep(&mut self, error: &Error) {
        self.message = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
    }
}

fn side(side: i32) -> Result<Side> {
    match side {
        SDA_SIDE_PLAIN => Ok(Side::Plain),
        SDA_SIDE_INSTRUCTED => Ok(Side::Instructed),
        _ => Err(Error::param("side", side, "SDA_SIDE_PLAIN or SDA_SIDE_INSTRUCTED")),
    }
}

/// Makes a context that is used through a host table; a reason for failing goes to the host's log, since
/// there is no handle yet to keep it.
///
/// # Safety
/// As for `sda_pair_new`.
pub(super) unsafe fn open<T>(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    make: impl FnOnce(Context) -> Result<T>,
) -> Result<T> {
    // SAFETY: passed on.
    let host = unsafe { Host::new(&read_host(host)?, None) };
    // SAFETY: passed on.
    unsafe { Context::new(&host, ctx) }
        .and_then(make)
        .inspect_err(|error| host.warn(&format!("sda: {error}")))
}

/// Takes over two sequences of a context, and empties them.
///
/// `host` is the table that sda_llama_host() fills; it is copied. `ctx` must have been made with at least
/// two sequences (n_seq_max), and should have kv_unified set: without it the tokens that both prompts
/// begin with are computed once all the same, but kept twice. `plain_seq` and `instructed_seq` are two
/// different sequence ids that the host uses for nothing else. `pair` receives the handle; free it with
/// sda_pair_free(). On failure the reason goes to the host's log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_new(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    plain_seq: i32,
    instructed_seq: i32,
    pair: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        let to = out(pair, "pair")?;
        // SAFETY: preconditions of this function.
        let pair = unsafe { open(host, ctx, |context| Pair::new(context, plain_seq, instructed_seq))? };
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, PairHandle::new(pair)) };
        Ok(())
    })
}

/// Frees a pair; NULL is fine. Samplers that were made from it stay usable. What its sequences hold in the
/// KV cache stays there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_free(pair: *mut PairHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(pair) })
}

/// Reads both prompts. Afterwards both branches have logits.
///
/// `plain` and `instructed` hold token ids, at least one each. The tokens that both begin with are decoded
/// once; what the KV cache holds of them from earlier calls is used again, so a chat passes its whole
/// conversation every time. `stats` receives the cost and may be NULL.
///
/// SDA_ERR_PROMPT for an empty prompt, SDA_ERR_CONTEXT_FULL if there is not enough room, SDA_ERR_HOST if
/// the host's decode failed. On any error both sequences are emptied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_prefill(
    pair: *mut PairHandle,
    plain: *const i32,
    n_plain: usize,
    instructed: *const i32,
    n_instructed: usize,
    stats: *mut CPrefill,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the arrays hold that many tokens.
        let (pair, plain, instructed) = unsafe {
            let pair = get_mut(pair, "pair")?;
            (pair, slice(plain, n_plain, "plain")?, slice(instructed, n_instructed, "instructed")?)
        };
        pair.with(|pair| {
            let done = pair.prefill(plain, instructed, &mut |_, _| true)?;
            if !stats.is_null() {
                // SAFETY: the caller says that `stats` is NULL or can be written.
                unsafe { stats.write(done.into()) };
            }
            Ok(())
        })
    })
}

/// Appends one token to both branches with a single decode of two rows.
///
/// SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. Logits that were read before are
/// invalid afterwards, and so are the rows of other pairs in the same context: sample from a pair before
/// the next one steps, or step all at once with sda_pair_step_many().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_step(pair: *mut PairHandle, token: i32) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get_mut(pair, "pair")? }.with(|pair| pair.step(token)))
}

/// Appends one token to each of several pairs of one context, in all branches with a single decode of two
/// rows a pair, so that the weights are read once.
///
/// `pairs` holds `n_pairs` different pairs and `tokens` a token for each; the context's n_batch must hold
/// all rows. It succeeds for all pairs or for none; the reason is kept for sda_pair_error() of the first.
/// Afterwards each pair has a row of its own, until the next decode.
///
/// SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. SDA_ERR_PARAM if a pair is there
/// twice or the batch is too small, SDA_ERR_STATE if the pairs are of different contexts. Nothing is done
/// for no pairs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_step_many(
    pairs: *const *mut PairHandle,
    tokens: *const i32,
    n_pairs: usize,
) -> i32 {
    guard(|| {
        if n_pairs == 0 {
            return Ok(());
        }
        // SAFETY: the caller says that both arrays hold `n_pairs` elements.
        let (pairs, tokens) = unsafe { (slice(pairs, n_pairs, "pairs")?, slice(tokens, n_pairs, "tokens")?) };
        for (i, pair) in pairs.iter().enumerate() {
            if pair.is_null() {
                return Err(Error::Null { name: "pairs" });
            }
            // A pair's lock cannot be taken twice.
            if pairs[..i].contains(pair) {
                return Err(Error::param("pairs", format_args!("a pair twice ({i})"), "different pairs"));
            }
        }
        let result = caught(|| {
            // SAFETY: the caller says that the handles are live; they are not NULL.
            let held: Result<Vec<_>> = pairs.iter().map(|&pair| lock(unsafe { &(*pair).shared })).collect();
            let mut held = held?;
            let moves = held.iter_mut().zip(tokens);
            let mut moves: Vec<Move> = moves.map(|(pair, &token)| Move { pair, token, side: None }).collect();
            step_many(&mut moves)
        });
        if let Err(error) = &result {
            // SAFETY: as before, and the locks are released.
            unsafe { (*pairs[0]).keep(error) };
        }
        result
    })
}

/// Row of the last decode that holds a branch's logits: the `idx` for llama_sampler_sample().
///
/// `side` is SDA_SIDE_INSTRUCTED for the row to sample from. SDA_ERR_STATE before the first prefill, after a
/// failed step, and after a fork of the pair has decoded since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_row(pair: *mut PairHandle, side: i32, row: *mut i32) -> i32 {
    guard(|| {
        let to = out(row, "row")?;
        let side = self::side(side)?;
        // SAFETY: the caller says that the handle is live.
        unsafe { get_mut(pair, "pair")? }.with(|pair| {
            let row = pair.row(side).ok_or_else(|| Error::State {
                reason: "the pair has no logits, prefill or step it first".into(),
            })?;
            // SAFETY: `to` was checked and the caller says that it can be written.
            unsafe { to.write(row) };
            Ok(())
        })
    })
}

/// Logits of a branch after its last token: n_vocab values that belong to the context, valid until the
/// next decode in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_logits(pair: *mut PairHandle, side: i32, logits: *mut *const f32) -> i32 {
    guard(|| {
        let to = out(logits, "logits")?;
        let side = self::side(side)?;
        // SAFETY: the caller says that the handle is live.
        unsafe { get_mut(pair, "pair")? }.with(|pair| {
            let logits = pair.logits(side)?.as_ptr();
            // SAFETY: `to` was checked and the caller says that it can be written.
            unsafe { to.write(logits) };
            Ok(())
        })
    })
}

/// Copies both branches to two other sequences of the same context: a second answer to the same prompts.
///
/// `fork` receives the new pair; free it with sda_pair_free(). Its logits are those of `pair` until the
/// next decode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_fork(
    pair: *mut PairHandle,
    plain_seq: i32,
    instructed_seq: i32,
    fork: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        let to = out(fork, "fork")?;
        // SAFETY: the caller says that the handle is live.
        unsafe { get_mut(pair, "pair")? }.with(|pair| {
            let fork = pair.fork(plain_seq, instructed_seq)?;
            // SAFETY: `to` was checked and the caller says that it can be written.
            unsafe { hand_out(to, PairHandle::new(fork)) };
            Ok(())
        })
    })
}

/// Empties both sequences.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_clear(pair: *mut PairHandle) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get_mut(pair, "pair")? }.with(Pair::clear))
}

/// Text of the last error of a pair, empty if there was none; NULL for NULL. Valid until the next call on
/// the same pair.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_error(pair: *const PairHandle) -> *const c_char {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or(std::ptr::null(), || match unsafe { get(pair, "pair") } {
        Ok(pair) => pair.message.as_ptr(),
        Err(_) => std::ptr::null(),
    })
}
