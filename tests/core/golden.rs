//! The maths against the golden files, in the strict column of their tolerances (float64 inside).

use sda::amplify::{Amplify, amplify};
use sda::steer::{Isa, Step, steer_with};
use sda_test_kit::maths::{assert_log_prob, params};
use sda_test_kit::rng::{Rng, lane_sum};
use serde_json::Value;

fn golden(file: &str) -> Value {
    let path = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

/// A number, or minus infinity as its text.
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap(),
    }
}

fn row(value: &Value) -> Vec<f32> {
    list(value).iter().map(|x| number(x) as f32).collect()
}

fn assert_step(step: Step, case: &Value) {
    let (name, expected) = (text(&case["name"]), &case["expected"]);
    let (js, t) = (number(&expected["js"]), number(&expected["temperature"]));
    assert!((step.divergence - js).abs() <= 1e-6, "{name}: js {} expected {js}", step.divergence);
    assert!((step.temperature - t).abs() <= 1e-6 * t, "{name}: t {} expected {t}", step.temperature);
}

fn run(isa: Isa, case: &Value, instructed: &[f32], plain: &[f32]) -> Vec<f32> {
    let [a, k, t0] = ["a", "k", "t0"].map(|field| number(&case[field]));
    let params = params(a, k, t0, text(&case["temp_fn"]));
    let mut log_probs = vec![0.0; instructed.len()];
    let step = steer_with(isa, instructed, plain, &params, &mut log_probs).unwrap();
    assert_step(step, case);
    log_probs
}

#[test]
fn amplification_equals_the_golden_values() {
    let file = golden("amplify.json");
    assert_eq!(file["functions"].as_object().unwrap().len(), Amplify::ALL.len());
    for (name, values) in file["functions"].as_object().unwrap() {
        let function: Amplify = name.parse().unwrap();
        for (score, value) in list(&file["scores"]).iter().zip(list(values)) {
            let (got, expected) = (amplify(function, number(score)).unwrap(), number(value));
            assert!((got - expected).abs() <= 1e-12, "{name}({score}) is {got}, expected {expected}");
        }
    }
}

#[test]
fn small_cases_equal_the_golden_values() {
    for isa in Isa::available() {
        for case in list(&golden("steer_small.json")["cases"]) {
            let name = text(&case["name"]);
            let log_probs = run(isa, case, &row(&case["logits_instr"]), &row(&case["logits_plain"]));
            let expected = list(&case["expected"]["logprobs"]);
            assert_eq!(log_probs.len(), expected.len());
            for (token, (got, expected)) in log_probs.iter().zip(expected).enumerate() {
                let expected = number(expected);
                assert_log_prob(*got, expected, &format_args!("{name} token {token} {isa}"));
                let apart = (f64::from(*got).exp() - expected.exp()).abs();
                assert!(name.contains("extreme") || apart <= 1e-6, "{name} token {token} {isa}: {apart:e}");
            }
        }
    }
}

/// Both rows of a large case, as whole numbers to be divided by 65536.
fn large_integers(case: &Value) -> (Vec<i64>, Vec<i64>) {
    let field = |name: &str| whole(&case[name]);
    let mut rng = Rng(field("seed") as u64);
    (0..field("vocab"))
        .map(|_| {
            let [a, b, c] = [rng.next(), rng.next(), rng.next()];
            let base = (lane_sum(a) - 131_070) * field("base_mul");
            let delta = ((lane_sum(b) - 131_070) * field("delta_mul")) >> 4;
            let bump = ((c >> 32) % field("bump_range") as u64) as i64;
            let solo = bump >> field("solo_shift");
            let (instructed, plain) = match c % field("peak_mod") as u64 {
                0 => (bump, bump),
                1 => (solo, 0),
                2 => (0, solo),
                _ => (0, 0),
            };
            (base + instructed, base + delta + plain)
        })
        .unzip()
}

fn large_rows(case: &Value) -> [Vec<f32>; 2] {
    let (instructed, plain) = large_integers(case);
    let check = &case["check"];
    for (values, branch) in [(&instructed, "instr"), (&plain, "plain")] {
        assert_eq!(values.iter().sum::<i64>(), whole(&check[format!("{branch}_sum")]), "the generator");
        let first: Vec<i64> = list(&check[format!("{branch}_first8")]).iter().map(whole).collect();
        assert_eq!(values[..8], first, "the generator");
    }
    let tail = instructed.len() - whole(&case["masked_tail"]) as usize;
    [(instructed, "masked_instr"), (plain, "masked_plain")].map(|(values, masked)| {
        let mut row: Vec<f32> = values.iter().map(|v| *v as f32 / 65_536.0).collect();
        row[tail..].fill(f32::NEG_INFINITY);
        for id in list(&case[masked]) {
            row[whole(id) as usize] = f32::NEG_INFINITY;
        }
        row
    })
}

#[test]
fn large_cases_equal_the_golden_values() {
    for case in list(&golden("steer_large.json")["cases"]) {
        let name = text(&case["name"]);
        let [instructed, plain] = large_rows(case);
        for isa in Isa::available() {
            let log_probs = run(isa, case, &instructed, &plain);
            let expected = &case["expected"];
            for pair in list(&expected["top20"]).iter().chain(list(&expected["at_ids"])) {
                let (id, value) = (whole(&pair[0]) as usize, number(&pair[1]));
                assert_log_prob(log_probs[id], value, &format_args!("{name} token {id} {isa}"));
            }
            let mut order: Vec<usize> = (0..log_probs.len()).collect();
            order.sort_by(|a, b| log_probs[*b].total_cmp(&log_probs[*a]));
            let top: Vec<i64> = list(&expected["top20"]).iter().map(|pair| whole(&pair[0])).collect();
            assert_eq!(order[..20].iter().map(|id| *id as i64).collect::<Vec<_>>(), top, "{name} {isa}");
            let sum: f64 = log_probs.iter().map(|l| f64::from(*l).exp()).sum();
            assert!((sum - number(&expected["sum_probs"])).abs() <= 1e-6, "{name} {isa}: sum {sum}");
        }
    }
}
