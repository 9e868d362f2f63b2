//! The sampler.

use std::ffi::c_char;
use std::sync::Arc;

use super::host::{context, host as read_host};
use super::pair::PairHandle;
use super::params::{CParams, read_params};
use super::pointer::{Out, free, get, get_mut, slice};
use super::text::{ErrorText, Message};
use crate::branch::{DropIn, lock};
use crate::error::{Error, Result};
use crate::guard::{guard, guard_or};
use crate::host::{Host, HostTable, LlamaContext, LlamaSampler, TokenDataArray, llama_sampler};
use crate::sampler::{Sampler, SharedSampler, Source};

/// Steers one generation: replaces the logits of a candidate array by steered log-probabilities.
///
/// A handle beside the llama_sampler in the host's chain: either may be freed first. May move between
/// threads; not used by two at once.
pub struct SamplerHandle {
    sampler: SharedSampler,
    /// Text of the sampler's error, which stays while C reads it.
    message: Message,
}

impl SamplerHandle {
    fn new(sampler: SharedSampler) -> SamplerHandle {
        SamplerHandle { sampler, message: Message::default() }
    }

    /// Runs `body` on the sampler; an error is kept for sda_sampler_error(), a panic poisons the sampler.
    pub(super) fn with<T>(&self, body: impl FnOnce(&mut Sampler) -> Result<T>) -> Result<T> {
        self.sampler.with(body)
    }
}

/// Makes a sampler that reads the plain branch from a pair, in the host's own context. The host samples from
/// the pair's instructed row and steps the pair with the token.
///
/// `pair` stays the host's, and may be freed before the sampler. `params` are the settings.
///
/// `sampler` receives the handle; free it with sda_sampler_free().
///
/// SDA_ERR_PARAM for a setting out of range, SDA_ERR_VERSION for settings of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new_paired(
    pair: *const PairHandle,
    params: *const CParams,
    error: *mut c_char,
    error_size: usize,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the pair is live and `params` holds its `struct_size`, and lends room for
        // a text and for the handle.
        let (error, pair, settings, to) = unsafe {
            let error = ErrorText::new(error, error_size);
            (error, get(pair, "pair"), read_params(params), Out::new(sampler, "sampler"))
        };
        error.tell(|| {
            let (pair, settings, to) = (pair?.shared(), settings?, to?);
            let host = lock(pair)?.context().host().clone();
            let sampler = settings.sampler(Source::Paired(Arc::clone(pair)))?;
            to.hand_out(SamplerHandle::new(SharedSampler::new(sampler, &host)));
            Ok(())
        })
    })
}

/// Makes a sampler that keeps the plain branch in a context of its own, for hosts that keep their loop. The host
/// decodes the instructed prompt as always, and has to accept every token (llama_sampler_sample does). Nothing
/// is decoded before the first step.
///
/// `host` needs context_new and context_free; it is copied. `ctx` is the host's context and must outlive the
/// sampler. `plain_prompt` holds the `n_plain_prompt` tokens of the prompt without the instruction, and is
/// copied. `params` are the settings.
///
/// `sampler` receives the handle; free it with sda_sampler_free().
///
/// SDA_ERR_PROMPT for an empty prompt, SDA_ERR_PARAM for a setting out of range, SDA_ERR_NULL if the table lacks
/// a required function, SDA_ERR_HOST if the host made no context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new_dropin(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    plain_prompt: *const i32,
    n_plain_prompt: usize,
    params: *const CParams,
    error: *mut c_char,
    error_size: usize,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the array holds that many tokens and `params` its `struct_size`, and
        // lends table and context, and room for a text and for the handle.
        let (error, to, prompt, settings, context) = unsafe {
            let error = ErrorText::new(error, error_size);
            let prompt = slice(plain_prompt, n_plain_prompt, "plain_prompt");
            (error, Out::new(sampler, "sampler"), prompt, read_params(params), context(host, ctx))
        };
        error.tell(|| {
            let (to, prompt, settings, context) = (to?, prompt?, settings?, context?);
            let dropin = DropIn::new(&context, prompt)?;
            let sampler = settings.sampler(Source::DropIn(Box::new(dropin)))?;
            to.hand_out(SamplerHandle::new(SharedSampler::new(sampler, context.host())));
            Ok(())
        })
    })
}

/// Makes a sampler whose plain logits the host hands in before each step, with sda_sampler_set_plain_logits().
///
/// `host` may be NULL if the sampler is used with sda_sampler_apply() and not in a llama.cpp chain; it is
/// copied. `n_vocab` is the length of every row, at least 1. `params` are the settings.
///
/// `sampler` receives the handle; free it with sda_sampler_free().
///
/// SDA_ERR_PARAM for no vocabulary or a setting out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new(
    host: *const HostTable,
    n_vocab: usize,
    params: *const CParams,
    error: *mut c_char,
    error_size: usize,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `params` and `host` hold their `struct_size`, and lends room for a text
        // and for the handle.
        let (error, to, settings, host) = unsafe {
            let error = ErrorText::new(error, error_size);
            let host = if host.is_null() { Ok(Host::none()) } else { read_host(host) };
            (error, Out::new(sampler, "sampler"), read_params(params), host)
        };
        error.tell(|| {
            let (to, settings, host) = (to?, settings?, host?);
            let mut sampler = Sampler::given(settings.params, n_vocab)?;
            sampler.set_top_p(settings.top_p)?;
            to.hand_out(SamplerHandle::new(SharedSampler::new(sampler, &host)));
            Ok(())
        })
    })
}

/// Frees a sampler's handle; NULL is fine. A llama_sampler made from it stays usable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_free(sampler: *mut SamplerHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(sampler) })
}

/// Makes a llama_sampler for llama_sampler_chain_add(). It goes first in the chain: it needs the whole
/// vocabulary. Temperature is included, so the chain should not have one.
///
/// `llama_sampler` receives it. The chain owns and frees it; it stays usable after sda_sampler_free(), and both
/// are the same sampler until then.
///
/// SDA_ERR_NULL if the host's table has no sampler_new, SDA_ERR_HOST if that failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_to_llama(
    sampler: *const SamplerHandle,
    llama_sampler: *mut *mut LlamaSampler,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and `llama_sampler` can be written.
        let (sampler, to) = unsafe { (get(sampler, "sampler")?, Out::new(llama_sampler, "llama_sampler")) };
        sampler.sampler.told(|| to.and_then(|to| sampler.sampler.into_llama().map(|made| to.write(made))))
    })
}

/// Makes a handle of a llama_sampler that this library made, for example of one that the host cloned.
///
/// `sampler` receives a handle of its own; free it with sda_sampler_free().
///
/// SDA_ERR_STATE if it is another llama_sampler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_from_llama(
    llama_sampler: *const LlamaSampler,
    error: *mut c_char,
    error_size: usize,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the llama_sampler is live, and lends room for a text and for the handle.
        let (error, to, found) = unsafe {
            let found = get(llama_sampler, "llama_sampler").map(|_| llama_sampler::find(llama_sampler));
            (ErrorText::new(error, error_size), Out::new(sampler, "sampler"), found)
        };
        error.tell(|| {
            let (to, found): (_, Option<&SharedSampler>) = (to?, found?);
            let reason = || Error::State { reason: "the llama_sampler is not one of this library".into() };
            to.hand_out(SamplerHandle::new(found.ok_or_else(reason)?.clone()));
            Ok(())
        })
    })
}

/// Makes a sampler at the same point of its generation, independent of the first from there on. A paired one
/// reads the same pair until sda_sampler_set_pair(); a drop-in one gets another context of its own.
///
/// `clone` receives the handle; free it with sda_sampler_free().
///
/// SDA_ERR_HOST if the host made no context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_clone(
    sampler: *const SamplerHandle,
    error: *mut c_char,
    error_size: usize,
    clone: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and lends room for a text and for another handle.
        let (error, sampler, to) =
            unsafe { (ErrorText::new(error, error_size), get(sampler, "sampler"), Out::new(clone, "clone")) };
        error.tell(|| {
            let (sampler, to) = (sampler?, to?);
            to.hand_out(SamplerHandle::new(sampler.sampler.fork()?));
            Ok(())
        })
    })
}

/// Steers a candidate array (the host's llama_token_data_array), for hosts without a chain.
///
/// `candidates` holds every token of the vocabulary once, in any order. On success its logits are
/// log-probabilities and it counts as unsorted; with a `top_p` below 1 in the settings it then holds the
/// nucleus only, its size says how many, and it counts as sorted.
///
/// On an error it is left as it was. SDA_ERR_CANDIDATES if it is not the whole vocabulary, SDA_ERR_STATE if the
/// plain logits of this step are not there, SDA_ERR_NOT_FINITE and SDA_ERR_ALL_MASKED as for sda_steer();
/// SDA_ERR_CONTEXT_FULL and SDA_ERR_HOST if a drop-in sampler could not decode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_apply(
    sampler: *mut SamplerHandle,
    candidates: *mut TokenDataArray,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that handle and array are live.
        let (sampler, array) =
            unsafe { (&get(sampler, "sampler")?.sampler, get_mut(candidates, "candidates")) };
        // SAFETY: as before, for what the array points to.
        sampler.told(|| unsafe { array?.edit(|candidates| sampler.apply(candidates)) })
    })
}

/// Tells the sampler of the token that was chosen, for hosts without a chain.
///
/// Tokens before the first step, and a second accept of the same token with no step between, are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_accept(sampler: *mut SamplerHandle, token: i32) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        unsafe { get(sampler, "sampler")? }.with(|sampler| {
            sampler.accept(token);
            Ok(())
        })
    })
}

/// Returns to the state before the first step and forgets an earlier error. A drop-in sampler returns to its
/// plain prompt; a pair is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_reset(sampler: *mut SamplerHandle) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get(sampler, "sampler")? }.sampler.reset())
}

/// Changes the settings from the next step on.
///
/// `params` are the new settings. On an error the old ones stay.
///
/// SDA_ERR_PARAM for a setting out of range, SDA_ERR_VERSION for settings of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_params(sampler: *mut SamplerHandle, params: *const CParams) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and `params` holds its `struct_size`.
        let (sampler, settings) = unsafe { (get(sampler, "sampler")?, read_params(params)) };
        sampler.with(|sampler| {
            let settings = settings?;
            sampler.set_top_p(settings.top_p)?;
            sampler.set_params(settings.params)
        })
    })
}

/// Continues a paired sampler with another pair, for a clone that continues in sequences of its own.
///
/// `pair` is as for sda_sampler_new_paired().
///
/// SDA_ERR_STATE if the sampler is not a paired one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_pair(sampler: *mut SamplerHandle, pair: *const PairHandle) -> i32 {
    guard(|| {
        // SAFETY: the caller says that both handles are live.
        let (sampler, pair) = unsafe { (get(sampler, "sampler")?, get(pair, "pair")) };
        sampler.with(|sampler| {
            let pair = pair?.shared();
            // A pair that a panic has left is of no use.
            drop(lock(pair)?);
            sampler.set_pair(Arc::clone(pair))
        })
    })
}

/// Starts a drop-in sampler over with another plain prompt, for the next turn of a chat. What the new prompt has
/// in common with the tokens so far is not decoded again.
///
/// `plain_prompt` holds `n_plain_prompt` tokens, and is copied.
///
/// SDA_ERR_PROMPT for an empty prompt, SDA_ERR_STATE if the sampler is not a drop-in one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_prompt(
    sampler: *mut SamplerHandle,
    plain_prompt: *const i32,
    n_plain_prompt: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the array holds that many tokens.
        let (sampler, prompt) =
            unsafe { (get(sampler, "sampler")?, slice(plain_prompt, n_plain_prompt, "plain_prompt")) };
        sampler.with(|sampler| sampler.set_prompt(prompt?))
    })
}

/// Hands in the plain branch's logits of the coming step.
///
/// `plain` holds `n_vocab` values by token id, and is copied.
///
/// SDA_ERR_LENGTH if it is not as long as the sampler's vocabulary, SDA_ERR_STATE if the sampler reads the plain
/// branch itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_plain_logits(
    sampler: *mut SamplerHandle,
    plain: *const f32,
    n_vocab: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the row holds `n_vocab` values.
        let (sampler, plain) = unsafe { (get(sampler, "sampler")?, slice(plain, n_vocab, "plain")) };
        sampler.with(|sampler| sampler.set_plain_logits(plain?))
    })
}

/// Status of the first step that failed since the sampler was made or reset, SDA_OK if there was none. Callbacks
/// in a chain cannot report: check this after each step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_status(sampler: *const SamplerHandle) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        let sampler = unsafe { get(sampler, "sampler")? };
        sampler.sampler.error().map_or(Ok(()), Err)
    })
}

/// Text of the last call on the sampler that failed, or of the first step that failed in a chain if no call
/// failed since; empty if there was none, and after a reset.
///
/// NULL for NULL. Valid until the next call on the same handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_error(sampler: *const SamplerHandle) -> *const c_char {
    guard_or(std::ptr::null(), || {
        // SAFETY: the caller says that it is NULL or a live handle.
        let Ok(sampler) = (unsafe { get(sampler, "sampler") }) else { return std::ptr::null() };
        sampler.message.set(sampler.sampler.last_error().as_ref());
        sampler.message.as_ptr()
    })
}
