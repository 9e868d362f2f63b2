//! Whole answers on models whose memory cannot be rewound: the tokens are those of a fresh engine.

use sda::Params;
use sda::engine::{Answer, Arm, Batch, BatchEvent, BatchSize, Engine, Generation, Job};
use sda::host::Token;
use sda::judge::{Judge, JudgeRequest};
use sda::text::Turn;

use super::{EXACT, KINDS, PIRATE, engine, generate, load, prompts, settings};
use crate::rows::{difference, exact};
use crate::shift;

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_second_turn_is_answered_as_in_a_fresh_engine() {
    for kind in KINDS {
        let model = load(kind);
        for seed in 1..=3 {
            for temperature in [0.0, 1.0] {
                let settings = settings(seed, temperature, 24);
                let mut used = engine(&model);
                let mut history = Vec::new();
                for query in ["Hello there", "And of Spain?", "Why?"] {
                    let prompts = prompts(&model, &history, query);
                    let answer = generate(&mut used, &prompts, &settings);
                    let fresh = generate(&mut engine(&model), &prompts, &settings);
                    assert_eq!(answer.tokens, fresh.tokens, "{kind}, seed {seed}, turn {}", history.len());
                    assert!(
                        answer.tokens.len() > 8,
                        "{kind}: only {} tokens to compare",
                        answer.tokens.len()
                    );
                    history.push(Turn { query: query.to_owned(), answer: answer.text });
                }
            }
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn the_steering_changes_the_answer_and_a_seed_repeats_it() {
    for kind in KINDS {
        let model = load(kind);
        let prompts = prompts(&model, &[], "What is the capital of France?");
        let plain = Params { amplification: 0.0, ..settings(1, 0.0, 24).params };
        let unsteered = Generation { params: plain, ..settings(1, 0.0, 24) };
        let tokens = |settings: &Generation| generate(&mut engine(&model), &prompts, settings).tokens;
        assert_ne!(tokens(&settings(1, 0.0, 24)), tokens(&unsteered), "{kind}");
        assert_eq!(tokens(&settings(1, 1.0, 24)), tokens(&settings(1, 1.0, 24)), "{kind}");
        assert_ne!(tokens(&settings(1, 1.0, 24)), tokens(&settings(2, 1.0, 24)), "{kind}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn an_answer_may_be_longer_than_its_context() {
    for kind in KINDS {
        let model = load(kind);
        let expected = shift::in_pieces(&model, Arm::Steered, shift::N_TOKENS);
        let mut engine = shift::engine(&model, shift::N_CTX);
        let settings = shift::settings(0.0, shift::N_TOKENS);
        assert_eq!(generate(&mut engine, &shift::prompts(&model), &settings).tokens, expected, "{kind}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn many_answers_at_once_are_those_of_single_engines() {
    const QUERIES: [&str; 7] = [
        "Hello",
        "Why is the sky blue?",
        "Name three animals.",
        "Count to ten",
        "A",
        "Who are you?",
        "Sing!",
    ];
    for kind in KINDS {
        let model = load(kind);
        let arms = [Arm::Steered, Arm::Plain, Arm::Instructed, Arm::Steered];
        let jobs: Vec<Job> = (QUERIES.iter().enumerate())
            .map(|(i, query)| Job {
                arm: arms[i % arms.len()],
                prompts: prompts(&model, &[], query),
                settings: settings(i as u32, 0.0, 50 + 10 * (i % 4)),
                ..Job::default()
            })
            .collect();
        // With few cells answers give way to others, and continue later.
        for cells in [None, Some(400)] {
            let size = BatchSize { n_pairs: 6, n_ctx: 200, cells, ..BatchSize::default() };
            let mut batch = Batch::with_size(&model, &size, &exact(0)).unwrap();
            let mut waiting = jobs.iter().cloned().enumerate();
            let mut done: Vec<Option<Answer>> = vec![None; jobs.len()];
            let mut gave_way = 0;
            let mut on_event = |event: BatchEvent| {
                match event {
                    BatchEvent::Done { id, answer } => assert!(done[id].replace(answer.unwrap()).is_none()),
                    BatchEvent::GaveWay { .. } => gave_way += 1,
                    _ => {}
                }
                true
            };
            batch.run(&mut || waiting.next(), &mut on_event).unwrap();
            // A state is no matter of cells.
            let has_cells = !["mamba", "rwkv7"].contains(&kind);
            assert_eq!(gave_way > 0, has_cells && cells.is_some(), "{kind}, {cells:?}: {gave_way}");
            for (job, answer) in jobs.iter().zip(done) {
                let mut single = engine(&model);
                let expected = single.generate(job.arm, &job.prompts, &job.settings, &mut |_| true).unwrap();
                assert_eq!(answer.unwrap().tokens, expected.tokens, "{kind}, {:?}, {cells:?}", job.arm);
            }
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn the_local_judge_scores_as_in_a_fresh_engine_and_leaves_the_pair() {
    let request =
        JudgeRequest { query: "Hello", draft: "Hello to you.", instruction: PIRATE, dimension: None };
    for kind in KINDS {
        let model = load(kind);
        let template = model.template(None, &Default::default()).unwrap();
        let prompts = prompts(&model, &[], "Hello");
        let sure = settings(1, 0.0, 12);
        let score =
            |engine: &mut Engine| engine.judge(template.as_ref()).score(&request, &|| false).unwrap().score;
        let mut used = engine(&model);
        let draft = used.generate(Arm::Plain, &prompts, &sure, &mut |_| true).unwrap();
        let scores = [score(&mut used), score(&mut used), score(&mut engine(&model))];
        assert!(
            (scores[0] - scores[2]).abs() < 1e-3 && (scores[1] - scores[2]).abs() < 1e-3,
            "{kind}: {scores:?}"
        );
        let answer = generate(&mut used, &prompts, &sure);
        assert_eq!(answer.tokens, generate(&mut engine(&model), &prompts, &sure).tokens, "{kind}");
        assert_ne!(answer.tokens, draft.tokens, "{kind}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_given_text_has_the_same_likelihood_whatever_was_read_before() {
    for kind in KINDS {
        let model = load(kind);
        let prompts = prompts(&model, &[], "Hello");
        let texts = [" Hello to you, and to all.", " No."].map(|text| model.tokenize(text, false).unwrap());
        let rows = |engine: &mut Engine, text: &[Token]| {
            let mut rows: Vec<Vec<f32>> = Vec::new();
            let mut visit = |_: usize, plain: &[f32], instructed: &[f32]| {
                rows.extend([plain.to_vec(), instructed.to_vec()]);
                Ok(())
            };
            engine.continuation(&prompts, text, &mut visit).unwrap();
            rows
        };
        let mut used = engine(&model);
        for text in [&texts[0], &texts[1], &texts[0]] {
            let (found, fresh) = (rows(&mut used, text), rows(&mut engine(&model), text));
            assert_eq!(found.len(), 2 * text.len());
            for (found, fresh) in found.iter().zip(&fresh) {
                assert!(difference(found, fresh) < EXACT, "{kind}");
            }
        }
    }
}
