//! The sampler.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use super::guard::{free, get, guard, guard_or, hand_out, out, slice};
use super::pair::{PairHandle, open};
use super::params::{CParams, read_host, read_params};
use super::steer::CStep;
use crate::branch::{DropIn, lock};
use crate::error::Error;
use crate::host::{Host, HostTable, LlamaContext, LlamaSampler, TokenDataArray, llama_sampler};
use crate::sampler::{Sampler, SharedSampler, Source, Stats};

/// Steers one generation: replaces the logits of a candidate array by steered log-probabilities.
///
/// A handle beside the llama_sampler in the host's chain: either may be freed first. May move between
/// threads; not used by two at once.
pub struct SamplerHandle {
    sampler: SharedSampler,
    /// Copy of the sampler's message, so that the text stays while C reads it.
    message: std::cell::RefCell<CString>,
}

/// Counts since a sampler was made or reset.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CStats {
    /// Steps that were steered.
    pub steered: u64,
    /// Steps that were refused: their candidates were left as they were.
    pub refused: u64,
    /// Accepts that repeated the one before with no step between, and were ignored.
    pub repeated_accepts: u64,
}

impl From<Stats> for CStats {
    fn from(s: Stats) -> CStats {
        CStats { steered: s.steered, refused: s.refused, repeated_accepts: s.repeated_accepts }
    }
}

impl SamplerHandle {
    fn new(sampler: SharedSampler) -> SamplerHandle {
        SamplerHandle { sampler, message: std::cell::RefCell::default() }
    }
}

/// Makes a sampler that reads the plain branch from a pair, in the host's own context.
///
/// `pair` stays the host's. `params` are the settings. `sampler` receives the handle; free it with
/// sda_sampler_free(). The host samples from the pair's instructed row and steps the pair with the token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new_paired(
    pair: *const PairHandle,
    params: *const CParams,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        let to = out(sampler, "sampler")?;
        // SAFETY: the caller says that the handle is live and `params` holds its `struct_size`.
        let (pair, settings) = unsafe { (get(pair, "pair")?.shared(), read_params(params)?) };
        let host = lock(pair)?.context().host().clone();
        let sampler = settings.sampler(Source::Paired(Arc::clone(pair)))?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, SamplerHandle::new(SharedSampler::new(sampler, &host))) };
        Ok(())
    })
}

/// Makes a sampler that keeps the plain branch in a context of its own, for hosts that keep their loop.
///
/// The host decodes the instructed prompt as always; `plain_prompt` holds the `n_plain_prompt` tokens of
/// the prompt without the instruction, and is copied. `host` needs context_new and context_free. `ctx` is
/// the host's context and must outlive the sampler. Nothing is decoded before the first step. The host has
/// to accept every token (llama_sampler_sample does).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new_dropin(
    host: *const HostTable,
    ctx: *mut LlamaContext,
    plain_prompt: *const i32,
    n_plain_prompt: usize,
    params: *const CParams,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        let to = out(sampler, "sampler")?;
        // SAFETY: the caller says that the array holds that many tokens and `params` its `struct_size`.
        let (prompt, settings) =
            unsafe { (slice(plain_prompt, n_plain_prompt, "plain_prompt")?, read_params(params)?) };
        // SAFETY: preconditions of this function.
        let handle = unsafe {
            open(host, ctx, |context| {
                let dropin = DropIn::new(&context, prompt)?;
                Ok(SharedSampler::new(settings.sampler(Source::DropIn(Box::new(dropin)))?, context.host()))
            })?
        };
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, SamplerHandle::new(handle)) };
        Ok(())
    })
}

/// Makes a sampler whose plain logits the host hands in before each step, with
/// sda_sampler_set_plain_logits().
///
/// `host` may be NULL if the sampler is used with sda_sampler_apply() and not in a llama.cpp chain.
/// `n_vocab` is the length of every row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_new(
    host: *const HostTable,
    n_vocab: usize,
    params: *const CParams,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        let to = out(sampler, "sampler")?;
        // SAFETY: the caller says that `params` and `host` hold their `struct_size`.
        let (settings, host) = unsafe {
            let host = if host.is_null() { Host::none() } else { Host::new(&read_host(host)?, None) };
            (read_params(params)?, host)
        };
        let mut sampler = Sampler::given(settings.params, n_vocab)?;
        sampler.set_top_p(settings.top_p)?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, SamplerHandle::new(SharedSampler::new(sampler, &host))) };
        Ok(())
    })
}

/// Frees a sampler's handle; NULL is fine. A llama_sampler made from it goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_free(sampler: *mut SamplerHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(sampler) })
}

/// Makes a llama_sampler for llama_sampler_chain_add(); the chain owns and frees it. It goes first: it
/// needs the whole vocabulary. Temperature is included, so the chain should not have one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_llama(
    sampler: *const SamplerHandle,
    llama_sampler: *mut *mut LlamaSampler,
) -> i32 {
    guard(|| {
        let to = out(llama_sampler, "llama_sampler")?;
        // SAFETY: the caller says that the handle is live.
        let made = unsafe { get(sampler, "sampler")? }.sampler.into_llama()?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { to.write(made) };
        Ok(())
    })
}

/// Handle of a llama_sampler that this library made, for example of one that the host cloned. SDA_ERR_STATE
/// if it is another sampler. `sampler` receives a handle of its own; free it with sda_sampler_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_from_llama(
    llama_sampler: *const LlamaSampler,
    sampler: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        let to = out(sampler, "sampler")?;
        // SAFETY: the caller says that the llama_sampler is live.
        let found = unsafe {
            get(llama_sampler, "llama_sampler")?;
            llama_sampler::find::<SharedSampler>(llama_sampler)
        };
        let found = found.ok_or_else(|| Error::State { reason: "it is not an sda sampler".into() })?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, SamplerHandle::new(found.clone())) };
        Ok(())
    })
}

/// A sampler at the same point that goes on by itself. In paired mode it reads the same pair until
/// sda_sampler_set_pair(); a drop-in sampler gets a context of its own. `clone` receives the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_clone(
    sampler: *const SamplerHandle,
    clone: *mut *mut SamplerHandle,
) -> i32 {
    guard(|| {
        let to = out(clone, "clone")?;
        // SAFETY: the caller says that the handle is live.
        let fork = unsafe { get(sampler, "sampler")? }.sampler.fork()?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { hand_out(to, SamplerHandle::new(fork)) };
        Ok(())
    })
}

/// Steers a candidate array (the host's llama_token_data_array), for hosts without a chain.
///
/// The array holds every token of the vocabulary once, in any order. On success its logits are
/// log-probabilities and it counts as unsorted; with a `top_p` below 1 in the settings it then holds the
/// nucleus only, its size says how many, and it counts as sorted. On an error it is left as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_apply(
    sampler: *const SamplerHandle,
    candidates: *mut TokenDataArray,
) -> i32 {
    guard(|| {
        let array = out(candidates, "candidates")?;
        // SAFETY: the caller says that handle and array are live.
        unsafe {
            let sampler = &get(sampler, "sampler")?.sampler;
            (*array).edit(|candidates| sampler.apply(candidates))
        }
    })
}

/// Tells the sampler of the token that was chosen, for hosts without a chain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_accept(sampler: *const SamplerHandle, token: i32) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        unsafe { get(sampler, "sampler")? }.sampler.with(|sampler| {
            sampler.accept(token);
            Ok(())
        })
    })
}

/// Goes back to the state before the first step and forgets an earlier error. A drop-in sampler goes back
/// to its plain prompt; a pair is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_reset(sampler: *const SamplerHandle) -> i32 {
    // SAFETY: the caller says that the handle is live.
    guard(|| unsafe { get(sampler, "sampler")? }.sampler.reset())
}

/// Changes the settings from the next step on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_params(
    sampler: *const SamplerHandle,
    params: *const CParams,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and `params` holds its `struct_size`.
        let (sampler, settings) = unsafe { (get(sampler, "sampler")?, read_params(params)?) };
        sampler.sampler.with(|sampler| {
            sampler.set_top_p(settings.top_p)?;
            sampler.set_params(settings.params)
        })
    })
}

/// Continues a paired sampler with another pair, for a clone that goes on in sequences of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_pair(sampler: *const SamplerHandle, pair: *const PairHandle) -> i32 {
    guard(|| {
        // SAFETY: the caller says that both handles are live.
        let (sampler, pair) = unsafe { (get(sampler, "sampler")?, get(pair, "pair")?.shared()) };
        drop(lock(pair)?);
        sampler.sampler.with(|sampler| sampler.set_pair(Arc::clone(pair)))
    })
}

/// Starts a drop-in sampler over with another plain prompt, for the next turn of a chat. What the new
/// prompt has in common with the tokens so far is not decoded again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_prompt(
    sampler: *const SamplerHandle,
    plain_prompt: *const i32,
    n_plain_prompt: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the array holds that many tokens.
        let (sampler, prompt) =
            unsafe { (get(sampler, "sampler")?, slice(plain_prompt, n_plain_prompt, "plain_prompt")?) };
        sampler.sampler.with(|sampler| sampler.set_prompt(prompt))
    })
}

/// Hands in the plain branch's logits of the coming step: `n_vocab` values by token id, copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_set_plain_logits(
    sampler: *const SamplerHandle,
    plain: *const f32,
    n_vocab: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live and the row holds `n_vocab` values.
        let (sampler, plain) = unsafe { (get(sampler, "sampler")?, slice(plain, n_vocab, "plain")?) };
        sampler.sampler.with(|sampler| sampler.set_plain_logits(plain))
    })
}

/// Status of the first error since the sampler was made or reset, SDA_OK if there was none. Callbacks in a
/// chain cannot report: check this after each step. SDA_ERR_NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_status(sampler: *const SamplerHandle) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        let sampler = unsafe { get(sampler, "sampler")? };
        sampler.sampler.error().map_or(Ok(()), Err)
    })
}

/// Text of that error, empty if there was none; NULL for NULL. Valid until the next call on the same
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_error(sampler: *const SamplerHandle) -> *const c_char {
    guard_or(std::ptr::null(), || {
        // SAFETY: the caller says that it is NULL or a live handle.
        let Ok(sampler) = (unsafe { get(sampler, "sampler") }) else { return std::ptr::null() };
        let mut message = sampler.message.borrow_mut();
        *message = sampler.sampler.message();
        message.as_ptr()
    })
}

/// Divergence and temperature of the last steered step. SDA_ERR_STATE before the first one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_last_step(sampler: *const SamplerHandle, step: *mut CStep) -> i32 {
    guard(|| {
        let to = out(step, "step")?;
        // SAFETY: the caller says that the handle is live.
        let last = unsafe { get(sampler, "sampler")? }.sampler.with(|sampler| Ok(sampler.last_step()))?;
        let last = last.ok_or_else(|| Error::State { reason: "there was no step yet".into() })?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { to.write(last.into()) };
        Ok(())
    })
}

/// Counts of steps and accepts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_stats(sampler: *const SamplerHandle, stats: *mut CStats) -> i32 {
    guard(|| {
        let to = out(stats, "stats")?;
        // SAFETY: the caller says that the handle is live.
        let counted = unsafe { get(sampler, "sampler")? }.sampler.with(|sampler| Ok(sampler.stats()))?;
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { to.write(counted.into()) };
        Ok(())
    })
}
