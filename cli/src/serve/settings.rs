//! Settings as replies show them, by llama-server's names.

use sda::engine::Generation;
use sda::llama::SamplerKind;
use serde_json::{Value, json};

/// How answers are generated.
pub fn shown(settings: &Generation) -> Value {
    let Generation { params, sampling, n_predict, stop, .. } = settings;
    let samplers: Vec<&str> = sampling.samplers.iter().copied().map(SamplerKind::name).collect();
    let n_predict = n_predict.map_or(-1, |n| n as i64);
    json!({
        "seed": sampling.seed,
        "temperature": params.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "typical_p": sampling.typical_p,
        "top_n_sigma": sampling.top_n_sigma,
        "xtc_probability": sampling.xtc_probability,
        "xtc_threshold": sampling.xtc_threshold,
        "repeat_last_n": sampling.repeat_last_n,
        "repeat_penalty": sampling.repeat_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "dry_multiplier": sampling.dry_multiplier,
        "dry_base": sampling.dry_base,
        "dry_allowed_length": sampling.dry_allowed_length,
        "dry_penalty_last_n": sampling.dry_penalty_last_n,
        "dry_sequence_breakers": sampling.dry_sequence_breakers,
        "dynatemp_range": sampling.dynatemp_range,
        "dynatemp_exponent": sampling.dynatemp_exponent,
        "mirostat": sampling.mirostat,
        "mirostat_tau": sampling.mirostat_tau,
        "mirostat_eta": sampling.mirostat_eta,
        "samplers": samplers,
        "ignore_eos": settings.ignore_eos,
        "n_predict": n_predict,
        "max_tokens": n_predict,
        "stop": stop,
        "grammar": settings.grammar.as_ref().map_or("", |grammar| grammar.text()),
        "logit_bias": settings.logit_bias,
        "sda": {
            "k": params.k,
            "sigma": finite(params.sigma),
            "t_min": params.t_min,
            "max_kl": finite(params.max_kl),
            "mean_kl": finite(params.mean_kl),
            "steer_after_think": settings.steer_after_think,
        },
    })
}

/// JSON has no number for infinity; requests write it so, too.
fn finite(value: f32) -> Value {
    if value.is_finite() { value.into() } else { "inf".into() }
}
