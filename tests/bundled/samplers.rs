//! llama.cpp's samplers behind the steering: each does what it is for, wherever it stands.

use std::collections::BTreeSet;

use crate::models::smollm2;
use sda::Params;
use sda::engine::{Answer, Arm, Engine, Event, Finish, Generation, Prompts};
use sda::host::Token;
use sda::llama::{Chain, ContextOptions, Grammar, Model, SamplerKind, Sampling};

const N_CTX: usize = 256;

/// A row in which only four tokens have a probability: 0.5, 0.3, 0.15 and 0.05.
fn row(model: &Model) -> Vec<f32> {
    let mut row = vec![f32::NEG_INFINITY; model.n_vocab()];
    for (to, p) in row.iter_mut().zip([0.5_f32, 0.3, 0.15, 0.05]) {
        *to = p.ln();
    }
    row
}

fn chain(model: &Model, sampling: &Sampling) -> Chain {
    Chain::new(None, sampling, model, N_CTX).unwrap()
}

/// The tokens that are drawn from the row with sixty seeds, and no other token.
fn drawn(model: &Model, sampling: &Sampling) -> Vec<Token> {
    let row = row(model);
    let draw = |seed| {
        let mut chain = chain(model, &Sampling { seed, ..sampling.clone() });
        chain.load(&row);
        chain.sample().unwrap()
    };
    (0..60).map(draw).collect::<BTreeSet<_>>().into_iter().collect()
}

/// No truncation but what a test asks for.
fn all() -> Sampling {
    Sampling { top_p: 1.0, ..Sampling::default() }
}

fn order(list: &str) -> Vec<SamplerKind> {
    SamplerKind::by_list(list).unwrap()
}

#[test]
fn each_sampler_keeps_the_tokens_that_it_is_for() {
    let model = smollm2();
    let drawn = |sampling| drawn(&model, &sampling);
    assert_eq!(drawn(all()), [0, 1, 2, 3]);
    assert_eq!(drawn(Sampling { top_k: 2, ..all() }), [0, 1]);
    assert_eq!(drawn(Sampling { top_p: 0.6, ..all() }), [0, 1]);
    assert_eq!(drawn(Sampling { min_p: 0.2, ..all() }), [0, 1, 2]);
    // The entropy is 1.14 nats, and the information of the second token is nearest to it; then that of the first.
    assert_eq!(drawn(Sampling { typical_p: 0.2, ..all() }), [1]);
    assert_eq!(drawn(Sampling { typical_p: 0.7, ..all() }), [0, 1]);
    // The standard deviation of the four logarithms is 0.87 nats.
    assert_eq!(drawn(Sampling { top_n_sigma: 0.5, ..all() }), [0]);
    assert_eq!(drawn(Sampling { top_n_sigma: 1.0, ..all() }), [0, 1]);
    let xtc = Sampling { xtc_probability: 1.0, ..all() };
    assert_eq!(drawn(Sampling { xtc_threshold: 0.1, ..xtc.clone() }), [2, 3]);
    assert_eq!(drawn(Sampling { xtc_threshold: 0.3, ..xtc.clone() }), [1, 2, 3]);
    assert_eq!(drawn(Sampling { xtc_threshold: 0.51, ..xtc }), [0, 1, 2, 3], "off");
    // No surprise is wanted.
    for mirostat in [1, 2] {
        assert_eq!(drawn(Sampling { mirostat, mirostat_tau: 0.0, ..all() }), [0], "mirostat {mirostat}");
        assert_eq!(drawn(Sampling { mirostat, top_k: 1, ..all() }), [0, 1, 2, 3], "mirostat {mirostat}");
    }
}

#[test]
fn the_order_decides_and_what_is_left_out_is_not_applied() {
    let model = smollm2();
    let xtc = Sampling { top_k: 2, xtc_probability: 1.0, ..all() };
    let drawn = |list| drawn(&model, &Sampling { samplers: order(list), ..xtc.clone() });
    assert_eq!(drawn("temperature;top_k;xtc"), [1]);
    assert_eq!(drawn("temperature;xtc;top_k"), [2, 3]);
    assert_eq!(drawn("temperature;xtc"), [2, 3]);
    assert_eq!(drawn("top_k"), [0, 1]);
    assert_eq!(drawn(""), [0, 1, 2, 3]);
}

#[test]
fn mirostat_learns_from_the_surprise_as_fast_as_eta_says() {
    let model = smollm2();
    let row = row(&model);
    let draws = |mirostat, mirostat_eta| {
        let sampling = Sampling { mirostat, mirostat_tau: 1.0, mirostat_eta, ..all() };
        let mut chain = chain(&model, &sampling);
        let draw = |_| {
            chain.load(&row);
            chain.sample().unwrap()
        };
        (0..60).map(draw).collect::<Vec<Token>>()
    };
    for mirostat in [1, 2] {
        assert_ne!(draws(mirostat, 0.0), draws(mirostat, 1.0));
    }
}

#[test]
fn dry_penalises_what_would_continue_a_repetition() {
    let model = smollm2();
    let breaker = model.tokenize(":", false).unwrap()[0];
    assert_eq!(model.piece(breaker), b":");
    // So far "10 11 12 10 11": 12 would continue a repetition of two tokens.
    let best = |sampling: &Sampling, accepted: &[Token]| {
        let mut chain = chain(&model, &Sampling { greedy: true, ..sampling.clone() });
        accepted.iter().for_each(|&token| chain.accept(token));
        let mut row = vec![-10.0; model.n_vocab()];
        (row[12], row[20]) = (-0.2, -1.1);
        chain.load(&row);
        chain.sample().unwrap()
    };
    let repeated = [10, 11, 12, 10, 11];
    let dry = Sampling { dry_multiplier: 1.0, ..Sampling::default() };
    assert_eq!(best(&Sampling::default(), &repeated), 12);
    assert_eq!(best(&dry, &repeated), 20);
    assert_eq!(best(&dry, &[10, 11, 12, 13, 11]), 12, "one token is no repetition yet");
    for (off, why) in [
        (Sampling { dry_multiplier: 0.5, ..dry.clone() }, "half a nat is not enough"),
        (Sampling { dry_allowed_length: 3, ..dry.clone() }, "two tokens may be repeated"),
        (Sampling { dry_penalty_last_n: 4, ..dry.clone() }, "the first of the five tokens is not seen"),
        (Sampling { dry_penalty_last_n: 0, ..dry.clone() }, "no token is seen"),
    ] {
        assert_eq!(best(&off, &repeated), 12, "{why}");
    }
    assert_eq!(best(&Sampling { dry_penalty_last_n: -1, ..dry.clone() }, &repeated), 20);
    let (half, longer) = (Sampling { dry_multiplier: 0.5, ..dry.clone() }, [9, 10, 11, 12, 9, 10, 11]);
    assert_eq!(best(&Sampling { dry_base: 1.0, ..half.clone() }, &longer), 12, "0.5 x 1");
    assert_eq!(best(&Sampling { dry_base: 2.0, ..half }, &longer), 20, "0.5 x 2 for the third token");
    let broken = [10, breaker, 12, 10, breaker];
    assert_eq!(best(&dry, &broken), 12, "a colon breaks sequences");
    let no_breakers = Sampling { dry_sequence_breakers: vec![], ..dry };
    assert_eq!(best(&no_breakers, &broken), 20);
}

#[test]
fn dynamic_temperature_spreads_around_the_steps_temperature_by_the_entropy() {
    let model = smollm2();
    let row = row(&model);
    let entropy: f32 = [0.5_f32, 0.3, 0.15, 0.05].iter().map(|p| -p * p.ln()).sum();
    // Of all tokens, as nothing is dropped before, and of the two best behind top-k.
    let share = entropy / (model.n_vocab() as f32).ln();
    let of_two: f32 = [0.625_f32, 0.375].iter().map(|p| -p * p.ln()).sum();
    let share_of_two = of_two / 2.0_f32.ln();
    for (list, exponent, share) in [
        ("temperature;top_k", 1.0, share),
        ("temperature", 0.5, share),
        ("top_k;temperature", 2.0, share_of_two),
    ] {
        let sampling = Sampling {
            samplers: order(list),
            top_k: 2,
            dynatemp_range: 0.3,
            dynatemp_exponent: exponent,
            ..all()
        };
        let mut chain = chain(&model, &sampling);
        chain.set_temperature(0.7);
        chain.load(&row);
        chain.sample().unwrap();
        let expected = 0.4 + 0.6 * share.powf(exponent);
        let got = chain.drawn_at().unwrap();
        assert!((got - expected).abs() < 1e-4, "{list}: {got} for {expected}");
    }
    // A range as wide as the temperature, and no entropy: the most likely token is taken.
    let sampling =
        Sampling { samplers: order("temperature"), dynatemp_range: 2.0, dynatemp_exponent: 90.0, ..all() };
    let mut chain = chain(&model, &sampling);
    chain.set_temperature(0.7);
    chain.load(&row);
    assert_eq!((chain.sample().unwrap(), chain.drawn_at()), (0, Some(0.0)));
}

fn prompts(model: &Model) -> Prompts {
    let tokens = |text: &str| model.tokenize_prompt(text).unwrap();
    Prompts::new(
        tokens("The three things that matter most in life are"),
        tokens("The three things that matter most in life are (as a pirate would say it)"),
    )
}

fn engine(model: &Model) -> Engine {
    Engine::new(model, N_CTX, &ContextOptions { n_threads: 1, ..ContextOptions::default() }).unwrap()
}

fn settings(sampling: Sampling, temperature: f32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 0.5, temperature, ..Params::default() },
        sampling,
        n_predict: Some(n_predict),
        ..Generation::default()
    }
}

/// An answer, and the temperature of each token.
fn answer(engine: &mut Engine, arm: Arm, settings: &Generation) -> (Answer, Vec<f64>) {
    let prompts = prompts(engine.model());
    let mut temperatures = Vec::new();
    let mut on_event = |event: Event| {
        if let Event::Token(record) = event {
            temperatures.push(record.temperature);
        }
        true
    };
    (engine.generate(arm, &prompts, settings, &mut on_event).unwrap(), temperatures)
}

const ARMS: [Arm; 3] = [Arm::Plain, Arm::Instructed, Arm::Steered];

#[test]
fn a_temperature_behind_top_k_is_that_of_the_step_and_draws_the_same() {
    let model = smollm2();
    let mut engine = engine(&model);
    for arm in ARMS {
        for seed in 0..3 {
            let by = |list| {
                let sampling = Sampling { seed, top_k: 40, samplers: order(list), ..Sampling::default() };
                settings(sampling, 0.9, 16)
            };
            let (first, at_first) = answer(&mut engine, arm, &by("temperature;top_k"));
            let (last, at_last) = answer(&mut engine, arm, &by("top_k;temperature"));
            assert_eq!(first.tokens, last.tokens, "{arm:?}, seed {seed}");
            assert_eq!(at_first, at_last);
            assert_eq!(at_first.iter().all(|t| *t == f64::from(0.9_f32)), arm != Arm::Steered);
        }
    }
}

#[test]
fn the_divergence_lowers_the_middle_of_the_dynamic_temperatures_range() {
    let model = smollm2();
    let mut engine = engine(&model);
    let with = |range, list: &str| {
        let sampling =
            Sampling { dynatemp_range: range, samplers: order(list), top_k: 40, ..Sampling::default() };
        settings(sampling, 0.9, 1)
    };
    for arm in ARMS {
        for list in ["temperature;top_k", "top_k;temperature"] {
            let (_, middle) = answer(&mut engine, arm, &with(0.0, list));
            let (_, at) = answer(&mut engine, arm, &with(0.3, list));
            let moved = (at[0] - middle[0]).abs();
            assert!(moved > 1e-3 && moved <= 0.3, "{arm:?}: {at:?} around {middle:?}");
        }
    }
    let (_, cooled) = answer(&mut engine, Arm::Steered, &with(0.0, "top_k;temperature"));
    assert!(cooled[0] < 0.89, "{cooled:?}");
}

#[test]
fn without_a_temperature_among_the_samplers_it_is_1() {
    let model = smollm2();
    let mut engine = engine(&model);
    for arm in ARMS {
        let none = |temperature| {
            settings(Sampling { samplers: order("top_k"), top_k: 40, ..Sampling::default() }, temperature, 12)
        };
        let (cold, at) = answer(&mut engine, arm, &none(0.0));
        let (hot, _) = answer(&mut engine, arm, &none(1.9));
        assert_eq!(cold.tokens, hot.tokens);
        assert_eq!(at, [1.0; 12]);
    }
}

#[test]
fn at_temperature_0_penalties_count_and_so_do_samplers_before_the_temperature() {
    let model = smollm2();
    let mut engine = engine(&model);
    for arm in ARMS {
        let greedy = |sampling| settings(sampling, 0.0, 24);
        let (free, at) = answer(&mut engine, arm, &greedy(Sampling::default()));
        assert_eq!(at, [0.0; 24]);
        let first = |sampling| {
            let (answer, at) =
                answer(&mut engine, arm, &Generation { n_predict: Some(24), ..greedy(sampling) });
            assert_eq!(at, vec![0.0; answer.tokens.len()]);
            answer.tokens
        };
        let mut first = first;
        assert_ne!(first(Sampling { presence_penalty: 100.0, ..Sampling::default() }), free.tokens);
        let unrepeated =
            first(Sampling { presence_penalty: 100.0, repeat_last_n: -1, ..Sampling::default() });
        let distinct: BTreeSet<_> = unrepeated.iter().collect();
        assert_eq!(distinct.len(), unrepeated.len(), "no token comes twice");
        let xtc = Sampling { xtc_probability: 1.0, xtc_threshold: 0.01, ..Sampling::default() };
        assert_eq!(first(xtc.clone()), free.tokens, "behind the temperature it has one token to choose from");
        assert_ne!(first(Sampling { samplers: order("xtc;temperature"), ..xtc }), free.tokens);
    }
}

#[test]
fn an_answer_that_ignores_the_end_goes_on_until_it_is_long_enough() {
    let model = smollm2();
    let mut engine = engine(&model);
    let end = (0..model.n_vocab() as Token).find(|&token| model.is_eog(token)).unwrap();
    for arm in ARMS {
        for sampling in [Sampling::default(), Sampling { presence_penalty: 0.1, ..Sampling::default() }] {
            for temperature in [0.0, 0.8] {
                let logit_bias = vec![(end, 1000.0)];
                let ended = Generation { logit_bias, ..settings(sampling.clone(), temperature, 6) };
                let ignored = Generation { ignore_eos: true, ..ended.clone() };
                assert_eq!(answer(&mut engine, arm, &ended).0.finish, Finish::EndOfGeneration);
                let (ignored, _) = answer(&mut engine, arm, &ignored);
                assert_eq!((ignored.finish, ignored.tokens.len()), (Finish::Length, 6));
            }
        }
    }
    let grammar = Some(Grammar::new("root ::= \"a\"").unwrap());
    let both = Generation { ignore_eos: true, grammar, ..settings(Sampling::default(), 0.0, 6) };
    let error = both.validate(&model).unwrap_err().to_string();
    assert_eq!(error, "ignore_eos is true, must be false with a grammar, whose texts have an end");
}
