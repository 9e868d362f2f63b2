//! Every implementation against the slow f64 oracle, on random rows of many lengths.

use sda::Params;
use sda::steer::{Isa, isa, steer_with};
use sda_test_kit::maths::{assert_log_prob, params};
use sda_test_kit::oracle;
use sda_test_kit::rng::Rng;

const LENGTHS: [usize; 26] = [
    1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 1000, 1023, 1025,
    4097,
];

/// A plain row near the instructed one or far from it.
fn plain_row(rng: &mut Rng, instructed: &[f32], apart: f32) -> Vec<f32> {
    instructed.iter().map(|x| x + apart * rng.gauss()).collect()
}

#[track_caller]
fn assert_step(isa: Isa, x: &[f32], y: &[f32], params: &Params, what: &str) {
    let expected = oracle::steer(x, y, params);
    let mut out = vec![f32::NAN; x.len()];
    let step = steer_with(isa, x, y, params, &mut out).unwrap();
    let (js, t) = (step.divergence, step.temperature);
    // Rounding of each term, and of the logits' differences when those are taken in f32.
    let allowed = 5e-7 * expected.divergence + 5e-8 * expected.divergence.sqrt() + 1e-12;
    let off = (js - expected.divergence).abs();
    assert!(off <= allowed, "{what} {isa}: js {js} {}", expected.divergence);
    // A temperature that still falls with the divergence multiplies its error by ln 2 / sigma.
    let falls = t > f64::from(params.t_min);
    let apart = (t / expected.temperature - 1.0).abs();
    let allowed = if falls { 1e-6_f64.max(1e-8 / f64::from(params.sigma)) } else { 1e-9 };
    assert!(apart <= allowed, "{what} {isa}: temperature {t} {}", expected.temperature);
    for (token, (got, expected)) in out.iter().zip(&expected.log_probs).enumerate() {
        assert_log_prob(*got, *expected, &format_args!("{what} {isa} token {token}"));
    }
}

#[test]
fn random_rows_of_many_lengths_equal_the_oracle() {
    let mut rng = Rng(1);
    for n in LENGTHS {
        for scale in [0.1, 1.0, 3.0, 10.0] {
            for apart in [0.0, 0.01, 0.3, 2.0] {
                for temp_fn in ["halving", "sharp"] {
                    let x = rng.gauss_row(n, scale);
                    let y = plain_row(&mut rng, &x, apart);
                    let params = params(0.76, 2.0, 0.6, temp_fn);
                    for isa in Isa::available() {
                        assert_step(
                            isa,
                            &x,
                            &y,
                            &params,
                            &format!("n {n} scale {scale} apart {apart} {temp_fn}"),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn masks_at_any_place_equal_the_oracle() {
    let mut rng = Rng(2);
    for n in LENGTHS {
        for share in [2, 10, 1000] {
            let mut x = rng.gauss_row(n, 3.0);
            let mut y = plain_row(&mut rng, &x, 1.0);
            for row in [&mut x, &mut y] {
                let kept = rng.below(n);
                for i in (0..n).filter(|i| *i != kept) {
                    if rng.below(share) == 0 {
                        row[i] = f32::NEG_INFINITY;
                    }
                }
            }
            for isa in Isa::available() {
                assert_step(isa, &x, &y, &params(0.5, 2.0, 1.0, "halving"), &format!("n {n} share {share}"));
            }
        }
    }
}

#[test]
fn strong_steering_at_a_low_temperature_equals_the_oracle() {
    let mut rng = Rng(3);
    for n in [17, 1000, 4097] {
        for a in [-3.0, 5.0, 50.0, 100.0] {
            for t0 in [0.02, 0.1, 5.0] {
                let x = rng.gauss_row(n, 3.0);
                let y = plain_row(&mut rng, &x, 1.0);
                for isa in Isa::available() {
                    assert_step(isa, &x, &y, &params(a, 4.0, t0, "halving"), &format!("n {n} a {a} t0 {t0}"));
                }
            }
        }
    }
}

#[test]
fn logits_far_from_zero_equal_the_oracle() {
    let mut rng = Rng(4);
    for offset in [-1e4_f32, -300.0, 300.0, 1e4, 1e6] {
        let x: Vec<f32> = rng.gauss_row(777, 2.0).iter().map(|v| v + offset).collect();
        let y: Vec<f32> = x.iter().map(|v| v - 1.5 * offset + rng.gauss()).collect();
        for isa in Isa::available() {
            assert_step(isa, &x, &y, &params(1.0, 2.0, 0.6, "halving"), &format!("offset {offset}"));
        }
    }
}

#[test]
fn whole_vocabularies_equal_the_oracle() {
    let mut rng = Rng(5);
    for n in [32_000, 49_152, 151_936] {
        for (scale, temp_fn) in [(0.0, "sharp"), (0.5, "sharp"), (3.0, "halving")] {
            let x = rng.gauss_row(n, scale);
            let y = plain_row(&mut rng, &x, 0.1);
            let params = params(0.76, 2.0, 1.0, temp_fn);
            for isa in Isa::available() {
                assert_step(isa, &x, &y, &params, &format!("n {n} scale {scale}"));
            }
        }
    }
}

#[test]
fn vocabularies_of_more_tiles_than_are_kept_apart_equal_the_oracle() {
    let mut rng = Rng(7);
    let x = rng.gauss_row(600_001, 3.0);
    let y = plain_row(&mut rng, &x, 1.0);
    assert_step(Isa::available().last().unwrap(), &x, &y, &params(0.5, 2.0, 0.6, "halving"), "n 600001");
}

#[test]
fn tiles_that_cannot_matter_are_skipped_without_a_trace() {
    // One likely token far above the rest, in both branches or in one, in the first tile or the last:
    // the rest is 20 to 60 below it, so that some of these cases skip and some do not.
    let mut rng = Rng(8);
    for n in [3000, 20_000] {
        for above in [20.0, 35.0, 40.0, 45.0, 60.0] {
            for (at, at_plain) in [(0, 0), (n - 1, n - 1), (n / 2, 5)] {
                let mut x = rng.gauss_row(n, 2.0);
                let mut y = plain_row(&mut rng, &x, 1.0);
                x[at] += above;
                y[at_plain] += above;
                for temp_fn in ["halving", "sharp"] {
                    for isa in Isa::available() {
                        let what = format!("n {n} above {above} at {at} {at_plain}");
                        assert_step(isa, &x, &y, &params(0.5, 2.0, 1.0, temp_fn), &what);
                    }
                }
            }
        }
    }
}

#[test]
fn steering_lifts_a_token_out_of_a_tile_that_the_divergence_skips() {
    // Token 2000 has next to no probability in either branch, but so much less in the plain one
    // that the steering makes it the likeliest.
    let mut x = vec![0.0_f32; 4000];
    let mut y = x.clone();
    (x[7], y[7]) = (60.0, 60.0);
    x[1024..2048].fill(-20.0);
    y[1024..2048].fill(-20.0);
    y[2000] = -90.0;
    let params = params(1.0, 2.0, 1.0, "halving");
    assert_eq!(oracle::steer(&x, &y, &params).log_probs[2000].round(), 0.0);
    for isa in Isa::available() {
        assert_step(isa, &x, &y, &params, "lifted");
    }
}

#[test]
fn small_divergences_keep_their_relative_accuracy() {
    let mut rng = Rng(6);
    for apart in [1e-3, 1e-2, 1e-1] {
        let x = rng.gauss_row(10_000, 3.0);
        let y = plain_row(&mut rng, &x, apart);
        let params = Params::default();
        let expected = oracle::steer(&x, &y, &params).divergence;
        for isa in Isa::available() {
            let js = steer_with(isa, &x, &y, &params, &mut vec![0.0; x.len()]).unwrap().divergence;
            assert!((js / expected - 1.0).abs() < 1e-3, "{isa}: js {js} expected {expected}");
        }
    }
}

#[test]
fn the_reported_implementation_is_one_that_this_machine_can_run() {
    let names: Vec<&str> = Isa::available().map(Isa::name).collect();
    assert!(names.contains(&isa()), "{} of {names:?}", isa());
    assert!(names.contains(&"portable"));
}

#[test]
fn an_instruction_set_of_another_processor_is_refused() {
    let foreign = if cfg!(target_arch = "aarch64") { Isa::Avx2 } else { Isa::Neon };
    let error = steer_with(foreign, &[0.0], &[0.0], &Params::default(), &mut [0.0]).unwrap_err();
    assert_eq!(error.to_string(), format!("isa is {foreign}, must be one that this machine has"));
}
