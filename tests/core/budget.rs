//! The KL budget of an answer: what its steps may spend together.

use proptest::prelude::*;
use sda::host::{Token, TokenData};
use sda::sampler::Sampler;
use sda::steer::{KlBudget, MOST_STEPS_AT_ONCE, Step, steer};
use sda::{Error, Params};
use sda_test_kit::oracle;
use sda_test_kit::rng::Rng;

/// Rows of an answer's steps, most of them alike, some far apart.
fn answer(seed: u64, steps: usize) -> Vec<[Vec<f32>; 2]> {
    let mut rng = Rng(seed);
    let row = |_| {
        let x = rng.gauss_row(40, 3.0);
        let apart = if rng.below(4) == 0 { 3.0 } else { 0.3 };
        let y = x.iter().map(|x| x + apart * rng.gauss()).collect();
        [x, y]
    };
    (0..steps).map(row).collect()
}

fn params(gain: f32, mean_kl: f32) -> Params {
    Params { amplification: gain, k: 1.0, mean_kl, ..Params::default() }
}

/// Steers all steps of an answer within its budget.
fn run(rows: &[[Vec<f32>; 2]], params: &Params) -> Vec<Step> {
    let mut budget = KlBudget::default();
    let step = |[x, y]: &[Vec<f32>; 2]| {
        let mut out = vec![0.0; x.len()];
        let step = steer(x, y, &budget.limit(params), &mut out).unwrap();
        budget.spend(&step);
        step
    };
    rows.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn at_every_point_the_steps_have_spent_no_more_than_the_budget_on_average(
        seed in any::<u64>(), gain in prop_oneof![-3.0_f32..-0.1, 0.1_f32..5.0], mean in 0.0_f32..0.5,
    ) {
        let rows = answer(seed, 30);
        let mut spent = 0.0;
        for (n, ([x, y], step)) in rows.iter().zip(run(&rows, &params(gain, mean))).enumerate() {
            let kl = oracle::kl(x, y, step.gain);
            spent += kl;
            let slack = 1e-3 * f64::from(mean) + 1e-5;
            prop_assert!(spent <= (f64::from(mean) + slack) * (n + 1) as f64, "step {n}: {spent}");
            prop_assert!(kl <= f64::from(mean) * MOST_STEPS_AT_ONCE + 10.0 * slack, "step {n}: {kl}");
            prop_assert!((step.kl.unwrap() - kl).abs() <= 1e-4 * kl + 1e-5, "step {n}: {step:?}, {kl}");
        }
    }

    #[test]
    fn a_step_may_spend_what_earlier_ones_left(seed in any::<u64>(), mean in 0.05_f32..0.3) {
        let rows = answer(seed, 30);
        let total = |steps: &[Step]| -> f64 { steps.iter().map(|step| step.kl.unwrap()).sum() };
        let together = total(&run(&rows, &params(2.0, mean)));
        let each = total(&run(&rows, &Params { max_kl: mean, ..params(2.0, f32::INFINITY) }));
        prop_assert!(together >= each * (1.0 - 1e-3), "{together} {each}");
    }
}

#[test]
fn without_a_budget_nothing_is_measured_and_nothing_changes() {
    for [x, y] in answer(1, 5) {
        let (mut plain, mut budgeted) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let unlimited = params(2.0, f32::INFINITY);
        let step = steer(&x, &y, &unlimited, &mut plain).unwrap();
        let mut budget = KlBudget::default();
        budget.spend(&step);
        assert_eq!(step.kl, None);
        assert_eq!(steer(&x, &y, &budget.limit(&unlimited), &mut budgeted).unwrap(), step);
        assert_eq!(plain, budgeted);
    }
}

#[test]
fn steps_that_are_not_steered_save_nothing() {
    let mut budget = KlBudget::default();
    let limited = |budget: &KlBudget| budget.limit(&params(2.0, 0.1)).max_kl;
    assert_eq!(limited(&budget), 0.1);
    budget.spend(&Step { gain: 0.0, kl: None, ..Step::default() });
    assert_eq!(limited(&budget), 0.1);
    budget.spend(&Step { gain: 2.0, kl: Some(0.0), ..Step::default() });
    assert!((limited(&budget) - 0.2).abs() < 1e-6);
    // A step's own budget holds beside it.
    assert_eq!(budget.limit(&Params { max_kl: 0.05, ..params(2.0, 0.1) }).max_kl, 0.05);
}

#[test]
fn a_single_step_refuses_the_budget_of_an_answer() {
    let mut out = [0.0; 2];
    let error = steer(&[0.0, 1.0], &[1.0, 0.0], &params(1.0, 0.2), &mut out).unwrap_err();
    assert!(matches!(&error, Error::Param { field: "mean_kl", .. }), "{error}");
    for bad in [-0.1, f32::NAN] {
        let error = params(1.0, bad).validate().unwrap_err();
        assert!(matches!(&error, Error::Param { field: "mean_kl", .. }), "{error}");
    }
}

fn apply(sampler: &mut Sampler, [x, y]: &[Vec<f32>; 2]) -> Step {
    sampler.set_plain_logits(y).unwrap();
    let candidate = |(id, &logit): (usize, &f32)| TokenData { id: id as Token, logit, p: 0.0 };
    let mut candidates: Vec<TokenData> = x.iter().enumerate().map(candidate).collect();
    sampler.apply(&mut candidates).unwrap()
}

#[test]
fn a_sampler_spends_a_step_when_its_token_is_accepted() {
    let rows = answer(3, 12);
    let params = params(3.0, 0.05);
    let expected = run(&rows, &params);
    let mut sampler = Sampler::given(params, 40).unwrap();
    for (n, (row, expected)) in rows.iter().zip(&expected).enumerate() {
        // A grammar may have a step sampled again.
        assert_eq!(apply(&mut sampler, row), *expected, "step {n}");
        assert_eq!(apply(&mut sampler, row), *expected, "step {n}, again");
        let fork = sampler.fork().unwrap();
        assert!(sampler.accept(n as Token));
        assert!(!sampler.accept(n as Token), "a repeated accept is spent once");
        sampler = if n == 5 {
            let mut fork = fork;
            fork.accept(n as Token);
            fork
        } else {
            sampler
        };
    }
    assert!(expected.iter().any(|step| step.gain < 3.0) && expected.iter().any(|step| step.gain > 0.0));
    sampler.reset();
    assert_eq!(apply(&mut sampler, &rows[0]), expected[0], "a new answer has the whole budget");
}
