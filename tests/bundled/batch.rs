//! Many pairs in one context on real models: every row is that of a run of its own, and the scheduler loses
//! and doubles nothing.
//!
//! Needs `SDA_TEST_MODEL` and `SDA_TEST_MODEL_GEMMA`; `make test` sets both.

use crate::models::{gemma, gemma_f32, smollm2, smollm2_f32};
use crate::rows::{GEMMA_EXACT, QUANTIZED, SMOLLM2_EXACT, alone, difference, exact, options, quiet};

use sda::branch::{Move, Pair, Side, step_many};
use sda::engine::{
    Answer, Arm, Batch, BatchEvent, BatchSize, Engine, Event, Finish, Generation, Job, Prompts,
};
use sda::host::Token;
use sda::llama::{ContextOptions, Model, Sampling};
use sda::{Error, Params};

const SIDES: [Side; 2] = [Side::Plain, Side::Instructed];

const QUERIES: [&str; 3] =
    ["What is the capital of France?", "Why is the sky blue? Explain it well.", "Name three animals."];

fn prompts(model: &Model, query: &str) -> Prompts {
    let tokens = |instruction: &str| {
        let text = format!("<|im_start|>user\n{query}{instruction}<|im_end|>\n<|im_start|>assistant\n");
        model.tokenize_prompt(&text).unwrap()
    };
    Prompts::new(tokens(""), tokens("\n\nAnswer like a pirate."))
}

fn settings(seed: u32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 0.5, temperature: 1.0, ..Params::default() },
        sampling: Sampling { seed, ..Sampling::default() },
        n_predict: Some(n_predict),
        ..Generation::default()
    }
}

/// Three steered answers and one of each other arm, of different lengths.
fn jobs(model: &Model) -> Vec<Job> {
    jobs_after(model, "")
}

/// The same, with a text before each query.
fn jobs_after(model: &Model, text: &str) -> Vec<Job> {
    let arms = [Arm::Steered, Arm::Plain, Arm::Steered, Arm::Instructed, Arm::Steered];
    (arms.into_iter().zip(0..))
        .map(|(arm, i)| {
            let prompts = prompts(model, &format!("{text}{}", QUERIES[i % QUERIES.len()]));
            Job { arm, prompts, settings: settings(17 + i as u32, 12 + 5 * (i % 3)), ..Job::default() }
        })
        .collect()
}

/// What became of each job, and how often one gave way.
fn answers(batch: &mut Batch, jobs: &[Job]) -> (Vec<Result<Answer, Error>>, usize) {
    let mut waiting = jobs.iter().cloned().enumerate();
    let mut done: Vec<Option<Result<Answer, Error>>> = vec![None; jobs.len()];
    let mut gave_way = 0;
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Done { id, answer } => {
                assert!(done[id].replace(answer).is_none(), "job {id} is done twice");
            }
            BatchEvent::GaveWay { .. } => gave_way += 1,
            _ => {}
        }
        true
    };
    batch.run(&mut || waiting.next(), &mut on_event).unwrap();
    (done.into_iter().map(|answer| answer.expect("every job is done")).collect(), gave_way)
}

/// The answer that an engine of its own gives.
fn single(model: &Model, n_ctx: usize, options: &ContextOptions, job: &Job) -> Answer {
    let mut engine = Engine::new(model, n_ctx, options).unwrap();
    engine.generate(job.arm, &job.prompts, &job.settings, &mut |_| true).unwrap()
}

#[track_caller]
fn assert_same(answer: &Answer, expected: &Answer) {
    assert_eq!((&answer.text, &answer.tokens), (&expected.text, &expected.tokens));
    assert_eq!((answer.finish, answer.prefill), (expected.finish, expected.prefill));
    let close = |a: f64, b: f64| (a - b).abs() < 1e-3;
    assert!(match (answer.mean_divergence, expected.mean_divergence) {
        (Some(a), Some(b)) => close(a, b),
        (a, b) => a == b,
    });
}

/// Steps three pairs together, the last of them in one branch, and compares every row with a run of its own.
fn rows_agree(model: &Model, options: ContextOptions, tolerance: f32) {
    let options = ContextOptions { n_seq_max: 6, ..options };
    let context = model.new_context(&options).unwrap();
    let prompts: Vec<Prompts> = QUERIES.iter().map(|query| prompts(model, query)).collect();
    let steps: Vec<Vec<Token>> = ["It is Paris, of course.", " Light is scattered by air", "A cat and a dog"]
        .iter()
        .map(|text| model.tokenize(text, false).unwrap())
        .collect();
    let n = steps.iter().map(Vec::len).min().unwrap();
    let mut pairs: Vec<Pair> = (0..3)
        .map(|i| {
            let mut pair = Pair::new(context.clone(), 2 * i, 2 * i + 1).unwrap();
            let prompts = &prompts[i as usize];
            pair.prefill(&prompts.plain, &prompts.instructed, &mut quiet).unwrap();
            pair
        })
        .collect();
    let side = |i: usize| if i == 2 { Some(Side::Instructed) } else { None };
    let of = |i: usize, of: Side| if of == Side::Plain { &prompts[i].plain } else { &prompts[i].instructed };
    let expected: Vec<_> =
        (0..3).map(|i| SIDES.map(|side| alone(model, options, of(i, side), &steps[i][..n]))).collect();
    for step in 0..n {
        let mut moves: Vec<Move> = (pairs.iter_mut().zip(&steps).enumerate())
            .map(|(i, (pair, steps))| Move { pair, token: steps[step], side: side(i) })
            .collect();
        step_many(&mut moves).unwrap();
        for (i, pair) in pairs.iter().enumerate() {
            for (branch, expected) in SIDES.into_iter().zip(&expected[i]) {
                if side(i).is_none_or(|side| side == branch) {
                    let d = difference(&pair.logits(branch).unwrap(), &expected[step + 1]);
                    assert!(d < tolerance, "step {step}, pair {i}, {branch:?}: rows differ by {d}");
                }
            }
        }
    }
    // The comparison would hold for any pairs if they were all the same.
    let apart = difference(&expected[0][0][n], &expected[1][0][n]);
    assert!(apart > tolerance, "the pairs differ by only {apart}");
}

#[test]
fn the_rows_of_many_pairs_are_those_of_separate_runs() {
    rows_agree(&smollm2_f32(), exact(1024), SMOLLM2_EXACT);
    rows_agree(&gemma_f32(), exact(1024), GEMMA_EXACT);
    rows_agree(&smollm2(), options(1024), QUANTIZED);
}

#[test]
fn one_pair_gives_what_a_single_engine_gives() {
    for model in [smollm2(), gemma()] {
        let jobs = jobs(&model);
        let mut batch = Batch::new(&model, 1, 256, &options(0)).unwrap();
        for (answer, job) in answers(&mut batch, &jobs).0.into_iter().zip(&jobs) {
            assert_same(&answer.unwrap(), &single(&model, 256, &options(0), job));
        }
    }
}

/// Without rounding to 8 bits, the shape of the batch is nothing that a draw could notice.
#[test]
fn many_pairs_give_what_single_engines_give() {
    let model = smollm2_f32();
    let jobs = jobs_after(&model, &"Listen well. ".repeat(17));
    let expected: Vec<Answer> = jobs.iter().map(|job| single(&model, 128, &exact(0), job)).collect();
    // With the second number of cells, which is the least that llama.cpp makes, three have no room: some give
    // way, and continue with the tokens that they have.
    for (cells, gives_way) in [(3 * 256, false), (256, true)] {
        let mut batch = {
            let size = BatchSize { n_pairs: 3, n_ctx: 128, cells: Some(cells), ..BatchSize::default() };
            Batch::with_size(&model, &size, &exact(0)).unwrap()
        };
        let (answers, gave_way) = answers(&mut batch, &jobs);
        assert_eq!(gave_way > 0, gives_way);
        for (answer, expected) in answers.into_iter().zip(&expected) {
            assert_same(&answer.unwrap(), expected);
        }
    }
}

#[test]
fn a_finished_answers_place_is_taken_at_once() {
    let model = smollm2();
    let prompts = prompts(&model, "Tell a very long story about a ship.");
    let lengths = [2, 12, 3, 1, 4];
    let mut waiting = lengths.into_iter().enumerate().map(|(id, n)| {
        let mut settings = settings(id as u32, n);
        // The answers must not end before their time.
        settings.params.temperature = 0.0;
        (id, Job { arm: Arm::Plain, prompts: prompts.clone(), settings, ..Job::default() })
    });
    let mut batch = Batch::new(&model, 2, 64, &options(0)).unwrap();
    let mut seen: Vec<(char, usize)> = Vec::new();
    let mut on_event = |event: BatchEvent| {
        seen.push(match event {
            BatchEvent::Prefill { done: 0, id, .. } => ('r', id),
            BatchEvent::Token { id, .. } => ('t', id),
            BatchEvent::Done { id, answer } => {
                assert_eq!(answer.unwrap().tokens.len(), lengths[id]);
                ('d', id)
            }
            _ => return true,
        });
        true
    };
    batch.run(&mut || waiting.next(), &mut on_event).unwrap();
    let done: Vec<usize> = seen.iter().filter(|(what, _)| *what == 'd').map(|(_, id)| *id).collect();
    assert_eq!(done, [0, 2, 3, 4, 1], "the long one runs beside all the others");
    for (before, next) in [(0, 2), (2, 3), (3, 4)] {
        let find = |event| seen.iter().position(|seen| *seen == event).unwrap();
        let (end, start, first) = (find(('d', before)), find(('r', next)), find(('t', next)));
        let meanwhile = seen[end + 1..first].iter().filter(|event| **event != ('r', next));
        assert!(meanwhile.clone().all(|event| *event == ('t', 1)), "{seen:?}");
        assert!(
            start <= end + 2 && meanwhile.count() <= 2,
            "read beside the next step of the long one: {seen:?}"
        );
    }
}

#[test]
fn a_job_that_fails_is_the_only_one_that_does() {
    let model = smollm2();
    let mut jobs = jobs(&model);
    let token = jobs[0].prompts.plain[0];
    jobs[0].prompts.instructed = vec![token; 65];
    jobs[1].prompts.plain.clear();
    jobs[2].settings.params.sigma = 0.0;
    let mut batch = Batch::new(&model, 2, 64, &options(0)).unwrap();
    let (answers, _) = answers(&mut batch, &jobs);
    assert!(matches!(answers[0], Err(Error::ContextFull { needed: 65, available: 64 })), "{:?}", answers[0]);
    assert!(matches!(answers[1], Err(Error::Prompt { .. })), "{:?}", answers[1]);
    assert!(matches!(answers[2], Err(Error::Param { field: "sigma", .. })), "{:?}", answers[2]);
    assert!(answers[3].is_ok() && answers[4].is_ok());
}

#[test]
fn an_answer_ends_at_the_length_of_its_branch_and_not_earlier() {
    let model = smollm2();
    let prompts = prompts(&model, "Tell a very long story.");
    let n_ctx = prompts.instructed.len() + 9;
    let mut settings = settings(1, 1000);
    settings.params.temperature = 0.0;
    let jobs = vec![Job { arm: Arm::Steered, prompts, settings, ..Job::default() }; 3];
    let mut batch = Batch::new(&model, 3, n_ctx, &options(0)).unwrap();
    for answer in answers(&mut batch, &jobs).0 {
        let answer = answer.unwrap();
        // The last token is drawn from the last cell and needs none itself.
        assert_eq!((answer.finish, answer.tokens.len()), (Finish::ContextFull, 10));
    }
}

#[test]
fn stopping_ends_every_job_that_was_taken() {
    let model = smollm2();
    let jobs = jobs(&model);
    let mut waiting = jobs.iter().cloned().enumerate();
    let mut batch = Batch::new(&model, 2, 256, &options(0)).unwrap();
    let mut done = Vec::new();
    let mut tokens = 0;
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Token { .. } => tokens += 1,
            BatchEvent::Done { id, answer } => done.push((id, answer.unwrap().finish)),
            _ => {}
        }
        tokens < 5
    };
    batch.run(&mut || waiting.next(), &mut on_event).unwrap();
    done.sort_by_key(|(id, _)| *id);
    assert_eq!(done, [(0, Finish::Cancelled), (1, Finish::Cancelled)]);
    assert_eq!(waiting.count(), 3, "no further job was taken");
    // The context is as good as new.
    assert!(answers(&mut batch, &jobs).0.iter().all(Result::is_ok));
}

/// The texts of the events make the answer's text, and the last of them is what was held back.
#[test]
fn text_that_was_held_back_comes_as_an_event_of_its_own() {
    let model = smollm2();
    let mut job = jobs(&model).remove(0);
    job.settings.params.temperature = 0.0;
    let text = single(&model, 256, &options(0), &job).text;
    // The last character could begin this one.
    let last = text.chars().last().unwrap();
    job.settings.stop = vec![format!("{last}\u{1}")];

    let (mut shown, mut tail) = (String::new(), String::new());
    let mut engine = Engine::new(&model, 256, &options(0)).unwrap();
    let answer = engine.generate(job.arm, &job.prompts, &job.settings, &mut |event| {
        match event {
            Event::Token(record) => shown.push_str(&record.text),
            Event::Tail(text) => tail.push_str(text),
            Event::Prefill { .. } => {}
        }
        true
    });
    assert_eq!((format!("{shown}{tail}"), &tail), (answer.unwrap().text, &last.to_string()));
    assert_eq!(format!("{shown}{tail}"), text);

    let (mut tails, mut done) = (Vec::new(), Vec::new());
    let mut waiting = [job.clone(), job].into_iter().enumerate();
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Tail { id, text } => tails.push((id, text.to_owned())),
            BatchEvent::Done { id, answer } => {
                assert!(tails.contains(&(id, last.to_string())), "it comes before the answer");
                done.push(answer.unwrap().text);
            }
            _ => {}
        }
        true
    };
    Batch::new(&model, 2, 256, &options(0)).unwrap().run(&mut || waiting.next(), &mut on_event).unwrap();
    assert_eq!((tails.len(), done), (2, vec![text.clone(), text]));
}

#[test]
fn sizes_out_of_range_are_named() {
    let model = smollm2();
    let error = |n_pairs, n_ctx, cells, n_batch| {
        let options = ContextOptions { n_batch, ..options(0) };
        let size = BatchSize { n_pairs, n_ctx, cells: Some(cells), ..BatchSize::default() };
        Batch::with_size(&model, &size, &options).err().unwrap().to_string()
    };
    assert_eq!(
        error(0, 64, 128, 64),
        "n_pairs is 0, must be at least 1 and at most 127, with 2 branches each"
    );
    assert_eq!(
        error(2, 64, 127, 64),
        "cells is 127, must be at least 128, n_ctx for each branch of an answer and one a sequence, and at most 2147483392"
    );
    assert_eq!(
        error(2, 64, 128, 3),
        "n_batch is 3, must be at least 5, two for each answer at once and one for a judge"
    );
}
