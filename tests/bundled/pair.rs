//! The prompt pair on real models: both rows of a pair must be what two separate runs give.
//!
//! Needs `SDA_TEST_MODEL` (SmolLM2, ChatML) and `SDA_TEST_MODEL_GEMMA` (Gemma 3: sliding window, large
//! vocabulary, no chat template); `make test` sets both.

use crate::models::{gemma, gemma_f32, smollm2, smollm2_f32};
use crate::rows::{GEMMA_EXACT, QUANTIZED, SMOLLM2_EXACT, alone, difference, exact, lab, options, quiet};
use sda::Error;
use sda::branch::{Pair, Prefill, Side};
use sda::engine::Engine;
use sda::llama::{ContextOptions, Model};

/// Runs a pair of texts together and apart, with the same continuation, and compares every row.
pub fn rows_agree(model: &Model, options: ContextOptions, tolerance: f32, texts: [&str; 3]) {
    let [plain, instructed, continuation] = texts;
    let plain = model.tokenize_prompt(plain).unwrap();
    let instructed = model.tokenize_prompt(instructed).unwrap();
    let steps = model.tokenize(continuation, false).unwrap();
    let shared = plain.iter().zip(&instructed).take_while(|(a, b)| a == b).count();
    let shared = shared.min(plain.len() - 1).min(instructed.len() - 1);

    let mut pair = lab(model, options);
    let prefill = pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    let expected = Prefill { shared, decoded: plain.len() + instructed.len() - shared, reused: 0 };
    assert_eq!(prefill, expected, "the shared tokens are decoded once");

    let expected = [alone(model, options, &plain, &steps), alone(model, options, &instructed, &steps)];
    for i in 0..=steps.len() {
        for (side, expected) in [Side::Plain, Side::Instructed].into_iter().zip(&expected) {
            let d = difference(&pair.logits(side).unwrap(), &expected[i]);
            assert!(d < tolerance, "step {i}, {side:?}: rows differ by {d} of their spread");
        }
        if let Some(&token) = steps.get(i) {
            pair.step(token).unwrap();
        }
    }
    // The comparison would hold for any prompts if the branches were the same.
    let apart = difference(&expected[0][0], &expected[1][0]);
    assert!(apart > tolerance, "the branches differ by only {apart}");
}

const QUERY: &str = "<|im_start|>user\nWhat is the capital of France?";
const ASSISTANT: &str = "<|im_end|>\n<|im_start|>assistant\n";

fn pirate() -> [String; 3] {
    let plain = format!("{QUERY}{ASSISTANT}");
    let instructed = format!("{QUERY} Answer like a pirate, in rhyme.{ASSISTANT}");
    [plain, instructed, "The capital of France is Paris, a city on the Seine.".into()]
}

/// Longer than Gemma's window of 512 tokens, in the shared part already.
fn captain() -> [String; 3] {
    let story = "The ship sailed on and the sea was calm. ".repeat(70);
    let plain = format!("{story}Then the captain said:");
    let instructed = format!("{story}Then the captain, angry and cold, said in a very loud voice:");
    [plain, instructed, " we will go home now, and nobody will stop us.".into()]
}

#[test]
fn both_rows_equal_separate_runs_on_smollm2() {
    let texts = pirate();
    rows_agree(&smollm2_f32(), exact(1024), SMOLLM2_EXACT, texts.each_ref().map(String::as_str));
}

#[test]
fn both_rows_equal_separate_runs_beyond_the_sliding_window_on_gemma() {
    let texts = captain();
    rows_agree(&gemma_f32(), exact(2048), GEMMA_EXACT, texts.each_ref().map(String::as_str));
}

#[test]
fn both_rows_equal_separate_runs_on_the_quantized_models_as_far_as_rounding_lets_them() {
    rows_agree(&smollm2(), options(1024), QUANTIZED, pirate().each_ref().map(String::as_str));
    rows_agree(&gemma(), options(2048), QUANTIZED, captain().each_ref().map(String::as_str));
}

#[test]
fn a_second_turn_reads_only_what_is_new() {
    let model = smollm2_f32();
    let tokens = |text: &str| model.tokenize_prompt(text).unwrap();
    let mut pair = lab(&model, exact(1024));
    let first = (format!("{QUERY}{ASSISTANT}"), format!("{QUERY} Be brief.{ASSISTANT}"));
    pair.prefill(&tokens(&first.0), &tokens(&first.1), &mut quiet).unwrap();
    for token in model.tokenize("Paris.", false).unwrap() {
        pair.step(token).unwrap();
    }
    let next = "Paris.<|im_end|>\n<|im_start|>user\nAnd of Spain?";
    let plain = tokens(&format!("{}{next}{ASSISTANT}", first.0));
    let instructed = tokens(&format!("{}{next} Be brief.{ASSISTANT}", first.1));
    let prefill = pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    assert!(prefill.decoded < 45, "{prefill:?}");
    let fresh = alone(&model, exact(1024), &instructed, &[]).remove(0);
    assert!(difference(&pair.logits(Side::Instructed).unwrap(), &fresh) < SMOLLM2_EXACT);
}

#[test]
fn a_rewind_in_a_sliding_window_reads_anew() {
    let model = gemma_f32();
    let story = model.tokenize_prompt(&"The ship sailed on and the sea was calm. ".repeat(70)).unwrap();
    let mut pair = lab(&model, exact(2048));
    pair.prefill_one(Side::Plain, &story, &mut quiet).unwrap();
    let other = [&story[..300], &model.tokenize(" And then it sank.", false).unwrap()].concat();
    pair.prefill_one(Side::Plain, &other, &mut quiet).unwrap();
    let fresh = alone(&model, exact(2048), &other, &[]).remove(0);
    assert!(difference(&pair.logits(Side::Plain).unwrap(), &fresh) < GEMMA_EXACT);
}

#[test]
fn a_full_context_is_an_error_that_changes_nothing() {
    let model = smollm2();
    let prompt = model.tokenize_prompt(&"word ".repeat(100)).unwrap();
    let mut pair = lab(&model, options(256));
    pair.prefill(&prompt, &prompt, &mut quiet).unwrap();
    let token = prompt[0];
    let mut steps = 0;
    let error = loop {
        match pair.step(token) {
            Ok(()) => steps += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::ContextFull { needed, available: 256 } if needed > 256), "{error}");
    assert!(steps > 70, "only {steps} steps fitted");
    let held = prompt.len() + steps;
    assert_eq!(pair.tokens(Side::Plain).len(), held);
    assert_eq!(pair.tokens(Side::Instructed).len(), held);
    // The pair can be used again.
    pair.prefill(&prompt, &prompt, &mut quiet).unwrap();
    pair.step(token).unwrap();
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    let model = smollm2();
    let prompt = model.tokenize_prompt(&"word ".repeat(400)).unwrap();
    let mut pair = lab(&model, options(256));
    let error = pair.prefill(&prompt, &prompt, &mut quiet).unwrap_err();
    assert_eq!(error, Error::ContextFull { needed: prompt.len() + 1, available: 256 });
    assert_eq!(pair.prefill(&[], &prompt, &mut quiet).unwrap_err().code(), -8);
}

#[test]
fn a_cancelled_prefill_leaves_an_empty_pair() {
    let model = smollm2();
    let prompt = model.tokenize_prompt(&"word ".repeat(700)).unwrap();
    let mut pair = lab(&model, options(1024));
    let error = pair.prefill(&prompt, &prompt, &mut |done, _| done == 0).unwrap_err();
    assert_eq!(error, Error::Cancelled);
    assert!(pair.tokens(Side::Plain).is_empty() && pair.logits(Side::Plain).is_err());
    pair.prefill(&prompt, &prompt, &mut quiet).unwrap();
}

#[test]
fn a_fork_goes_on_by_itself() {
    let model = smollm2_f32();
    let plain = model.tokenize_prompt("Once upon a time").unwrap();
    let instructed = model.tokenize_prompt("In a dark wood, once upon a time").unwrap();
    let context = model.new_context(&ContextOptions { n_seq_max: 4, ..exact(512) }).unwrap();
    let mut first = Pair::new(context, 0, 1).unwrap();
    first.prefill(&plain, &instructed, &mut quiet).unwrap();
    let mut second = first.fork(2, 3).unwrap();
    let [a, b] = [" there was", " nobody"].map(|text| model.tokenize(text, false).unwrap());
    for (&a, &b) in a.iter().zip(&b) {
        first.step(a).unwrap();
        second.step(b).unwrap();
    }
    let last = second.tokens(Side::Instructed).to_vec();
    assert_eq!(last, [&instructed[..], &b[..last.len() - instructed.len()]].concat());
    let fresh = alone(&model, exact(512), &last, &[]).remove(0);
    assert!(difference(&second.logits(Side::Instructed).unwrap(), &fresh) < SMOLLM2_EXACT);
}

#[test]
fn a_long_shared_prompt_leaves_a_sliding_window_model_room_for_its_answer() {
    let model = gemma();
    let story = "The ship sailed on and the sea was calm. ".repeat(150);
    let tokens = |end: &str| model.tokenize_prompt(&format!("{story}{end}")).unwrap();
    let (plain, instructed) = (tokens("Then the captain said:"), tokens("Then the angry captain said:"));
    let options = ContextOptions { n_threads: 2, ..ContextOptions::default() };
    let engine = Engine::new(&model, 2200, &options).unwrap();
    let mut pair = engine.pair().unwrap();
    let prefill = pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    assert!(prefill.shared > 1400, "{prefill:?}");
    for (step, &token) in plain.iter().enumerate().take(350) {
        pair.step(token).unwrap_or_else(|error| panic!("step {step}: {error}"));
    }
}

/// Prompts with two instructions: plain, both, and each alone.
fn four(model: &Model) -> [Vec<sda::host::Token>; 4] {
    ["", " Answer like a pirate, in rhyme. Be brief.", " Answer like a pirate, in rhyme.", " Be brief."]
        .map(|text| model.tokenize_prompt(&format!("{QUERY}{text}{ASSISTANT}")).unwrap())
}

fn several(model: &Model, options: ContextOptions) -> Pair {
    let context = model.new_context(&ContextOptions { n_seq_max: 4, ..options }).unwrap();
    Pair::with_singles(context, 0, 1, &[2, 3]).unwrap()
}

#[test]
fn all_rows_of_two_instructions_equal_separate_runs() {
    let model = smollm2_f32();
    let prompts = four(&model);
    let steps = model.tokenize("Arr, it be Paris, on the Seine.", false).unwrap();
    let expected: Vec<_> = prompts.iter().map(|prompt| alone(&model, exact(1024), prompt, &steps)).collect();
    let mut pair = several(&model, exact(1024));
    let [plain, both, first, second] = &prompts;
    let prefill = pair.prefill_many(plain, both, &[first, second], &mut quiet).unwrap();
    let shared = model.tokenize_prompt(QUERY).unwrap().len();
    let total: usize = prompts.iter().map(Vec::len).sum();
    assert!(prefill.shared + 1 >= shared, "{prefill:?} of {shared}");
    assert_eq!(prefill.decoded, total - 3 * prefill.shared, "the shared tokens are decoded once");
    for i in 0..=steps.len() {
        let sides = [Side::Plain, Side::Instructed, Side::Single(0), Side::Single(1)];
        for (side, expected) in sides.into_iter().zip(&expected) {
            let d = difference(&pair.logits(side).unwrap(), &expected[i]);
            assert!(d < SMOLLM2_EXACT, "step {i}, {side:?}: rows differ by {d} of their spread");
        }
        if let Some(&token) = steps.get(i) {
            pair.step(token).unwrap();
        }
    }
    // The comparison would hold for any prompts if the branches were the same.
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        assert!(difference(&expected[a][0], &expected[b][0]) > SMOLLM2_EXACT, "{a} and {b}");
    }
}
