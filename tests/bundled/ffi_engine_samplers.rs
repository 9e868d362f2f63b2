//! The samplers of sda_generate_params.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::{CStr, c_char};

use sda::ffi::*;

use crate::ffi_engine::Engine;
use crate::models::smollm2;

/// Sixteen tokens of an answer that is drawn.
fn tokens(engine: &Engine, change: impl FnOnce(&mut CGenerateParams)) -> Vec<i32> {
    let heard = engine.generate(|p| {
        (p.n_predict, p.seed, p.steering) = (16, 3, std::ptr::null());
        change(p);
    });
    let (heard, _) = heard.unwrap_or_else(|status| panic!("{status}: {}", engine.error()));
    heard.tokens.iter().map(|token| token.token).collect()
}

const PAIR: [CLogitBias; 2] = [CLogitBias { token: 600, bias: 30.0 }, CLogitBias { token: 700, bias: 30.0 }];

#[test]
fn every_sampler_of_the_struct_is_used() {
    let engine = Engine::with(|params| params.n_ctx = 256);
    // Each beside the settings that it works on.
    type Change = fn(&mut CGenerateParams);
    // Two tokens are all that the answer has, so it repeats itself.
    let repeats: Change = |p| (p.logit_bias, p.n_logit_bias, p.n_predict) = (PAIR.as_ptr(), 2, 48);
    let dry: Change = |p| {
        (p.logit_bias, p.n_logit_bias, p.n_predict) = (PAIR.as_ptr(), 2, 48);
        (p.dry_multiplier, p.dry_allowed_length, p.dry_penalty_last_n) = (0.1, 1, -1);
    };
    let xtc: Change = |p| p.xtc_probability = 1.0;
    let dynatemp: Change = |p| p.dynatemp_range = 0.5;
    let mirostat: Change = |p| p.mirostat = 2;
    let none: Change = |_| {};
    let changes: [(&str, Change, Change); 15] = [
        ("typical_p", none, |p| p.typical_p = 0.1),
        ("top_n_sigma", none, |p| p.top_n_sigma = 0.01),
        ("xtc_probability", none, xtc),
        ("xtc_threshold", xtc, |p| p.xtc_threshold = 0.6),
        ("dry_multiplier", repeats, dry),
        ("dry_base", dry, |p| p.dry_base = 5.0),
        ("dry_allowed_length", dry, |p| p.dry_allowed_length = 40),
        ("dry_penalty_last_n", dry, |p| p.dry_penalty_last_n = 0),
        ("dynatemp_range", none, dynatemp),
        ("dynatemp_exponent", dynatemp, |p| p.dynatemp_exponent = 0.0),
        ("mirostat", none, |p| (p.mirostat, p.mirostat_tau) = (1, 9.0)),
        ("mirostat_tau", mirostat, |p| p.mirostat_tau = 0.1),
        ("mirostat_eta", mirostat, |p| p.mirostat_eta = 2.0),
        ("ignore_eos", |p| p.n_predict = 120, |p| p.ignore_eos = 1),
        ("samplers", |p| p.top_k = 1, |p| p.samplers = c"temperature".as_ptr()),
    ];
    for (field, before, change) in changes {
        let without = tokens(&engine, before);
        let with = tokens(&engine, |p| {
            before(p);
            change(p);
        });
        assert_ne!(with, without, "{field}");
    }
}

#[test]
fn breakers_are_four_by_default_those_that_are_given_or_none() {
    let engine = Engine::with(|params| params.n_ctx = 256);
    let space = [c" ".as_ptr()];
    let token = smollm2().tokenize(":", false).unwrap()[0];
    // All that the model wants to say is one token: a colon.
    let repeats_colons = |change: &dyn Fn(&mut CGenerateParams)| {
        let colon = [CLogitBias { token, bias: 50.0 }];
        let tokens = tokens(&engine, |p| {
            (p.logit_bias, p.n_logit_bias) = (colon.as_ptr(), 1);
            (p.dry_multiplier, p.dry_allowed_length) = (1000.0, 0);
            change(p);
        });
        assert_eq!(tokens[0], token);
        tokens.iter().all(|&drawn| drawn == token)
    };
    assert!(repeats_colons(&|_| {}));
    assert!(!repeats_colons(&|p| (p.dry_sequence_breakers, p.n_dry_sequence_breakers) = (space.as_ptr(), 1)));
    assert!(!repeats_colons(&|p| p.dry_sequence_breakers = space.as_ptr()), "none of them");
}

#[test]
fn samplers_are_refused_by_field_value_and_range() {
    let engine = Engine::with(|params| params.n_ctx = 256);
    let refused = |change: fn(&mut CGenerateParams), words: &str| {
        assert_eq!(engine.generate(change).err(), Some(SDA_ERR_PARAM), "{words}");
        assert!(engine.error().starts_with(words), "{} for {words}", engine.error());
    };
    refused(|p| p.typical_p = 2.0, "typical_p is 2, must be at least 0 and at most 1");
    refused(|p| p.dry_base = 0.0, "dry_base is 0, must be finite and at least 1");
    refused(|p| p.mirostat = -1, "mirostat is -1, must be 0, 1 or 2");
    refused(|p| p.samplers = c"top_k;infill".as_ptr(), "samplers is \"infill\", must be of temperature, ");
    refused(|p| (p.ignore_eos, p.grammar) = (1, c"root ::= \"a\"".as_ptr()), "ignore_eos is true, must be");
    const LONG: &CStr = c"more than the forty bytes that llama.cpp takes";
    static EMPTY: Pointers = Pointers([LONG.as_ptr()]);
    refused(
        |p| (p.dry_sequence_breakers, p.n_dry_sequence_breakers) = (EMPTY.0.as_ptr(), 1),
        "dry_sequence_breakers is a list with \"more than",
    );
    assert_eq!(engine.generate(|p| p.n_dry_sequence_breakers = 1).err(), Some(SDA_ERR_NULL));
}

struct Pointers([*const c_char; 1]);
// SAFETY: they point to constants.
unsafe impl Sync for Pointers {}

#[test]
fn an_answer_goes_beyond_its_context_if_it_may_let_go_of_its_beginning() {
    let engine = Engine::with(|params| params.n_ctx = 64);
    let answer = |context_shift| {
        let (heard, answer) = engine
            .generate(|p| (p.n_predict, p.ignore_eos, p.context_shift) = (150, 1, context_shift))
            .unwrap_or_else(|status| panic!("{status}: {}", engine.error()));
        (heard.tokens.len(), answer.finish)
    };
    assert_eq!(answer(1), (150, SDA_FINISH_LENGTH));
    assert_eq!(answer(0).1, SDA_FINISH_CONTEXT_FULL);
    assert_eq!(engine.generate(|p| p.reserved = 1).err(), Some(SDA_ERR_PARAM));
}
