//! The samplers of a request.

use std::ffi::c_char;

use super::super::pointer::list;
use super::super::text::{optional, text};
use super::generate_params::CGenerateParams;
use crate::error::Result;
use crate::llama::{SamplerKind, Sampling};

/// Reads the samplers' settings.
///
/// # Safety
/// The texts and arrays are as the fields say.
pub(super) unsafe fn sampling(c: &CGenerateParams) -> Result<Sampling> {
    let usual = Sampling::default();
    let field = "dry_sequence_breakers";
    // SAFETY: passed on.
    let (samplers, breakers) = unsafe {
        (optional(c.samplers, "samplers")?, list(c.dry_sequence_breakers, c.n_dry_sequence_breakers, field)?)
    };
    // SAFETY: passed on.
    let breaker = |&pointer: &*const c_char| Ok(unsafe { text(pointer, field)? }.to_owned());
    Ok(Sampling {
        seed: c.seed,
        top_k: c.top_k,
        top_p: c.top_p,
        min_p: c.min_p,
        typical_p: c.typical_p,
        top_n_sigma: c.top_n_sigma,
        xtc_probability: c.xtc_probability,
        xtc_threshold: c.xtc_threshold,
        repeat_last_n: c.repeat_last_n,
        repeat_penalty: c.repeat_penalty,
        frequency_penalty: c.frequency_penalty,
        presence_penalty: c.presence_penalty,
        dry_multiplier: c.dry_multiplier,
        dry_base: c.dry_base,
        dry_allowed_length: c.dry_allowed_length,
        dry_penalty_last_n: c.dry_penalty_last_n,
        dry_sequence_breakers: if c.dry_sequence_breakers.is_null() && breakers.is_empty() {
            usual.dry_sequence_breakers
        } else {
            breakers.iter().map(breaker).collect::<Result<_>>()?
        },
        dynatemp_range: c.dynatemp_range,
        dynatemp_exponent: c.dynatemp_exponent,
        mirostat: c.mirostat,
        mirostat_tau: c.mirostat_tau,
        mirostat_eta: c.mirostat_eta,
        samplers: samplers.map_or(Ok(usual.samplers), SamplerKind::by_list)?,
        greedy: false,
    })
}
