//! What must hold for any two rows of logits, whatever the numbers are.

use proptest::prelude::*;
use sda::steer::{Isa, Step, steer, steer_in_place, steer_with};
use sda::{Error, Params};
use sda_test_kit::oracle::log_softmax;

const MASKED: f32 = f32::NEG_INFINITY;

/// A logit: mostly ordinary, sometimes masked.
fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![12 => -20.0_f32..20.0, 1 => Just(MASKED), 1 => -1e4_f32..1e4]
}

/// Two rows of one length with a finite logit each, at the same or another token.
fn rows() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (prop::collection::vec((logit(), logit()), 1..150), any::<[prop::sample::Index; 2]>()).prop_map(
        |(pairs, [i, j])| {
            let (mut x, mut y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let n = x.len();
            for (row, at) in [(&mut x, i.index(n)), (&mut y, j.index(n))] {
                if row[at] == MASKED {
                    row[at] = 0.0;
                }
            }
            (x, y)
        },
    )
}

fn settings() -> impl Strategy<Value = Params> {
    (-2.0_f32..4.0, 0.0_f32..4.0, 0.05_f32..2.0, prop_oneof![Just(0.01_f32), Just(1.386), 0.01_f32..3.0])
        .prop_map(|(amplification, k, temperature, sigma)| Params {
            amplification,
            k,
            temperature,
            sigma,
            t_min: 0.05,
            ..Params::default()
        })
}

fn isas() -> impl Strategy<Value = Isa> {
    prop::sample::select(Isa::available().collect::<Vec<_>>())
}

fn run(isa: Isa, x: &[f32], y: &[f32], params: &Params) -> (Step, Vec<f32>) {
    let mut out = vec![f32::NAN; x.len()];
    let step = steer_with(isa, x, y, params, &mut out).unwrap();
    (step, out)
}

fn close(a: f32, b: f32, allowed: f64) -> bool {
    a == b || (f64::from(a) - f64::from(b)).abs() <= allowed * f64::from(a).abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn zero_strength_keeps_the_instructed_distribution(
        isa in isas(), (x, y) in rows(), params in settings(),
    ) {
        let (step, out) = run(isa, &x, &y, &Params { amplification: 0.0, ..params });
        let tempered: Vec<f64> = x.iter().map(|x| f64::from(*x) / step.temperature).collect();
        for (got, expected) in out.iter().zip(log_softmax(&tempered)) {
            prop_assert!(close(*got, expected as f32, 1e-6), "{got} {expected}");
        }
    }

    #[test]
    fn the_result_is_a_distribution_masked_where_the_instructed_row_is(
        isa in isas(), (x, y) in rows(), params in settings(),
    ) {
        let (step, out) = run(isa, &x, &y, &params);
        let sum: f64 = out.iter().map(|l| f64::from(*l).exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "sum {sum}");
        for (x, out) in x.iter().zip(&out) {
            prop_assert_eq!(*x == MASKED, *out == MASKED);
            prop_assert!(*out <= 0.0);
        }
        prop_assert!((0.0..=std::f64::consts::LN_2).contains(&step.divergence));
        prop_assert!(step.temperature > 0.0 && step.temperature <= f64::from(params.temperature));
    }

    #[test]
    fn adding_a_constant_to_a_branch_changes_nothing(
        isa in isas(), (x, y) in rows(), params in settings(), by in [-64_i8..64, -64_i8..64],
    ) {
        // Multiples of 1/64 stay exact in f32 when shifted.
        let grid = |row: &[f32]| row.iter().map(|v| (v * 64.0).round() / 64.0).collect::<Vec<_>>();
        let shift = |row: &[f32], by: i8| row.iter().map(|v| v + f32::from(by)).collect::<Vec<_>>();
        let (x, y) = (grid(&x), grid(&y));
        let (step, out) = run(isa, &x, &y, &params);
        let (shifted_step, shifted) = run(isa, &shift(&x, by[0]), &shift(&y, by[1]), &params);
        prop_assert!((step.divergence - shifted_step.divergence).abs() < 1e-9);
        for (a, b) in out.iter().zip(&shifted) {
            prop_assert!(close(*a, *b, 1e-6), "{a} {b}");
        }
    }

    #[test]
    fn reordering_the_vocabulary_reorders_the_result(
        isa in isas(), (x, y) in rows(), params in settings(), seed in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..x.len()).collect();
        let mut rng = sda_test_kit::rng::Rng(seed);
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i + 1));
        }
        let pick = |row: &[f32]| order.iter().map(|i| row[*i]).collect::<Vec<_>>();
        let (step, out) = run(isa, &x, &y, &params);
        let (reordered_step, reordered) = run(isa, &pick(&x), &pick(&y), &params);
        prop_assert!((step.divergence - reordered_step.divergence).abs() < 5e-7);
        for (a, b) in pick(&out).iter().zip(&reordered) {
            prop_assert!(close(*a, *b, 5e-6), "{a} {b}");
        }
    }

    #[test]
    fn equal_branches_diverge_by_nothing_and_are_only_tempered(
        isa in isas(), (x, _) in rows(), params in settings(),
    ) {
        let (step, out) = run(isa, &x, &x, &params);
        prop_assert!(step.divergence < 1e-12, "{}", step.divergence);
        let (_, unsteered) = run(isa, &x, &x, &Params { amplification: 0.0, ..params });
        for (a, b) in out.iter().zip(&unsteered) {
            prop_assert!(close(*a, *b, 1e-6), "{a} {b}");
        }
    }

    #[test]
    fn a_token_masked_in_the_plain_branch_only_is_not_steered(
        isa in isas(), (x, y) in rows(), params in settings(),
    ) {
        let both = |i: &usize| x[*i] != MASKED && y[*i] == MASKED;
        let unsteered: Vec<usize> = (0..x.len()).filter(both).collect();
        prop_assume!(unsteered.len() > 1);
        let (step, out) = run(isa, &x, &y, &params);
        for pair in unsteered.windows(2) {
            // Their differences are those of the instructed logits over T.
            let expected = (f64::from(x[pair[0]]) - f64::from(x[pair[1]])) / step.temperature;
            let got = f64::from(out[pair[0]]) - f64::from(out[pair[1]]);
            let scale = f64::from(out[pair[0]]).abs().max(f64::from(out[pair[1]]).abs()).max(1.0);
            prop_assert!((got - expected).abs() <= 1e-6 * scale, "{got} {expected}");
        }
    }

    #[test]
    fn in_place_and_out_of_place_are_equal(
        (x, y) in rows(), params in settings(), greedy in any::<bool>(),
    ) {
        let params = if greedy { Params { temperature: 0.0, ..params } } else { params };
        let mut out = vec![0.0; x.len()];
        let step = steer(&x, &y, &params, &mut out).unwrap();
        let mut row = x.clone();
        prop_assert_eq!(steer_in_place(&mut row, &y, &params).unwrap(), step);
        prop_assert_eq!(&row, &out);
        prop_assert_eq!(steer(&x, &y, &params, &mut row).unwrap(), step);
        prop_assert_eq!(row, out, "a second call differs from the first");
    }

    #[test]
    fn greedy_takes_the_likeliest_steered_token(
        isa in isas(), (x, y) in rows(), params in settings(),
    ) {
        let (step, out) = run(isa, &x, &y, &params);
        let (greedy_step, greedy) = run(isa, &x, &y, &Params { temperature: 0.0, ..params });
        prop_assert_eq!(greedy_step, Step { temperature: 0.0, ..step });
        let best = greedy.iter().position(|v| *v == 0.0).unwrap();
        prop_assert!(greedy.iter().enumerate().all(|(i, v)| i == best || *v == MASKED));
        let top = out.iter().copied().fold(MASKED, f32::max);
        prop_assert!(close(out[best], top, 1e-6), "{} {top}", out[best]);
    }

    #[test]
    fn bad_logits_are_refused_by_branch_and_token_and_leave_the_output_alone(
        isa in isas(), (x, y) in rows(), params in settings(),
        at in any::<prop::sample::Index>(), nan in any::<bool>(), in_plain in any::<bool>(),
    ) {
        let (mut x, mut y) = (x, y);
        let token = at.index(x.len());
        let value = if nan { f32::NAN } else { f32::INFINITY };
        let branch = if in_plain { "plain" } else { "instructed" };
        if in_plain { y[token] = value } else { x[token] = value }
        let mut out: Vec<f32> = (0..x.len()).map(|i| i as f32).collect();
        let before = out.clone();
        match steer_with(isa, &x, &y, &params, &mut out).unwrap_err() {
            Error::NotFinite { branch: b, token: t, .. } => prop_assert_eq!((b, t), (branch, token)),
            other => prop_assert!(false, "{other}"),
        }
        prop_assert_eq!(&out, &before);
        let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let mut row = x.clone();
        prop_assert!(steer_in_place(&mut row, &y, &params).is_err());
        prop_assert_eq!(bits(&row), bits(&x));
    }
}

#[test]
fn a_wholly_masked_branch_is_refused_and_leaves_the_output_alone() {
    let (finite, masked) = ([0.5_f32; 70], [MASKED; 70]);
    for isa in Isa::available() {
        for (x, y, branch) in [(finite, masked, "plain"), (masked, finite, "instructed")] {
            let mut out = [7.0_f32; 70];
            let error = steer_with(isa, &x, &y, &Params::default(), &mut out).unwrap_err();
            assert_eq!(error, Error::AllMasked { branch });
            assert_eq!(out, [7.0; 70]);
        }
    }
}

#[test]
fn rows_of_other_lengths_and_empty_rows_are_refused() {
    let params = Params::default();
    let length = |what, got, expected| Err(Error::Length { what, got, expected });
    assert_eq!(steer(&[0.0; 3], &[0.0; 2], &params, &mut [0.0; 3]), length("plain", 2, 3));
    assert_eq!(steer(&[0.0; 3], &[0.0; 3], &params, &mut [0.0; 4]), length("logprobs", 4, 3));
    assert_eq!(steer(&[], &[], &params, &mut []), length("instructed", 0, 1));
    assert_eq!(steer_in_place(&mut [0.0; 3], &[0.0; 4], &params), length("plain", 4, 3));
    assert_eq!(steer_in_place(&mut [], &[], &params), length("instructed", 0, 1));
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_written() {
    let good = Params::default();
    let bad = [
        (Params { amplification: f32::NAN, ..good }, "amplification is NaN, must be finite"),
        (Params { k: f32::INFINITY, ..good }, "k is inf, must be finite"),
        (Params { temperature: f32::NAN, ..good }, "temperature is NaN, must be finite"),
        (Params { sigma: 0.0, ..good }, "sigma is 0, must be greater than 0"),
        (Params { t_min: -1.0, ..good }, "t_min is -1, must be finite and at least 0"),
    ];
    for (params, message) in bad {
        let mut out = [7.0_f32; 2];
        let error = steer(&[0.0, 1.0], &[0.0, 1.0], &params, &mut out).unwrap_err();
        assert_eq!((error.to_string().as_str(), out), (message, [7.0; 2]));
    }
}

#[test]
fn greedy_takes_the_lowest_of_equal_tokens() {
    let params = Params { temperature: 0.0, amplification: 1.0, ..Params::default() };
    for isa in Isa::available() {
        for n in [1, 2, 15, 16, 17, 100, 5000] {
            for first in [0, n / 3, n - 1] {
                let mut x = vec![0.25_f32; n];
                x[first..].fill(2.5);
                let (_, out) = run(isa, &x, &vec![0.25; n], &params);
                let expected: Vec<f32> = (0..n).map(|i| if i == first { 0.0 } else { MASKED }).collect();
                assert_eq!(out, expected, "{isa} {n}");
            }
        }
    }
}

#[test]
fn extreme_numbers_never_become_nan_or_minus_infinity() {
    let huge =
        [f32::MAX, f32::MIN, 0.0, f32::MIN_POSITIVE, -0.0, 1e30, -1e30, 1.0, MASKED, f32::from_bits(1)];
    let settings = [f32::MAX, f32::MIN, 1e20, 0.0, -1.0, f32::from_bits(1)];
    for isa in Isa::available() {
        for &a in &settings {
            for &k in &settings {
                for t0 in [f32::from_bits(1), 1e-20, 1e-6, 1.0, f32::MAX] {
                    for sigma in [f32::from_bits(1), 1.0, f32::INFINITY] {
                        let params = Params {
                            amplification: a,
                            k,
                            temperature: t0,
                            sigma,
                            t_min: 0.0,
                            ..Params::default()
                        };
                        let mut y = huge;
                        y.rotate_left(3);
                        for (x, y) in [(huge, y), (y, huge), (huge, huge)] {
                            let (step, out) = run(isa, &x, &y, &params);
                            assert!(step.divergence.is_finite() && step.temperature > 0.0);
                            for (x, out) in x.iter().zip(out) {
                                let fine = if *x == MASKED {
                                    out == MASKED
                                } else {
                                    (f32::MIN..=0.0).contains(&out)
                                };
                                assert!(fine, "{isa} {params:?}: {out} of {x}");
                            }
                        }
                    }
                }
            }
        }
    }
}
