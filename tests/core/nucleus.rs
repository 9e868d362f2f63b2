//! Top-k and top-p against a version that sorts everything, and the tempering of a single row.

use proptest::prelude::*;
use sda::steer::Nucleus;
use sda::steer::{Isa, steer, temper, temper_with};
use sda::{Error, Params};
use sda_test_kit::maths::assert_log_prob;
use sda_test_kit::oracle::log_softmax;
use sda_test_kit::rng::Rng;

const MASKED: f32 = f32::NEG_INFINITY;

/// Log-probabilities of a row of logits.
fn normalised(logits: &[f32]) -> Vec<f32> {
    let wide: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
    log_softmax(&wide).into_iter().map(|l| l as f32).collect()
}

/// Everything sorted, then cut; and how near to `top_p` the sums come that decide.
fn naive(logprobs: &[f32], top_k: usize, top_p: f32) -> (Vec<(usize, f32)>, f64) {
    let mut all: Vec<(usize, f32)> = logprobs.iter().copied().enumerate().filter(|t| t.1 > MASKED).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if top_k > 0 {
        all.truncate(top_k);
    }
    let mut nearest = f64::INFINITY;
    if top_p < 1.0 {
        let p = |t: &(usize, f32)| f64::from(t.1).exp();
        let total: f64 = if top_k > 0 { all.iter().map(p).sum() } else { 1.0 };
        let mut sum = 0.0;
        let mut keep = all.len();
        for (i, token) in all.iter().enumerate() {
            sum += p(token) / total;
            nearest = nearest.min((sum - f64::from(top_p)).abs());
            if sum >= f64::from(top_p) {
                keep = i + 1;
                break;
            }
        }
        all.truncate(keep);
    }
    (all, nearest)
}

#[track_caller]
fn check(isa: Isa, logprobs: &[f32], top_k: usize, top_p: f32) {
    let mut nucleus = Nucleus::default();
    let got: Vec<(usize, f32)> = nucleus.select_with(isa, logprobs, top_k, top_p).collect();
    let (expected, nearest) = naive(logprobs, top_k, top_p);
    // Where a sum all but meets top_p, its rounding decides on the last token.
    if nearest < 1e-6 {
        let shorter = got.len().min(expected.len());
        assert!(got.len().abs_diff(expected.len()) <= 1 || logprobs.len() > 1000, "{isa}");
        assert_eq!(got[..shorter], expected[..shorter], "{isa} top_k {top_k} top_p {top_p}");
    } else {
        assert_eq!(got, expected, "{isa} top_k {top_k} top_p {top_p}");
    }
}

fn rows() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![8 => -30.0_f32..10.0, 1 => Just(MASKED), 2 => (0_i8..4).prop_map(f32::from)];
    let steep = prop_oneof![8 => -3e3_f32..3e3, 1 => Just(MASKED)];
    prop_oneof![
        prop::collection::vec(logit, 1..300),
        prop::collection::vec(steep, 1..200),
        // Ties nearly everywhere.
        prop::collection::vec((0_i8..3).prop_map(f32::from), 1..300),
    ]
    .prop_filter("one token must be left", |row| row.iter().any(|x| *x > MASKED))
}

fn top_p() -> impl Strategy<Value = f32> {
    prop_oneof![8 => 0.0_f32..1.0, 1 => Just(0.0), 1 => Just(1e-9), 1 => Just(1.0), 1 => 0.999_f32..1.0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn top_p_keeps_what_a_full_sort_keeps(row in rows(), top_p in top_p()) {
        for isa in Isa::available() {
            check(isa, &normalised(&row), 0, top_p);
        }
    }

    #[test]
    fn top_k_before_top_p_keeps_what_a_full_sort_keeps(
        row in rows(), top_k in 1_usize..320, top_p in top_p(),
    ) {
        for isa in Isa::available() {
            check(isa, &normalised(&row), top_k, top_p);
        }
    }

    #[test]
    fn tempering_a_row_is_steering_it_by_nothing(
        row in rows(), temperature in prop_oneof![Just(0.0_f32), Just(1.0), 0.05_f32..3.0],
    ) {
        let params = Params { temperature, sigma: f32::INFINITY, ..Params::default() };
        let mut expected = vec![f32::NAN; row.len()];
        steer(&row, &row, &params, &mut expected).unwrap();
        for isa in Isa::available() {
            let mut got = vec![f32::NAN; row.len()];
            temper_with(isa, &row, temperature, &mut got).unwrap();
            for (token, (got, expected)) in got.iter().zip(&expected).enumerate() {
                assert_log_prob(*got, f64::from(*expected), &format_args!("{isa} token {token}"));
            }
        }
    }
}

#[test]
fn large_rows_keep_what_a_full_sort_keeps() {
    let mut rng = Rng(7);
    let best = Isa::available().last().unwrap();
    for (n, scale) in [(20_001, 3.0), (60_000, 1.0), (100_003, 0.3)] {
        let row = normalised(&rng.gauss_row(n, scale));
        for (top_k, top_p) in [(0, 0.3), (0, 0.95), (0, 0.9999), (40, 0.95), (5000, 1.0)] {
            check(best, &row, top_k, top_p);
        }
    }
}

#[test]
fn a_row_without_any_preference_keeps_the_lowest_ids() {
    let n = 10_000;
    let row = normalised(&vec![0.5; n]);
    let mut nucleus = Nucleus::default();
    let kept: Vec<usize> = nucleus.select(&row, 0, 0.25).map(|(token, _)| token).collect();
    assert!(kept.len().abs_diff(n / 4) <= 1, "{}", kept.len());
    assert!(kept.iter().copied().eq(0..kept.len()));
    assert_eq!(nucleus.select(&row, 0, 1.0).len(), n);
    assert_eq!(nucleus.select(&row, 0, 0.0).len(), 1);
    assert_eq!(nucleus.select(&row, 3, 1.0).map(|(token, _)| token).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_greedy_row_keeps_its_token() {
    let mut row = vec![MASKED; 300];
    row[123] = 0.0;
    for (top_k, top_p) in [(0, 0.95), (0, 1.0), (40, 0.95), (1, 1.0)] {
        let kept: Vec<_> = Nucleus::default().select(&row, top_k, top_p).collect();
        assert_eq!(kept, [(123, 0.0)]);
    }
}

#[test]
fn tempering_refuses_what_steering_refuses() {
    let mut out = vec![7.0; 3];
    let refused = |row: &[f32], out: &mut Vec<f32>| temper(row, 1.0, out).unwrap_err();
    assert_eq!(refused(&[MASKED; 3], &mut out), Error::AllMasked { branch: "instructed" });
    let nan = refused(&[0.0, f32::NAN, 0.0], &mut out);
    assert!(matches!(nan, Error::NotFinite { branch: "instructed", token: 1, .. }), "{nan}");
    let infinite = refused(&[0.0, 0.0, f32::INFINITY], &mut out);
    assert!(matches!(infinite, Error::NotFinite { token: 2, .. }), "{infinite}");
    assert!(matches!(refused(&[0.0; 4], &mut out), Error::Length { got: 3, expected: 4, .. }));
    assert!(temper(&[], 1.0, &mut []).is_err());
    assert!(temper(&[0.0; 3], f32::NAN, &mut out).is_err());
    assert_eq!(out, [7.0; 3]);
}
