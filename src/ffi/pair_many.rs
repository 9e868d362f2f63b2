//! Pairs with further branches: one for each of several instructions.

use std::ffi::c_char;

use super::host::context;
use super::pair::{CPrefill, PairHandle};
use super::pointer::{Out, get, slice};
use super::sampler::SamplerHandle;
use super::sized::SizedOut;
use super::text::ErrorText;
use crate::branch::{Pair, lock};
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::host::{HostTable, LlamaContext};
use crate::steer::Weights;

/// The branch that sees the query and the first of several instructions alone; that of the next instruction is
/// SDA_SIDE_SINGLE + 1, and so on.
pub const SDA_SIDE_SINGLE: i32 = 2;

/// The tokens of a prompt.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CPrompt {
    /// Token ids.
    pub tokens: *const i32,
    /// How many there are, at least one.
    pub n_tokens: usize,
}

/// The plain sequence, the instructed one, and the others.
fn sequences(seqs: &[i32]) -> Result<(i32, i32, &[i32])> {
    match seqs {
        [plain, instructed, singles @ ..] => Ok((*plain, *instructed, singles)),
        _ => Err(Error::Length { what: "seqs", got: seqs.len(), expected: 2 }),
    }
}

/// Takes over sequences of a context for a pair with several instructions, and empties them.
///
/// As sda_pair_new(), where `seqs` holds `n_seqs` different sequence ids: of the plain branch, of the instructed
/// one, and of one branch for each single instruction that prompts may bring. `ctx` must have been made with as many
/// sequences (n_seq_max); a step decodes as many rows, which n_batch must hold.
///
/// SDA_ERR_LENGTH for fewer than two ids; otherwise the errors are those of sda_pair_new().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_new_many(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    seqs: *const i32,
    n_seqs: usize,
    error: *mut c_char,
    error_size: usize,
    pair: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller lends room for a text and for the handle, table and context, and `n_seqs` ids.
        let (error, to, seqs, context) = unsafe {
            let error = ErrorText::new(error, error_size);
            (error, Out::new(pair, "pair"), slice(seqs, n_seqs, "seqs"), context(host, ctx))
        };
        error.tell(|| {
            let (to, (plain, instructed, singles)) = (to?, sequences(seqs?)?);
            to.hand_out(PairHandle::new(Pair::with_singles(context?, plain, instructed, singles)?));
            Ok(())
        })
    })
}

/// Reads the prompts of a pair with several instructions. Afterwards all their branches have logits, and
/// sda_pair_step() appends to all of them with a single decode.
///
/// `prompts` holds `n_prompts` prompts: the plain one, the instructed one with all instructions that are asked for,
/// and one with each single instruction, at most as many as the pair has sequences. The tokens that all begin with
/// are decoded once; what the KV cache holds of them from earlier calls is used again. Branches without a prompt are
/// emptied. If no instruction is asked for, so that the instructed prompt is the plain one, one branch serves both.
/// `prefill` receives the cost and may be NULL.
///
/// SDA_ERR_LENGTH for fewer than two prompts, SDA_ERR_PARAM for more than the pair has sequences; otherwise the
/// errors are those of sda_pair_prefill().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_prefill_many(
    pair: *mut PairHandle,
    prompts: *const CPrompt,
    n_prompts: usize,
    prefill: *mut CPrefill,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, the array holds that many prompts, and `prefill` is NULL
        // or has its `struct_size`.
        let (pair, prompts, to) = unsafe {
            let prompts = slice(prompts, n_prompts, "prompts");
            (get(pair, "pair")?, prompts, SizedOut::optional(prefill, "prefill"))
        };
        pair.with(|pair| {
            let (prompts, to) = (prompts?, to?);
            let tokens = |prompt: &CPrompt| {
                // SAFETY: the caller says that each prompt holds as many tokens as it names.
                unsafe { slice(prompt.tokens, prompt.n_tokens, "prompts.tokens") }
            };
            let tokens: Vec<&[i32]> = prompts.iter().map(tokens).collect::<Result<_>>()?;
            let [plain, instructed, singles @ ..] = &tokens[..] else {
                return Err(Error::Length { what: "prompts", got: n_prompts, expected: 2 });
            };
            let done = pair.prefill_many(plain, instructed, singles, &mut |_, _| true)?;
            if let Some(to) = to {
                to.write(&done.into());
            }
            Ok(())
        })
    })
}

/// Copies all branches of a pair to other sequences of the same context, as sda_pair_clone().
///
/// `seqs` holds `n_seqs` ids as for sda_pair_new_many(), at least as many as the prompts of `pair` use, and none of
/// `pair`.
///
/// SDA_ERR_LENGTH for fewer than two ids, SDA_ERR_PARAM for an id out of range or in use, and for too few of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_pair_clone_many(
    pair: *const PairHandle,
    seqs: *const i32,
    n_seqs: usize,
    error: *mut c_char,
    error_size: usize,
    clone: *mut *mut PairHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the array holds `n_seqs` ids, and lends room for a text
        // and for another handle.
        let (error, pair, seqs, to) = unsafe {
            let error = ErrorText::new(error, error_size);
            (error, get(pair, "pair"), slice(seqs, n_seqs, "seqs"), Out::new(clone, "clone"))
        };
        error.tell(|| {
            let (pair, (plain, instructed, singles), to) = (pair?, sequences(seqs?)?, to?);
            let made = lock(pair.shared())?.fork_with_singles(plain, instructed, singles)?;
            to.hand_out(PairHandle::new(made));
            Ok(())
        })
    })
}

/// Says how much each branch counts, from the next step on: by how much of the difference of its log-probabilities to
/// the plain ones a step moves, times k a.
///
/// `instructed` is the weight of the instructed branch itself: that of the only instruction that its prompt holds,
/// 1 by default, and 0 where each of several instructions has a branch of its own. `singles` holds `n_singles`
/// weights of these branches, and may be NULL if there are none; at each step as many of them must be in use. A
/// negative weight steers away from an instruction, which is then to be left out of the instructed prompt.
///
/// SDA_ERR_PARAM for a weight that is not finite and for more than SDA_MOST_INSTRUCTIONS, SDA_ERR_STATE for weights
/// of single instructions in a sampler that was not made for a pair.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_weights(
    sampler: *mut SamplerHandle,
    instructed: f32,
    singles: *const f32,
    n_singles: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the array holds that many weights.
        let (sampler, singles) = unsafe {
            let singles = if n_singles == 0 { Ok(&[][..]) } else { slice(singles, n_singles, "singles") };
            (get(sampler, "sampler")?, singles)
        };
        sampler.with(|sampler| sampler.set_weights(Weights { instructed, singles: singles?.to_vec() }))
    })
}
