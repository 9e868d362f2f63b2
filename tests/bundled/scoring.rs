//! Drafts that the loaded model scores beside the answers that it writes.

use std::collections::HashMap;

use sda::Error;
use sda::engine::{
    Arm, Batch, BatchEvent, BatchSize, Finish, Generation, Job, Prompts, ScoreDistribution, local_prompt,
    local_verdict,
};
use sda::host::Token;
use sda::judge::JudgeRequest;
use sda::llama::Model;

use crate::models::{smollm2, smollm2_f32};
use crate::rows::{exact, options};

/// What came of everything that was handed in.
#[derive(Default)]
struct Done {
    finishes: HashMap<usize, Finish>,
    scores: HashMap<usize, Result<ScoreDistribution, Error>>,
    /// Rows of each prompt that were read.
    read: HashMap<usize, usize>,
    /// How often a prompt was begun again.
    again: usize,
}

/// One step. Returns how many tokens came.
fn step(batch: &mut Batch, done: &mut Done) -> usize {
    let mut tokens = 0;
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Done { id, answer } => {
                assert!(done.finishes.insert(id, answer.unwrap().finish).is_none(), "job {id} is done twice")
            }
            BatchEvent::Scored { id, score } => {
                assert!(done.scores.insert(id, score).is_none(), "draft {id} is scored twice")
            }
            BatchEvent::Token { .. } => tokens += 1,
            BatchEvent::Prefill { id, done: rows, .. } => {
                let before = done.read.insert(id, rows).unwrap_or(0);
                done.again += usize::from(rows < before);
            }
            _ => {}
        }
        true
    };
    batch.step(&mut on_event).unwrap();
    tokens
}

fn judge_prompt(model: &Model, words: usize) -> Vec<Token> {
    let draft = "It is Paris. ".repeat(words);
    let request = JudgeRequest {
        query: "What is the capital of France?",
        draft: &draft,
        instruction: "Answer like a pirate.",
        dimension: None,
    };
    local_prompt(model, None, &request).unwrap()
}

/// An answer that ends by its length only.
fn endless(model: &Model, n_predict: usize) -> Job {
    let plain = model.tokenize_prompt("1, 2, 3, 4, 5, 6, 7, 8,").unwrap();
    let instructed = model.tokenize_prompt("Count. 1, 2, 3, 4, 5, 6, 7, 8,").unwrap();
    let settings = Generation { n_predict: Some(n_predict), ignore_eos: true, ..Generation::default() };
    Job { arm: Arm::Steered, prompts: Prompts::new(plain, instructed), settings, cache_prompt: false }
}

#[test]
fn a_draft_is_scored_while_an_answer_goes_on_at_every_step() {
    let model = smollm2_f32();
    let mut batch = Batch::new(&model, 2, 1024, &exact(0)).unwrap();
    batch.set_max_gap(Some(2.5)).unwrap();
    let prompts = [judge_prompt(&model, 60), judge_prompt(&model, 1)];
    let expected = prompts.each_ref().map(|prompt| batch.score(prompt, &mut |_, _| true).unwrap());
    let mut done = Done::default();
    batch.submit(0, endless(&model, 500));
    for _ in 0..4 {
        step(&mut batch, &mut done);
    }
    for (id, prompt) in [(10, &prompts[0]), (11, &prompts[1]), (12, &prompts[0])] {
        batch.submit_score(id, prompt.clone());
    }
    let refused = batch.score(&prompts[0], &mut |_, _| true);
    assert!(matches!(refused, Err(Error::State { .. })), "{refused:?}");
    batch.cancel(12);
    let mut steps = 0;
    while done.scores.len() < 3 {
        assert_eq!(step(&mut batch, &mut done), 1, "no step without a token of the answer");
        steps += 1;
    }
    // A decode for each part of the prompts, and one for each number that may have another digit.
    assert!(steps >= 2 * (2 + 10), "{steps}");
    assert_eq!(done.scores[&12], Err(Error::Cancelled));
    for (id, expected) in [10, 11].into_iter().zip(&expected) {
        let score = done.scores[&id].as_ref().unwrap();
        assert!((score.expected() - expected.expected()).abs() < 1e-2, "{score:?} is not {expected:?}");
        assert!((score.mass - expected.mass).abs() < 1e-3);
    }
    // One that is under way.
    batch.submit_score(13, prompts[0].clone());
    step(&mut batch, &mut done);
    batch.cancel(13);
    step(&mut batch, &mut done);
    assert_eq!(done.scores[&13], Err(Error::Cancelled));
    batch.cancel_all(&mut |_| true).unwrap();
    assert!(batch.is_idle());
    assert_eq!(batch.score(&prompts[1], &mut |_, _| true).unwrap(), expected[1], "nothing is left behind");
}

#[test]
fn with_nothing_beside_the_score_is_the_one_that_a_batch_gives_at_once() {
    let model = smollm2();
    let mut batch = Batch::new(&model, 1, 1024, &options(0)).unwrap();
    let prompt = judge_prompt(&model, 3);
    let expected = batch.score(&prompt, &mut |_, _| true);
    let mut done = Done::default();
    batch.submit_score(0, prompt);
    while !batch.is_idle() {
        step(&mut batch, &mut done);
    }
    assert_eq!(done.scores[&0], expected);
    // What no context could hold has no score, and an empty prompt neither.
    batch.submit_score(1, vec![1; 4000]);
    batch.submit_score(2, Vec::new());
    while !batch.is_idle() {
        step(&mut batch, &mut done);
    }
    let told = local_verdict(done.scores.remove(&1).unwrap(), "ROOM").unwrap_err().to_string();
    assert!(told.contains("has 4000 tokens, its context 2048: a larger ROOM makes room"), "{told}");
    assert!(matches!(done.scores[&2], Err(Error::Prompt { .. })), "{:?}", done.scores[&2]);
}

#[test]
fn a_draft_gives_way_to_answers_when_the_cells_run_out_and_is_scored_in_the_end() {
    let model = smollm2();
    let size = BatchSize { n_pairs: 2, n_ctx: 256, cells: Some(512), ..BatchSize::default() };
    let mut batch = Batch::with_size(&model, &size, &options(0)).unwrap();
    // Few rows of the judge's prompt in each decode.
    batch.set_max_gap(Some(1.1)).unwrap();
    let prompt = judge_prompt(&model, 35);
    assert!(prompt.len() > 200, "{}", prompt.len());
    let mut done = Done::default();
    for id in 0..4 {
        batch.submit(id, endless(&model, 120));
    }
    for _ in 0..60 {
        step(&mut batch, &mut done);
    }
    // Two answers of 60 tokens and the judge's prompt have no room for one another's rest.
    batch.submit_score(10, prompt.clone());
    batch.submit_score(11, prompt.clone());
    while !batch.is_idle() {
        step(&mut batch, &mut done);
    }
    assert_eq!(done.finishes, (0..4).map(|id| (id, Finish::Length)).collect());
    assert!(done.again > 0, "no draft gave way");
    let scores: Vec<f64> = [10, 11].iter().map(|id| done.scores[id].as_ref().unwrap().expected()).collect();
    assert!((scores[0] - scores[1]).abs() < 5.0, "{scores:?}");
}
