//! Several instructions at once: against the oracle, and what must hold for any rows, on every instruction set.

use proptest::prelude::*;
use sda::steer::{
    Isa, MOST_INSTRUCTIONS, Step, steer_many, steer_many_in_place, steer_many_with, steer_with,
};
use sda::{Error, Params};
use sda_test_kit::maths::{assert_log_prob, params};
use sda_test_kit::oracle;
use sda_test_kit::rng::Rng;

const MASKED: f32 = f32::NEG_INFINITY;

/// The rows of a step.
#[derive(Clone, Debug)]
struct Rows {
    instructed: Vec<f32>,
    plain: Vec<f32>,
    others: Vec<Vec<f32>>,
    weights: Vec<f32>,
}

impl Rows {
    fn others(&self) -> Vec<&[f32]> {
        self.others.iter().map(Vec::as_slice).collect()
    }

    fn run(&self, isa: Isa, params: &Params) -> (Step, Vec<f32>) {
        let mut out = vec![f32::NAN; self.plain.len()];
        let (others, weights) = (self.others(), &self.weights);
        let step =
            steer_many_with(isa, &self.instructed, &self.plain, &others, weights, params, &mut out).unwrap();
        (step, out)
    }

    fn kl(&self, gain: f64) -> f64 {
        oracle::kl_many(&self.instructed, &self.plain, &self.others(), &self.weights, gain)
    }

    /// Rows as a language model gives them: `n` instructions, whose rows are some way from the plain one.
    fn gauss(rng: &mut Rng, n_vocab: usize, scale: f32, weights: &[f32]) -> Rows {
        let plain = rng.gauss_row(n_vocab, scale);
        let near = |rng: &mut Rng| plain.iter().map(|x| x + rng.gauss()).collect::<Vec<f32>>();
        let others = weights.iter().map(|_| near(rng)).collect();
        Rows { instructed: near(rng), others, plain, weights: weights.to_vec() }
    }

    fn mask(mut self, rng: &mut Rng, share: usize) -> Rows {
        let rows = [&mut self.instructed, &mut self.plain].into_iter().chain(&mut self.others);
        for row in rows {
            let kept = rng.below(row.len());
            for i in (0..row.len()).filter(|i| *i != kept) {
                if rng.below(share) == 0 {
                    row[i] = MASKED;
                }
            }
        }
        self
    }

    #[track_caller]
    fn assert_oracle(&self, isa: Isa, params: &Params, what: &str) {
        let expected =
            oracle::steer_many(&self.instructed, &self.plain, &self.others(), &self.weights, params);
        let (step, out) = self.run(isa, params);
        assert!((step.divergence - expected.divergence).abs() <= 5e-7 * expected.divergence + 1e-7, "{what}");
        let falls = step.temperature > f64::from(params.t_min);
        let allowed = if falls { 1e-6_f64.max(1e-8 / f64::from(params.sigma)) } else { 1e-9 };
        assert!((step.temperature / expected.temperature - 1.0).abs() <= allowed, "{what}");
        assert_eq!(step.gain, params.gain(), "{what}");
        for (token, (got, expected)) in out.iter().zip(&expected.log_probs).enumerate() {
            assert_log_prob(*got, *expected, &format_args!("{what} {isa} token {token}"));
        }
    }
}

const WEIGHTS: [&[f32]; 6] =
    [&[1.0, 0.5], &[1.0, -0.5], &[-1.0], &[0.3, 0.0, 2.0], &[1.0, 1.0, -2.0], &[0.1; MOST_INSTRUCTIONS]];

#[test]
fn rows_of_many_lengths_equal_the_oracle() {
    let mut rng = Rng(21);
    for n in [1, 2, 7, 16, 17, 63, 64, 65, 129, 1000, 1023, 1024, 1025, 4097] {
        for weights in WEIGHTS {
            for temp_fn in ["halving", "sharp"] {
                let rows = Rows::gauss(&mut rng, n, 3.0, weights);
                for isa in Isa::available() {
                    let what = format!("n {n} weights {weights:?} {temp_fn}");
                    rows.assert_oracle(isa, &params(0.5, 2.0, 0.6, temp_fn), &what);
                }
            }
        }
    }
}

#[test]
fn a_whole_vocabulary_and_strong_steering_equal_the_oracle() {
    let mut rng = Rng(22);
    let rows = Rows::gauss(&mut rng, 49_152, 3.0, &[1.0, 0.5]);
    for (a, t0) in [(0.5, 0.6), (50.0, 0.05), (-3.0, 1.0)] {
        for isa in Isa::available() {
            rows.assert_oracle(isa, &params(a, 2.0, t0, "halving"), &format!("a {a} t0 {t0}"));
        }
    }
}

#[test]
fn logits_far_from_zero_equal_the_oracle() {
    let mut rng = Rng(23);
    for offset in [-1e4_f32, 300.0, 1e6] {
        let mut rows = Rows::gauss(&mut rng, 777, 2.0, &[1.0, -0.5, 0.25]);
        rows.instructed.iter_mut().for_each(|x| *x += offset);
        rows.others[1].iter_mut().for_each(|x| *x -= 0.5 * offset);
        for isa in Isa::available() {
            rows.assert_oracle(isa, &params(1.0, 2.0, 0.6, "halving"), &format!("offset {offset}"));
        }
    }
}

#[test]
fn masks_in_any_row_equal_the_oracle() {
    let mut rng = Rng(24);
    for n in [1, 5, 64, 129, 1025] {
        for share in [2, 10] {
            let rows = Rows::gauss(&mut rng, n, 3.0, &[1.0, 0.5, -1.0]).mask(&mut rng, share);
            for isa in Isa::available() {
                rows.assert_oracle(isa, &params(0.5, 2.0, 1.0, "halving"), &format!("n {n} share {share}"));
            }
        }
    }
}

#[test]
fn a_term_is_nothing_for_a_token_that_is_masked_in_its_row_or_in_the_plain_one() {
    let rows = Rows {
        instructed: vec![1.0, 2.0, 0.0, MASKED],
        plain: vec![0.5, MASKED, 0.0, 1.0],
        others: vec![vec![2.0, 9.0, MASKED, 1.0], vec![1.0, 1.0, 3.0, 2.0]],
        weights: vec![1.0, 1.0],
    };
    let untempered = Params { sigma: f32::INFINITY, ..params(0.5, 2.0, 1.0, "halving") };
    for isa in Isa::available() {
        let (_, out) = rows.run(isa, &untempered);
        let second = Rows { others: vec![rows.others[1].clone()], weights: vec![1.0], ..rows.clone() };
        let (_, without) = second.run(isa, &untempered);
        let unsteered = Params { amplification: 0.0, ..untempered };
        let (_, none) = rows.run(isa, &unsteered);
        // Differences of two tokens, which the normaliser leaves alone.
        assert_eq!(out[3], MASKED);
        // Token 1 is masked in the plain row, so nothing steers it; nor does the first row steer token 2.
        let first = |out: &[f32], by: f64| f64::from(out[1]) - f64::from(out[2]) + by;
        let d = |row: &[f32]| {
            let log_sum = |row: &[f32]| row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
            f64::from(row[2]) - log_sum(row) - (f64::from(rows.plain[2]) - log_sum(&rows.plain))
        };
        let by = d(&rows.others[1]);
        assert!((first(&out, by) - first(&none, 0.0)).abs() < 1e-6, "{isa}");
        assert!((first(&without, by) - first(&none, 0.0)).abs() < 1e-6, "{isa}");
    }
}

fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![12 => -20.0_f32..20.0, 1 => Just(MASKED), 1 => -300.0_f32..300.0]
}

/// Rows of one length with a finite first logit each.
fn rows(n: impl Strategy<Value = usize>) -> impl Strategy<Value = Rows> {
    (n, 1..130usize).prop_flat_map(|(n, length)| {
        let row = || {
            prop::collection::vec(logit(), length).prop_map(|mut row| {
                row[0] = row[0].max(0.0);
                row
            })
        };
        let weights = prop::collection::vec(prop_oneof![4 => -2.0_f32..2.0, 1 => Just(0.0)], n);
        (row(), row(), prop::collection::vec(row(), n), weights)
            .prop_map(|(instructed, plain, others, weights)| Rows { instructed, plain, others, weights })
    })
}

fn settings() -> impl Strategy<Value = Params> {
    (-2.0_f32..3.0, 0.05_f32..2.0, any::<bool>(), prop_oneof![Just(f32::INFINITY), 0.0_f32..2.0]).prop_map(
        |(amplification, temperature, greedy, max_kl)| Params {
            amplification,
            temperature: if greedy { 0.0 } else { temperature },
            t_min: 0.05,
            max_kl,
            ..Params::default()
        },
    )
}

/// The same settings, not greedy.
fn drawn(params: Params) -> Params {
    if params.is_greedy() { Params { temperature: 0.7, ..params } } else { params }
}

fn isas() -> impl Strategy<Value = Isa> {
    prop::sample::select(Isa::available().collect::<Vec<_>>())
}

/// The likeliest token loses so much that others count, which are next to nothing before.
#[test]
fn a_budget_holds_where_hardly_anything_is_left_of_the_likeliest_token() {
    let mut instructed = vec![0.0; 19];
    let (mut plain, mut other) = (instructed.clone(), instructed.clone());
    (instructed[9], instructed[18]) = (5.45, 124.2);
    (plain[3], plain[9], plain[14], plain[18]) = (16.6, -8.3, -18.3, -37.0);
    (other[3], other[8], other[9], other[18]) = (11.0, 19.9, -18.9, 13.2);
    let rows = Rows { instructed, plain, others: vec![other], weights: vec![-1.585] };
    for isa in Isa::available() {
        for budget in [0.001, 0.3] {
            let params = Params { amplification: 5.6, k: 1.0, max_kl: budget, ..Params::default() };
            let (step, _) = rows.run(isa, &params);
            let kl = rows.kl(step.gain);
            assert!(step.gain > 0.0 && kl <= f64::from(budget) + 1e-5, "{isa}: KL {kl} at {}", step.gain);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn one_instruction_of_weight_one_is_the_step_by_two_rows_bit_for_bit(
        isa in isas(), rows in rows(Just(0)), params in settings(), copied in any::<bool>(),
    ) {
        let copy = rows.instructed.clone();
        let row = if copied { &copy } else { &rows.instructed };
        let (n, q) = (row.len(), &rows.plain);
        let (mut out, mut expected) = (vec![0.0; n], vec![0.0; n]);
        let many = steer_many_with(isa, &rows.instructed, q, &[row], &[1.0], &params, &mut out).unwrap();
        let two = steer_with(isa, &rows.instructed, q, &params, &mut expected).unwrap();
        prop_assert_eq!(many, two);
        prop_assert_eq!(&out, &expected);
        let mut in_place = rows.instructed.clone();
        let many = steer_many_in_place(&mut in_place, 1.0, q, &[], &[], &params).unwrap();
        prop_assert_eq!((many, in_place), {
            let two = sda::steer::steer(&rows.instructed, q, &params, &mut expected).unwrap();
            (two, expected)
        });
    }

    #[test]
    fn a_single_weight_multiplies_the_strength(
        isa in isas(), rows in rows(Just(0)), params in settings(), weight in -2.0_f32..2.0,
    ) {
        let params = Params { max_kl: f32::INFINITY, ..drawn(params) };
        let (n, q) = (rows.plain.len(), &rows.plain);
        let (mut out, mut expected) = (vec![0.0; n], vec![0.0; n]);
        let x: &[f32] = &rows.instructed;
        let many = steer_many_with(isa, x, q, &[x], &[weight], &params, &mut out).unwrap();
        prop_assert_eq!(many.gain, params.gain());
        let stronger = Params { amplification: params.amplification * weight, ..params };
        steer_with(isa, x, q, &stronger, &mut expected).unwrap();
        for (a, b) in out.iter().zip(&expected) {
            prop_assert!(a == b || (a - b).abs() <= 2e-4 * a.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn without_any_weight_the_instructed_row_is_only_tempered(
        isa in isas(), rows in rows(1..4usize), params in settings(),
    ) {
        let rows = Rows { weights: vec![0.0; rows.others.len()], ..rows };
        let (step, out) = rows.run(isa, &params);
        let mut expected = vec![0.0; out.len()];
        let unsteered = Params { amplification: 0.0, ..params };
        let two = steer_with(isa, &rows.instructed, &rows.plain, &unsteered, &mut expected).unwrap();
        prop_assert_eq!((step.divergence, step.temperature), (two.divergence, two.temperature));
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn the_order_of_the_instructions_makes_no_difference(
        isa in isas(), rows in rows(2..5usize), params in settings(), by in 1..4usize,
    ) {
        let params = drawn(params);
        let mut turned = rows.clone();
        let by = by % turned.others.len();
        turned.others.rotate_left(by);
        turned.weights.rotate_left(by);
        let ((step, out), (turned_step, turned)) = (rows.run(isa, &params), turned.run(isa, &params));
        prop_assert_eq!(step.divergence, turned_step.divergence);
        prop_assert!((step.gain - turned_step.gain).abs() <= 1e-6 * step.gain.abs());
        for (a, b) in out.iter().zip(&turned) {
            prop_assert!(a == b || (a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn the_same_instruction_twice_counts_as_one_of_both_weights(
        isa in isas(), rows in rows(Just(1)), params in settings(),
    ) {
        let params = Params { max_kl: f32::INFINITY, ..drawn(params) };
        let (_, once) = rows.run(isa, &params);
        let half = rows.weights[0] / 2.0;
        let twice = Rows { others: vec![rows.others[0].clone(); 2], weights: vec![half; 2], ..rows };
        for (a, b) in once.iter().zip(twice.run(isa, &params).1) {
            prop_assert!(*a == b || (a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn the_result_is_a_distribution_masked_where_the_instructed_row_is(
        isa in isas(), rows in rows(1..=MOST_INSTRUCTIONS), params in settings(),
    ) {
        let (step, out) = rows.run(isa, &params);
        let sum: f64 = out.iter().map(|l| f64::from(*l).exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "sum {sum}");
        for (x, out) in rows.instructed.iter().zip(&out) {
            let fine = if *x == MASKED { *out == MASKED } else { *out > MASKED || params.is_greedy() };
            prop_assert!(fine, "{out} of {x}");
        }
        prop_assert!(step.gain.abs() <= params.gain().abs());
    }

    #[test]
    fn no_step_exceeds_its_budget_and_the_strength_left_is_the_largest(
        isa in isas(), rows in rows(1..4usize), gain in -4.0_f32..6.0, budget in 0.001_f32..3.0,
        itself in any::<bool>(),
    ) {
        let mut rows = rows;
        if itself {
            rows.others[0].clone_from(&rows.instructed);
        }
        let params = Params {
            amplification: gain, k: 1.0, temperature: 1.0, sigma: f32::INFINITY, max_kl: budget,
            ..Params::default()
        };
        let (step, _) = rows.run(isa, &params);
        let (kl, budget) = (rows.kl(step.gain), f64::from(budget));
        prop_assert!(kl <= budget * (1.0 + 1e-4) + 1e-5, "KL {kl} at {}", step.gain);
        prop_assert!(step.gain.abs() <= f64::from(gain).abs() && step.gain * f64::from(gain) >= 0.0);
        if step.gain != params.gain() {
            prop_assert!(budget - kl <= 4e-3 * budget + 1e-5, "KL {kl} at {}", step.gain);
        }
    }

    #[test]
    fn a_budget_that_does_not_bind_changes_no_bit(
        isa in isas(), rows in rows(1..4usize), params in settings(),
    ) {
        let without = rows.run(isa, &Params { max_kl: f32::INFINITY, ..params });
        let (step, out) = rows.run(isa, &Params { max_kl: 1e30, ..params });
        prop_assert_eq!((Step { kl: None, ..step }, out), without);
    }

    #[test]
    fn in_place_and_out_of_place_are_equal(
        rows in rows(1..4usize), params in settings(), own in prop_oneof![Just(0.0_f32), -1.0_f32..2.0],
    ) {
        let mut others = rows.others();
        let (mut weights, mut row) = (rows.weights.clone(), rows.instructed.clone());
        let step =
            steer_many_in_place(&mut row, own, &rows.plain, &others, &weights, &params).unwrap();
        others.push(&rows.instructed);
        weights.push(own);
        let mut out = vec![0.0; row.len()];
        let expected =
            steer_many(&rows.instructed, &rows.plain, &others, &weights, &params, &mut out).unwrap();
        prop_assert_eq!(step, expected);
        prop_assert_eq!(row, out);
    }

    #[test]
    fn bad_logits_are_refused_by_row_and_token_and_leave_the_output_alone(
        isa in isas(), rows in rows(1..4usize), nan in any::<bool>(), which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut rows = rows;
        let (token, which) = (at.index(rows.plain.len()), which.index(2 + rows.others.len()));
        let value = if nan { f32::NAN } else { f32::INFINITY };
        let name = match which {
            0 => { rows.instructed[token] = value; "instructed".to_owned() }
            1 => { rows.plain[token] = value; "plain".to_owned() }
            i => { rows.others[i - 2][token] = value; format!("instruction {}", i - 1) }
        };
        let mut out = vec![7.0; rows.plain.len()];
        let (others, params) = (rows.others(), Params::default());
        let result =
            steer_many_with(isa, &rows.instructed, &rows.plain, &others, &rows.weights, &params, &mut out);
        match result.unwrap_err() {
            Error::NotFinite { branch, token: t, .. } => prop_assert_eq!((branch, t), (name.as_str(), token)),
            other => prop_assert!(false, "{other}"),
        }
        prop_assert!(out.iter().all(|l| *l == 7.0));
    }
}

#[test]
fn what_cannot_be_steered_is_refused_by_name_and_leaves_the_output_alone() {
    let row = [0.5_f32, 1.0, 2.0];
    let (other, masked, short) = ([1.0_f32, 0.0, 0.0], [MASKED; 3], [0.0_f32; 2]);
    let run = |others: &[&[f32]], weights: &[f32]| {
        let mut out = [7.0; 3];
        let error = steer_many(&row, &row, others, weights, &Params::default(), &mut out).unwrap_err();
        assert_eq!(out, [7.0; 3]);
        error.to_string()
    };
    assert_eq!(
        run(&[&other, &masked], &[1.0, 0.0]),
        "every token of the instruction 2 branch is masked, at least one must be finite"
    );
    assert_eq!(run(&[&other, &short], &[1.0; 2]), "instruction 2 holds 2 values, must hold 3");
    assert_eq!(run(&[&other], &[1.0; 2]), "weights holds 2 values, must hold 1");
    assert_eq!(run(&[&other], &[f32::NAN]), "weights is NaN, must be finite");
    assert_eq!(run(&[&row], &[f32::INFINITY]), "weights is inf, must be finite");
    assert_eq!(run(&[&other[..]; 9], &[1.0; 9]), "instructions is 9, must be at most 8");
    let empty: [&[f32]; 1] = [&[]];
    let error = steer_many(&[], &[], &empty, &[1.0], &Params::default(), &mut []).unwrap_err();
    assert_eq!(error, Error::Length { what: "instructed", got: 0, expected: 1 });
    let mut in_place = row;
    let nan = f32::NAN;
    let error = steer_many_in_place(&mut in_place, nan, &row, &[], &[], &Params::default()).unwrap_err();
    assert_eq!((error.to_string().as_str(), in_place), ("weights is NaN, must be finite", row));
}

#[test]
fn extreme_numbers_never_become_nan_or_minus_infinity() {
    let huge = [f32::MAX, f32::MIN, 0.0, f32::MIN_POSITIVE, 1e30, -1e30, 1.0, MASKED];
    let mut turned = huge;
    turned.rotate_left(3);
    for isa in Isa::available() {
        for a in [f32::MAX, f32::MIN, 1e20, 0.0, -1.0] {
            for weight in [f32::MAX, f32::MIN, 1.0, f32::from_bits(1)] {
                for (t0, max_kl) in [(f32::from_bits(1), f32::INFINITY), (1.0, 0.3), (0.0, 0.3)] {
                    let params = Params { amplification: a, temperature: t0, max_kl, ..Params::default() };
                    let rows = Rows {
                        instructed: huge.to_vec(),
                        plain: turned.to_vec(),
                        others: vec![turned.iter().rev().copied().collect(); MOST_INSTRUCTIONS],
                        weights: vec![weight; MOST_INSTRUCTIONS],
                    };
                    let (step, out) = rows.run(isa, &params);
                    assert!(
                        step.gain.is_finite() && step.divergence.is_finite(),
                        "{isa} {params:?} {step:?}"
                    );
                    assert!(out.iter().all(|l| *l <= 0.0), "{isa} {params:?} {weight}: {out:?}");
                    assert!(out.iter().any(|l| *l > MASKED), "{isa} {params:?} {weight}: {out:?}");
                }
            }
        }
    }
}
