//! A model as the judge of an engine in C: another one, or the engine's own.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda_test_kit::ffi::made;

use crate::ffi_engine::{Engine, PIRATE, QUERY, load, model_path};

fn gemma_path() -> String {
    std::env::var("SDA_TEST_MODEL_GEMMA").expect("SDA_TEST_MODEL_GEMMA is not set: run `make test`")
}

/// An engine with another model as its judge, whose handle is freed already.
fn judged_by(path: &str, judge_n_ctx: u32) -> Engine {
    let judge = load(path);
    let engine = Engine::with(|p| (p.n_ctx, p.judge_model, p.judge_n_ctx) = (512, judge, judge_n_ctx));
    // SAFETY: freed once; the engine keeps the model.
    unsafe { sda_model_free(judge) };
    engine
}

fn request(draft: &CStr) -> CJudgeRequest {
    CJudgeRequest {
        query: QUERY.as_ptr(),
        draft: draft.as_ptr(),
        instruction: PIRATE.as_ptr(),
        ..made(sda_judge_request_init)
    }
}

fn score(engine: &Engine, request: &CJudgeRequest) -> Result<f32, i32> {
    let mut score = 0.0;
    // SAFETY: all pointers are live.
    match unsafe { sda_engine_score(engine.0, request, &mut score) } {
        SDA_OK => Ok(score),
        status => Err(status),
    }
}

#[test]
fn the_judges_score_of_the_draft_decides_the_strength() {
    let engines = [judged_by(&gemma_path(), 0), judged_by(&model_path(), 0), Engine::with(|p| p.n_ctx = 512)];
    // What the cache of the engine's own judge holds beside its prompt changes the rounding.
    let [other, same, own] = [0, 1, 2].map(|i: usize| score(&engines[i], &request(c"It is Paris.")).unwrap());
    assert!(same == own && (other - own).abs() > 10.0, "{other} {same} {own}");
    for engine in &engines {
        let (plain, _) = engine.generate(|p| p.arm = SDA_ARM_PLAIN).unwrap();
        let (heard, answer) = engine.generate(|p| p.judge = 1).unwrap();
        assert_eq!((answer.arm, answer.judge_status), (SDA_ARM_STEERED, SDA_OK));
        assert_eq!(
            (answer.n_draft, answer.n_tokens, heard.tokens.len()),
            (8, 8, 8),
            "no draft in the answer"
        );
        let mut amplification = 0.0;
        // SAFETY: the pointer is live.
        unsafe { sda_amplify(SDA_AMPLIFY_SIGMOID, answer.score, &mut amplification) };
        assert!((heard.tokens[0].guidance - (1.0 + 2.0 * amplification)).abs() < 1e-5);
        let alone = score(engine, &request(&CString::new(plain.text).unwrap())).unwrap();
        assert!((answer.score - alone).abs() < 5.0, "{} for the draft, {alone} by itself", answer.score);
        assert!(answer.spread > 0.0);
        // The same answer as with this score given.
        let given = engine.generate(|p| p.score = answer.score).unwrap();
        assert_eq!((given.0.text, given.1.score, given.1.n_draft), (heard.text, 0.0, 0));
    }
}

#[test]
fn a_dimension_is_scored_in_place_of_the_instruction() {
    let engine = judged_by(&model_path(), 0);
    let by = |dimension| score(&engine, &CJudgeRequest { dimension, ..request(c"It is Paris.") }).unwrap();
    let (instruction, empathy) = (by(SDA_DIMENSION_NONE), by(SDA_DIMENSION_EMPATHY));
    assert!((instruction - empathy).abs() > 0.1, "{instruction} {empathy}");
    let steered =
        |dimension| engine.generate(|p| (p.judge, p.judge_dimension) = (1, dimension)).unwrap().1.score;
    assert!((steered(SDA_DIMENSION_NONE) - steered(SDA_DIMENSION_EMPATHY)).abs() > 0.1);
}

#[test]
fn without_a_score_the_answer_is_what_the_host_chose_and_never_steered() {
    let engine = judged_by(&gemma_path(), 16);
    let answer = |arm| engine.generate(|p| p.arm = arm).unwrap().0.text;
    let judged = |policy| engine.generate(|p| (p.judge, p.on_judge_failure) = (1, policy));
    for (policy, arm) in
        [(SDA_ON_FAILURE_PLAIN, SDA_ARM_PLAIN), (SDA_ON_FAILURE_INSTRUCTED, SDA_ARM_INSTRUCTED)]
    {
        let (heard, told) = judged(policy).unwrap();
        assert_eq!(heard.text, answer(arm));
        assert_eq!((told.arm, told.judge_status, told.score, told.n_draft), (arm, SDA_ERR_JUDGE, 0.0, 8));
        assert!(heard.tokens[0].guidance.is_nan());
    }
    assert_eq!(judged(SDA_ON_FAILURE_ERROR).err(), Some(SDA_ERR_JUDGE));
    assert!(engine.error().contains("its context 16: a larger judge_n_ctx"), "{}", engine.error());
    assert_eq!(score(&engine, &request(c"Paris.")), Err(SDA_ERR_JUDGE));
    assert_eq!(score(&engine, &request(c" ")), Err(SDA_ERR_JUDGE));
    assert!(engine.error().contains("blank"), "{}", engine.error());
}

#[test]
fn wrong_ways_to_ask_a_judge_are_refused_with_a_reason() {
    let engine = Engine::with(|p| p.n_ctx = 256);
    type Change = fn(&mut CGenerateParams);
    let cases: [(Change, &str); 5] = [
        (|p| (p.judge, p.score) = (1, 50.0), "score is 50, must be 0 where judge is not"),
        (|p| (p.judge, p.arm) = (1, SDA_ARM_PLAIN), "arm is 2, must be SDA_ARM_STEERED where judge is not 0"),
        (|p| (p.judge, p.judge_dimension) = (1, 6), "judge_dimension is 6"),
        (|p| (p.judge, p.on_judge_failure) = (1, -1), "on_judge_failure is -1"),
        (|p| (p.judge, p.instruction) = (1, null()), "instruction"),
    ];
    for (change, reason) in cases {
        assert_eq!(engine.generate(change).err(), Some(SDA_ERR_PARAM), "{reason}: {}", engine.error());
        assert!(engine.error().contains(reason), "{reason}: {}", engine.error());
    }
    // SAFETY: every pointer is NULL or live.
    unsafe {
        assert_eq!(sda_engine_score(null_mut(), null(), null_mut()), SDA_ERR_NULL);
        assert_eq!(sda_engine_score(engine.0, null(), &mut 0.0), SDA_ERR_NULL);
        assert_eq!(engine.error(), "request is NULL");
        assert_eq!(sda_engine_score(engine.0, &request(c"Paris."), null_mut()), SDA_ERR_NULL);
        assert_eq!(engine.error(), "score is NULL");
    }
    engine.generate(|_| ()).unwrap();
}

#[test]
fn a_draft_can_be_cancelled_by_another_thread() {
    let engine = judged_by(&model_path(), 0);
    let address = engine.0.expose_provenance();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Again and again, since one that comes before the call starts is not kept for it.
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                // SAFETY: the engine lives, and this is the one function that may be called meanwhile.
                unsafe { sda_engine_cancel(std::ptr::with_exposed_provenance_mut(address)) };
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let (heard, answer) = engine.generate(|p| (p.judge, p.n_predict) = (1, 400)).unwrap();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!((answer.finish, answer.n_tokens, heard.tokens.len()), (SDA_FINISH_CANCELLED, 0, 0));
        assert!(answer.n_draft < 400 && answer.score == 0.0 && answer.mean_divergence.is_nan());
    });
    // Nothing of it is left.
    assert_eq!(engine.generate(|p| p.judge = 1).unwrap().1.finish, SDA_FINISH_LENGTH);
}
