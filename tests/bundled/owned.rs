//! What is made from an engine, a batch or a context keeps the model and the context that it needs, without
//! any unsafe code of its user.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use sda::Error;
use sda::branch::{DropIn, Pair, Side};
use sda::engine::{Arm, Batch, Engine, Generation, Prompts};
use sda::llama::{ContextOptions, Model, ModelOptions, set_log};

fn model() -> Model {
    let path = std::env::var_os("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`");
    set_log(|_| {});
    Model::load(&PathBuf::from(path), &ModelOptions::default(), |_| true).unwrap()
}

fn options() -> ContextOptions {
    ContextOptions { n_threads: 1, ..ContextOptions::default() }
}

#[test]
fn a_drop_in_branch_outlives_engine_and_model() {
    let model = model();
    let mut dropin = {
        let engine = Engine::new(&model, 64, &options()).unwrap();
        let pair = engine.pair().unwrap();
        DropIn::new(pair.context(), &[1, 2, 3]).unwrap()
    };
    let n_vocab = model.n_vocab();
    drop(model);
    assert_eq!(dropin.logits().unwrap().len(), n_vocab);
    assert!(dropin.fork().unwrap().logits().unwrap().iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_fork_outlives_batch_and_model() {
    let model = model();
    let mut fork = {
        let batch = Batch::new(&model, 2, 64, &options()).unwrap();
        let mut pair = batch.pair(0).unwrap();
        pair.prefill(&[1, 2], &[1, 3], &mut |_, _| true).unwrap();
        pair.fork(2, 3).unwrap()
    };
    drop(model);
    fork.step(5).unwrap();
    assert!(fork.logits(Side::Instructed).unwrap().iter().all(|logit| logit.is_finite()));
}

#[test]
fn an_engine_keeps_its_model() {
    let mut engine = Engine::new(&model(), 64, &options()).unwrap();
    let prompts = Prompts::new(vec![1, 2], vec![1, 3]);
    let settings = Generation { n_predict: Some(4), ..Generation::default() };
    engine.generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap();
}

/// At run time: the context lets one thread in at a time, and rows that are gone are refused.
#[test]
fn two_threads_cannot_be_in_one_context_at_once() {
    let context = model().new_context(&ContextOptions { n_seq_max: 4, ..options() }).unwrap();
    let mut first = Pair::new(context, 0, 1).unwrap();
    first.prefill(&[1, 2], &[1, 3], &mut |_, _| true).unwrap();
    let second = first.fork(2, 3).unwrap();
    std::thread::scope(|scope| {
        for mut pair in [first, second] {
            scope.spawn(move || {
                for token in 5..15 {
                    let stepped = pair.step(token);
                    assert!(matches!(stepped, Ok(()) | Err(Error::State { .. })), "{stepped:?}");
                    match pair.logits(Side::Plain) {
                        Ok(row) => assert!(row.iter().all(|logit| logit.is_finite())),
                        Err(error) => assert!(matches!(error, Error::State { .. }), "{error}"),
                    }
                }
            });
        }
    });
}
