//! Settings and tolerances of the maths tests.

use sda::Params;

/// Settings with the two temperature rules of the golden files.
pub fn params(a: f64, k: f64, t0: f64, temp_fn: &str) -> Params {
    let rule = match temp_fn {
        "halving" => Params::default(),
        "sharp" => Params { sigma: 0.01, t_min: 0.2, ..Params::default() },
        other => panic!("temp_fn {other}"),
    };
    Params { amplification: a as f32, k: k as f32, temperature: t0 as f32, ..rule }
}

/// Checks one log-probability against its expected value: 2e-5 absolute above -30, 1e-6 relative
/// below, and minus infinity exactly where it is expected.
#[track_caller]
pub fn assert_log_prob(got: f32, expected: f64, what: &dyn std::fmt::Display) {
    if expected == f64::NEG_INFINITY || got == f32::NEG_INFINITY {
        assert!(f64::from(got) == expected, "{what}: {got}, expected {expected}");
        return;
    }
    // A finite value that f32 cannot hold is clamped.
    let expected = expected.max(f64::from(f32::MIN));
    let allowed = if expected > -30.0 { 2e-5 } else { 1e-6 * expected.abs() };
    let error = (f64::from(got) - expected).abs();
    assert!(error <= allowed, "{what}: {got}, expected {expected}, off by {error:e} of {allowed:e}");
}
