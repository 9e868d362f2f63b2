//! The prompt pair.

use std::ffi::c_char;
use std::sync::{Arc, Mutex};

use super::host::context;
use super::pair_many::SDA_SIDE_SINGLE;
use super::pointer::{Out, free, get, slice};
use super::sized::{SizedOut, SizedStruct, init_sized};
use super::text::{ErrorText, Message};
use crate::branch::{Move, Pair, Prefill, SharedPair, Side, lock, step_many};
use crate::error::{Error, Result};
use crate::guard::{guard, guard_or};
use crate::host::{HostTable, LlamaContext};

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
    message: Message,
}

/// What reading a prompt pair cost, in tokens. Set it up with sda_prefill_init().
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CPrefill {
    /// Size of this struct as the caller knows it; sda_prefill_init() sets it.
    pub struct_size: usize,
    /// Tokens that both prompts begin with, and that are held once for both.
    pub shared: usize,
    /// Tokens that were decoded.
    pub decoded: usize,
    /// Tokens that were in the KV cache from earlier calls.
    pub reused: usize,
}

impl From<Prefill> for CPrefill {
    fn from(p: Prefill) -> CPrefill {
        CPrefill { shared: p.shared, decoded: p.decoded, reused: p.reused, ..CPrefill::default() }
    }
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CPrefill {
    const NAME: &'static str = "sda_prefill";
    const SMALLEST: usize = std::mem::offset_of!(CPrefill, decoded);

    fn defaults() -> CPrefill {
        CPrefill::default()
    }
}

/// Sets a struct up to be written to; `size` is sizeof *prefill. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_prefill_init(prefill: *mut CPrefill, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `prefill`.
    guard(|| unsafe { init_sized(prefill, size) })
}

impl PairHandle {
    pub(super) fn new(pair: Pair) -> PairHandle {
        PairHandle { shared: Arc::new(Mutex::new(pair)), message: Message::default() }
    }

    pub(super) fn shared(&self) -> &SharedPair {
        &self.shared
    }

    /// Runs `body` on the pair; an error is kept for sda_pair_error(), a panic poisons the pair.
    pub(super) fn with(&self, body: impl FnOnce(&mut Pair) -> Result<()>) -> Result<()> {
        self.message.keep(|| body(&mut *lock(&self.shared)?))
    }
}

fn side(pair: &Pair, side: i32) -> Result<Side> {
    let single = usize::try_from(side).ok().and_then(|side| side.checked_sub(SDA_SIDE_SINGLE as usize));
    match (side, single) {
        (SDA_SIDE_PLAIN, _) => Ok(Side::Plain),
        (SDA_SIDE_INSTRUCTED, _) => Ok(Side::Instructed),
        (_, Some(single)) if single < pair.max_singles() => Ok(Side::Single(single)),
        _ => Err(Error::param("side", side, "one of SDA_SIDE_* that the pair has")),
    }
}

/// Takes over two sequences of a context, and empties them.
///
/// `host` is the table that sda_llama_host() fills; it is copied. `ctx` must have been made with at least two
/// sequences (n_seq_max), and should have kv_unified set: without it the tokens that both prompts begin with
/// are computed once all the same, but kept twice. `plain_seq` and `instructed_seq` are two different sequence
/// ids that the host uses for nothing else.
///
/// `pair` receives the handle; free it with sda_pair_free(). It does not keep the context: the host frees that,
/// after the last use of the pair.
///
/// SDA_ERR_PARAM for a sequence id out of range or twice the same, SDA_ERR_NULL if the table lacks a required
/// function, SDA_ERR_HOST if one of them failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_new(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    plain_seq: i32,
    instructed_seq: i32,
    error: *mut c_char,
    error_size: usize,
    pair: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller lends room for a text and for the handle, and table and context.
        let (error, to, context) =
            unsafe { (ErrorText::new(error, error_size), Out::new(pair, "pair"), context(host, ctx)) };
        error.tell(|| {
            let to = to?;
            to.hand_out(PairHandle::new(Pair::new(context?, plain_seq, instructed_seq)?));
            Ok(())
        })
    })
}

/// Frees a pair; NULL is fine.
///
/// Samplers that were made from it stay usable. What its sequences hold in the KV cache stays there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_free(pair: *mut PairHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(pair) })
}

/// Reads both prompts. Afterwards both branches have logits.
///
/// `plain` and `instructed` hold token ids, at least one each. The tokens that both begin with are decoded
/// once; what the KV cache holds of them from earlier calls is used again, so a chat passes its whole
/// conversation every time. `prefill` receives the cost and may be NULL.
///
/// SDA_ERR_PROMPT for an empty prompt, SDA_ERR_CONTEXT_FULL if there is not enough room, SDA_ERR_HOST if the
/// host's decode failed. On these both sequences are emptied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_prefill(
    pair: *mut PairHandle,
    plain: *const i32,
    n_plain: usize,
    instructed: *const i32,
    n_instructed: usize,
    prefill: *mut CPrefill,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, the arrays hold that many tokens, and `prefill` is
        // NULL or has its `struct_size`.
        let (pair, plain, instructed, to) = unsafe {
            let tokens = (slice(plain, n_plain, "plain"), slice(instructed, n_instructed, "instructed"));
            (get(pair, "pair")?, tokens.0, tokens.1, SizedOut::optional(prefill, "prefill"))
        };
        pair.with(|pair| {
            let to = to?;
            let done = pair.prefill(plain?, instructed?, &mut |_, _| true)?;
            if let Some(to) = to {
                to.write(&done.into());
            }
            Ok(())
        })
    })
}

/// Appends one token to both branches with a single decode of two rows, and of one more for each branch of a single
/// instruction.
///
/// Logits that were read before are invalid afterwards, and so are the rows of other pairs in the same context:
/// sample from a pair before the next one steps, or step all at once with sda_pair_step_many().
///
/// SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. SDA_ERR_HOST if the host's decode
/// failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_step(pair: *mut PairHandle, token: i32) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get(pair, "pair")? }.with(|pair| pair.step(token)))
}

/// Appends one token to each of several pairs of one context, in all branches with a single decode of two rows
/// a pair and one more for each branch of a single instruction, so that the weights are read once.
///
/// `pairs` holds `n_pairs` different pairs and `tokens` a token for each; the context's n_batch must hold all
/// rows. With 0 pairs it does nothing, and both arrays may be NULL. Afterwards each pair has a row of its own,
/// until the next decode.
///
/// It succeeds for all pairs or for none; sda_pair_error() of the first has the text of an error.
/// SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. SDA_ERR_PARAM if a pair is there
/// twice or the batch is too small, SDA_ERR_STATE if the pairs are of different contexts.
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
        // SAFETY: the caller says that both arrays hold `n_pairs` elements, and the handles are live.
        let (pairs, tokens, first) = unsafe {
            let pairs = slice(pairs, n_pairs, "pairs")?;
            (pairs, slice(tokens, n_pairs, "tokens"), get(pairs[0], "pairs")?)
        };
        first.message.keep(|| {
            // SAFETY: as before.
            let handles: Result<Vec<_>> = pairs.iter().map(|&pair| unsafe { get(pair, "pairs") }).collect();
            let (handles, tokens) = (handles?, tokens?);
            for (i, pair) in pairs.iter().enumerate() {
                // A pair's lock cannot be taken twice.
                if pairs[..i].contains(pair) {
                    return Err(Error::param("pairs", format_args!("a pair twice ({i})"), "different pairs"));
                }
            }
            let held: Result<Vec<_>> = handles.iter().map(|handle| lock(&handle.shared)).collect();
            let mut held = held?;
            let moves = held.iter_mut().zip(tokens);
            let mut moves: Vec<Move> = moves.map(|(pair, &token)| Move { pair, token, side: None }).collect();
            step_many(&mut moves)
        })
    })
}

/// Row of the last decode that holds a branch's logits: the `idx` for llama_sampler_sample().
///
/// `side` is one of SDA_SIDE_*; SDA_SIDE_INSTRUCTED is the row to sample from. `row` receives the row.
///
/// SDA_ERR_STATE before the first prefill, after a failed step, and after a clone of the pair has decoded since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_row(pair: *const PairHandle, side: i32, row: *mut i32) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and `row` can be written.
        let (pair, to) = unsafe { (get(pair, "pair")?, Out::new(row, "row")) };
        pair.with(|pair| {
            let none = || Error::State { reason: "the pair has no logits, prefill or step it first".into() };
            to?.write(pair.row(self::side(pair, side)?).ok_or_else(none)?);
            Ok(())
        })
    })
}

/// Logits of a branch after its last token.
///
/// `side` is one of SDA_SIDE_*. `logits` receives a pointer to n_vocab values that belong to the context, valid
/// until the next decode in it.
///
/// SDA_ERR_STATE before the first prefill, after a failed step, and after a clone of the pair has decoded since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_logits(pair: *const PairHandle, side: i32, logits: *mut *const f32) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and `logits` can be written.
        let (pair, to) = unsafe { (get(pair, "pair")?, Out::new(logits, "logits")) };
        pair.with(|pair| {
            to?.write(pair.logits(self::side(pair, side)?)?.as_ptr());
            Ok(())
        })
    })
}

/// Copies both branches to two other sequences of the same context: a second answer to the same prompts.
///
/// `plain_seq` and `instructed_seq` are as for sda_pair_new(), and not those of `pair`.
///
/// `clone` receives the new pair; free it with sda_pair_free(). Its logits are those of `pair` until the next
/// decode.
///
/// SDA_ERR_PARAM for a sequence id out of range or in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_clone(
    pair: *const PairHandle,
    plain_seq: i32,
    instructed_seq: i32,
    error: *mut c_char,
    error_size: usize,
    clone: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and lends room for a text and for another handle.
        let (error, pair, to) =
            unsafe { (ErrorText::new(error, error_size), get(pair, "pair"), Out::new(clone, "clone")) };
        error.tell(|| {
            let (pair, to) = (pair?, to?);
            let made = lock(&pair.shared)?.fork(plain_seq, instructed_seq)?;
            to.hand_out(PairHandle::new(made));
            Ok(())
        })
    })
}

/// Empties both sequences. Afterwards there are no logits until the next prefill.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_clear(pair: *mut PairHandle) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get(pair, "pair")? }.with(Pair::clear))
}

/// Text of the last call on the pair that failed, empty if there was none.
///
/// NULL for NULL. Valid until the next call on the same pair.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_error(pair: *const PairHandle) -> *const c_char {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or(std::ptr::null(), || match unsafe { get(pair, "pair") } {
        Ok(pair) => pair.message.as_ptr(),
        Err(_) => std::ptr::null(),
    })
}
