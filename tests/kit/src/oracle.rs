//! The step written out as its equations say, in f64, slow and obvious.

use sda::Params;

/// Result of one step.
pub struct Oracle {
    pub divergence: f64,
    pub temperature: f64,
    pub gain: f64,
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
    steer_many(instructed, plain, &[instructed], &[1.0], params)
}

/// One step by several instructions.
pub fn steer_many(
    instructed: &[f32],
    plain: &[f32],
    others: &[&[f32]],
    weights: &[f32],
    params: &Params,
) -> Oracle {
    let (lp, lq) = (wide(instructed), wide(plain));
    let divergence = js(&lp, &lq);
    let t0 = f64::from(params.temperature).max(1e-6);
    let temperature =
        (t0 * 0.5_f64.powf(divergence / f64::from(params.sigma))).max(f64::from(params.t_min)).max(1e-30);
    let d = differences(&lq, others, weights);
    let gain = within(&lp, &d, f64::from(params.k) * f64::from(params.amplification), params.max_kl.into());
    let tempered: Vec<f64> = steered(&lp, &d, gain).iter().map(|s| s / temperature).collect();
    Oracle { divergence, temperature, gain, log_probs: log_softmax(&tempered) }
}

fn wide(row: &[f32]) -> Vec<f64> {
    log_softmax(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())
}

/// `sum w (ln p_i - ln q)`, where a term is 0 for a token that is masked in one of its rows.
fn differences(lq: &[f64], others: &[&[f32]], weights: &[f32]) -> Vec<f64> {
    let mut sum = vec![0.0; lq.len()];
    for (row, &weight) in others.iter().zip(weights) {
        for ((sum, lp), lq) in sum.iter_mut().zip(wide(row)).zip(lq) {
            *sum += if lp.is_finite() && lq.is_finite() { f64::from(weight) * (lp - lq) } else { 0.0 };
        }
    }
    sum
}

/// `ln p + w D`.
fn steered(lp: &[f64], d: &[f64], gain: f64) -> Vec<f64> {
    lp.iter().zip(d).map(|(p, d)| if p.is_finite() { p + gain * d } else { *p }).collect()
}

/// `KL(steered || instructed)` at a strength, in nats, before the temperature.
pub fn kl(instructed: &[f32], plain: &[f32], gain: f64) -> f64 {
    kl_many(instructed, plain, &[instructed], &[1.0], gain)
}

/// [`kl`] with several instructions.
pub fn kl_many(instructed: &[f32], plain: &[f32], others: &[&[f32]], weights: &[f32], gain: f64) -> f64 {
    kl_of(&wide(instructed), &differences(&wide(plain), others, weights), gain)
}

fn kl_of(lp: &[f64], d: &[f64], gain: f64) -> f64 {
    let ls = log_softmax(&steered(lp, d, gain));
    let term = |(&s, &p): (&f64, &f64)| if s.exp() > 0.0 { s.exp() * (s - p) } else { 0.0 };
    ls.iter().zip(lp).map(term).sum()
}

/// The strength nearest to `gain` whose KL is within the budget, by bisection.
fn within(lp: &[f64], d: &[f64], gain: f64, budget: f64) -> f64 {
    if budget == f64::INFINITY || kl_of(lp, d, gain) <= budget {
        return gain;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if kl_of(lp, d, middle * gain) <= budget { low = middle } else { high = middle }
    }
    low * gain
}
