//! The step written out as its equations say, in f64, slow and obvious.

use sda::Params;

/// Result of one step.
pub struct Oracle {
    pub divergence: f64,
    pub temperature: f64,
    pub log_probs: Vec<f64>,
}

pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    logits.iter().map(|x| (x - max) - sum.ln()).collect()
}

fn js(lp: &[f64], lq: &[f64]) -> f64 {
    // sum a ln(a / ((a + b) / 2)), with a/b from the logarithms so that nothing cancels
    let half = |a: f64, b: f64| {
        if a == f64::NEG_INFINITY { 0.0 } else { a.exp() * -(0.5 * (b - a).exp_m1()).ln_1p() }
    };
    let sum: f64 = lp.iter().zip(lq).map(|(&a, &b)| half(a, b) + half(b, a)).sum();
    (0.5 * sum).clamp(0.0, std::f64::consts::LN_2)
}

/// One step for rows that the caller knows to be valid and settings that are not greedy.
pub fn steer(instructed: &[f32], plain: &[f32], params: &Params) -> Oracle {
    let wide = |row: &[f32]| log_softmax(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    let (lp, lq) = (wide(instructed), wide(plain));
    let divergence = js(&lp, &lq);
    let t0 = f64::from(params.temperature).max(1e-6);
    let temperature =
        (t0 * 0.5_f64.powf(divergence / f64::from(params.sigma))).max(f64::from(params.t_min)).max(1e-30);
    let ka = f64::from(params.k) * f64::from(params.amplification);
    let steered: Vec<f64> = lp
        .iter()
        .zip(&lq)
        .map(|(&p, &q)| if p.is_finite() && q.is_finite() { p + ka * (p - q) } else { p })
        .map(|s| s / temperature)
        .collect();
    Oracle { divergence, temperature, log_probs: log_softmax(&steered) }
}
