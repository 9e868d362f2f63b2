//! Answers steered by several instructions, each with its weight, on a real model.

use crate::models::{smollm2, smollm2_f32};
use crate::rows::exact;
use sda::Params;
use sda::branch::Side;
use sda::engine::{
    Answer, Arm, Batch, BatchEvent, BatchSize, Engine, Event, Generation, Job, Prompts, StepRecord,
};
use sda::llama::{ContextOptions, Model, Sampling};
use sda::steer::{Weights, steer_many};
use sda::text::{ChatTemplate, Instruction, PairBuilder};

const QUERY: &str = "What is rain?";
const FIRST: &str = "Answer in rhyme.";
const SECOND: &str = "Use one short sentence.";

fn prompts(model: &Model, instructions: &[(&str, f32)]) -> Prompts {
    let template = model.chat_template().unwrap();
    let template = ChatTemplate::compile(&template, &model.bos_text(), &model.eos_text()).unwrap();
    let builder = PairBuilder { template: Some(&template), query: QUERY, ..PairBuilder::default() };
    let instructions: Vec<Instruction> =
        instructions.iter().map(|&(text, weight)| Instruction { text: text.into(), weight }).collect();
    Prompts::of(&builder.build_many(&instructions).unwrap(), model).unwrap()
}

fn engine(model: &Model, n_singles: usize) -> Engine {
    let options = ContextOptions { n_threads: 2, ..exact(0) };
    Engine::with_singles(model, 256, n_singles, &options).unwrap()
}

fn settings(amplification: f32) -> Generation {
    Generation {
        params: Params { amplification, ..Params::default() },
        sampling: Sampling { seed: 7, ..Sampling::default() },
        n_predict: Some(16),
        ..Generation::default()
    }
}

fn generate(engine: &mut Engine, prompts: &Prompts, settings: &Generation) -> (Answer, Vec<StepRecord>) {
    let mut records = Vec::new();
    let answer = engine
        .generate(Arm::Steered, prompts, settings, &mut |event| {
            if let Event::Token(record) = event {
                records.push(record.clone());
            }
            true
        })
        .unwrap();
    (answer, records)
}

/// The prompts behind one instruction's two are never used, and its rows are those of an engine without them.
#[test]
fn one_instruction_is_answered_as_ever_where_there_is_room_for_more() {
    let model = smollm2();
    let one = prompts(&model, &[(FIRST, 1.0)]);
    assert_eq!((one.singles.len(), &one.weights), (0, &Weights::default()));
    let pair = Prompts::new(one.plain.clone(), one.instructed.clone());
    let options = ContextOptions { n_threads: 2, ..ContextOptions::default() };
    let mut narrow = Engine::new(&model, 256, &options).unwrap();
    let mut wide = Engine::with_singles(&model, 256, 2, &options).unwrap();
    let settings = Generation { trace: true, trace_top: 3, ..settings(0.5) };
    let (answer, records) = generate(&mut narrow, &pair, &settings);
    let (other, others) = generate(&mut wide, &one, &settings);
    assert_eq!((answer.tokens, format!("{records:?}")), (other.tokens, format!("{others:?}")));
    // A weight is a stronger or weaker steering, nothing else.
    let weighted = prompts(&model, &[(FIRST, 2.0)]);
    let (doubled, _) = generate(&mut wide, &weighted, &self::settings(0.25));
    let (strong, _) = generate(&mut narrow, &pair, &self::settings(0.5));
    assert_eq!(doubled.tokens, strong.tokens);
}

/// Each token is the best one of the step as its rows say, and the records are of the branch with all.
#[test]
fn an_answer_follows_the_rows_of_all_branches() {
    let model = smollm2_f32();
    let prompts = prompts(&model, &[(FIRST, 1.0), (SECOND, 0.5)]);
    let mut engine = engine(&model, 2);
    let params = Params { temperature: 0.0, max_kl: 0.5, ..settings(0.5).params };
    let settings = Generation { params, trace: true, trace_top: 2, ..settings(0.5) };
    let (answer, records) = generate(&mut engine, &prompts, &settings);
    assert!(answer.tokens.len() > 4);
    let untempered = Params { temperature: 1.0, sigma: f32::INFINITY, t_min: 0.0, ..params };
    let mut pair = engine.pair().unwrap();
    let [first, second] = &prompts.singles[..] else { panic!("two instructions have two prompts") };
    pair.prefill_many(&prompts.plain, &prompts.instructed, &[first, second], &mut |_, _| true).unwrap();
    let mut row = vec![0.0; model.n_vocab()];
    for record in &records {
        let step = {
            let rows = [Side::Instructed, Side::Plain, Side::Single(0), Side::Single(1)];
            let [instructed, plain, first, second] = rows.map(|side| pair.logits(side).unwrap());
            let others = [&*first, &*second];
            steer_many(&instructed, &plain, &others, &[1.0, 0.5], &untempered, &mut row).unwrap()
        };
        let best = (0..row.len()).reduce(|a, b| if row[b] > row[a] { b } else { a }).unwrap();
        assert_eq!(record.token as usize, best, "step {}", record.step);
        assert!((record.guidance.unwrap() - 1.0 - step.gain).abs() < 1e-3, "step {}", record.step);
        assert!((record.divergence.unwrap() - step.divergence).abs() < 1e-4);
        let top = record.top.as_ref().unwrap();
        let steered = top.steered.as_ref().unwrap();
        assert!((steered[0].logprob - f64::from(row[best])).abs() < 1e-3, "step {}", record.step);
        pair.step(record.token).unwrap();
    }
}

/// A penalty of nothing makes the draw go through llama.cpp's whole chain, with the sampler of the pair.
#[test]
fn the_whole_chain_draws_the_same_tokens_as_the_fast_way() {
    let model = smollm2_f32();
    let prompts = prompts(&model, &[(FIRST, 1.0), (SECOND, -0.5)]);
    assert_eq!((prompts.singles.len(), prompts.weights.instructed), (1, 1.0));
    let mut engine = engine(&model, 1);
    let fast = settings(0.5);
    let mut whole = fast.clone();
    whole.sampling.presence_penalty = 1e-30;
    assert!(!whole.sampling.plan().needs_only_the_best());
    let (fast, _) = generate(&mut engine, &prompts, &fast);
    let (whole, _) = generate(&mut engine, &prompts, &whole);
    assert_eq!(fast.tokens, whole.tokens);
}

#[test]
fn a_negative_weight_leads_away_and_costs_no_further_row() {
    let model = smollm2_f32();
    let avoided = prompts(&model, &[(SECOND, -1.0)]);
    assert_eq!(avoided.plain, avoided.instructed);
    let mut engine = engine(&model, 1);
    let (away, _) = generate(&mut engine, &avoided, &settings(1.0));
    assert_eq!(away.prefill.decoded, avoided.plain.len() + avoided.singles[0].len() - away.prefill.shared);
    // At no strength the plain answer is left.
    let (none, _) = generate(&mut engine, &avoided, &settings(0.0));
    let plain = engine.generate(Arm::Plain, &avoided, &settings(0.0), &mut |_| true).unwrap();
    assert_eq!(none.tokens, plain.tokens);
    assert_ne!(away.tokens, plain.tokens);
}

#[test]
fn many_answers_at_once_are_those_of_single_engines_whatever_the_number_of_instructions() {
    let model = smollm2_f32();
    let settings = settings(0.5);
    let all = [
        prompts(&model, &[(FIRST, 1.0)]),
        prompts(&model, &[(FIRST, 1.0), (SECOND, 1.0)]),
        prompts(&model, &[(FIRST, 1.0), (SECOND, -1.0)]),
        prompts(&model, &[(FIRST, -1.0), (SECOND, -0.5)]),
        prompts(&model, &[(FIRST, 0.3), (SECOND, 0.6), ("Be kind.", 0.9)]),
    ];
    let expected: Vec<Answer> =
        all.iter().map(|prompts| generate(&mut engine(&model, 3), prompts, &settings).0).collect();
    let size = BatchSize { n_pairs: 2, n_ctx: 256, n_singles: 3, cells: None };
    let mut batch = Batch::with_size(&model, &size, &ContextOptions { n_threads: 2, ..exact(0) }).unwrap();
    let job =
        |prompts: &Prompts| Job { prompts: prompts.clone(), settings: settings.clone(), ..Job::default() };
    let mut jobs = all.iter().map(job).enumerate();
    let mut answers = vec![None; all.len()];
    batch
        .run(&mut || jobs.next(), &mut |event| {
            if let BatchEvent::Done { id, answer } = event {
                answers[id] = Some(answer.unwrap());
            }
            true
        })
        .unwrap();
    for (id, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
        assert_eq!(answer.as_ref().unwrap().tokens, expected.tokens, "{id}");
    }
}

#[test]
fn more_instructions_than_there_is_room_for_are_refused_with_both_numbers() {
    let model = smollm2();
    let options = ContextOptions { n_threads: 2, ..ContextOptions::default() };
    let mut engine = Engine::new(&model, 64, &options).unwrap();
    let two = prompts(&model, &[(FIRST, 1.0), (SECOND, 1.0)]);
    let run = |engine: &mut Engine, prompts: &Prompts| {
        engine.generate(Arm::Steered, prompts, &settings(0.5), &mut |_| true).unwrap_err().to_string()
    };
    assert_eq!(
        run(&mut engine, &two),
        "branches of single instructions is 2 (the pair has 0), must be as many as the pair has"
    );
    let uneven = Prompts { weights: Weights::default(), ..two.clone() };
    assert_eq!(run(&mut engine, &uneven), "weights of single instructions holds 0 values, must hold 2");
    let nan = Prompts { weights: Weights { instructed: f32::NAN, singles: vec![1.0; 2] }, ..two };
    assert_eq!(run(&mut engine, &nan), "weights is NaN, must be finite");
    // The instructed answer needs the one prompt with all of them.
    let both = prompts(&model, &[(FIRST, 1.0), (SECOND, 1.0)]);
    engine.generate(Arm::Instructed, &both, &settings(0.0), &mut |_| true).unwrap();
    let refused = |n_singles, n_batch| {
        let options = ContextOptions { n_batch, ..options };
        Engine::with_singles(&model, 64, n_singles, &options).err().unwrap().to_string()
    };
    assert_eq!(refused(9, 64), "n_singles is 9, must be at most 8");
    assert_eq!(
        refused(2, 3),
        "n_batch is 3, must be at least 5, 4 for each answer at once and one for a judge"
    );
    let size = BatchSize { n_pairs: 64, n_ctx: 64, n_singles: 2, cells: Some(256) };
    let error = Batch::with_size(&model, &size, &options).err().unwrap().to_string();
    assert_eq!(error, "n_pairs is 64, must be at least 1 and at most 63, with 4 branches each");
}
