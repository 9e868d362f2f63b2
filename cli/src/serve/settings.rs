//! Settings as replies show them, by llama-server's names.

use sda::engine::Generation;
use serde_json::{Value, json};

/// How answers are generated.
pub fn shown(settings: &Generation) -> Value {
    let Generation { params, sampling, n_predict, stop, .. } = settings;
    let n_predict = n_predict.map_or(-1, |n| n as i64);
    json!({
        "seed": sampling.seed,
        "temperature": params.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_last_n": sampling.repeat_last_n,
        "repeat_penalty": sampling.repeat_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
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
