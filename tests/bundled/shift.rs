//! Context shift: an answer that is longer than its context.

use std::sync::OnceLock;

use crate::models::{smollm2, smollm2_f32};
use crate::rows::exact;

use sda::Params;
use sda::engine::{
    Answer, Arm, Batch, BatchEvent, BatchSize, Engine, Event, Finish, Generation, Job, Prompts,
};
use sda::host::Token;
use sda::llama::{Model, Sampling};

pub const N_CTX: usize = 128;
/// Enough for two shifts.
pub const N_TOKENS: usize = 180;

const ARMS: [Arm; 3] = [Arm::Plain, Arm::Instructed, Arm::Steered];

pub fn prompts(model: &Model) -> Prompts {
    let tokens = |text: &str| model.tokenize_prompt(text).unwrap();
    Prompts::new(tokens("The sea is"), tokens("The sea, as a pirate sees it in the morning, is"))
}

pub fn settings(temperature: f32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 0.5, temperature, ..Params::default() },
        sampling: Sampling { seed: 5, ..Sampling::default() },
        ignore_eos: true,
        n_predict: Some(n_predict),
        context_shift: true,
        ..Generation::default()
    }
}

pub fn engine(model: &Model, n_ctx: usize) -> Engine {
    Engine::new(model, n_ctx, &exact(0)).unwrap()
}

fn generate(engine: &mut Engine, arm: Arm, prompts: &Prompts, settings: &Generation) -> Answer {
    engine.generate(arm, prompts, settings, &mut |_| true).unwrap()
}

/// The greedy answer, written in pieces by engines with room enough: each reads the prompts and what is kept of the
/// answer, and writes what fits.
pub fn in_pieces(model: &Model, arm: Arm, n: usize) -> Vec<Token> {
    let prompts = prompts(model);
    let longest = match arm {
        Arm::Plain => prompts.plain.len(),
        _ => prompts.instructed.len(),
    };
    let (mut tokens, mut dropped): (Vec<Token>, usize) = (Vec::new(), 0);
    while tokens.len() < n {
        let kept = &tokens[dropped..];
        // One more than fits: the last one is drawn, and has no place.
        let piece = (N_CTX - longest - kept.len() + 1).min(n - tokens.len());
        let all = |prompt: &[Token]| [prompt, kept].concat();
        let prompts = Prompts::new(all(&prompts.plain), all(&prompts.instructed));
        let more = generate(&mut engine(model, 4 * N_CTX), arm, &prompts, &settings(0.0, piece));
        tokens.extend(more.tokens);
        dropped += (tokens.len() - dropped) / 2;
    }
    tokens
}

/// What [`in_pieces`] writes with SmolLM2.
fn expected(model: &Model) -> &'static [Vec<Token>; 3] {
    static EXPECTED: OnceLock<[Vec<Token>; 3]> = OnceLock::new();
    EXPECTED.get_or_init(|| ARMS.map(|arm| in_pieces(model, arm, N_TOKENS)))
}

#[test]
fn what_is_left_is_read_again_in_all_branches_alike() {
    let model = smollm2_f32();
    for (arm, expected) in ARMS.into_iter().zip(expected(&model)) {
        let mut engine = engine(&model, N_CTX);
        let answer = generate(&mut engine, arm, &prompts(&model), &settings(0.0, N_TOKENS));
        assert_eq!((answer.finish, answer.tokens.len()), (Finish::Length, N_TOKENS), "{arm:?}");
        assert_eq!(&answer.tokens, expected, "{arm:?}");
        // It works no second time in the same way: nothing of the first answer is in the way.
        let again = generate(&mut engine, arm, &prompts(&model), &settings(0.0, N_TOKENS));
        assert_eq!(answer.tokens, again.tokens, "{arm:?}");
    }
}

#[test]
fn without_it_the_answer_ends_where_the_context_is_full() {
    let model = smollm2();
    let mut engine = engine(&model, N_CTX);
    let fixed = Generation { context_shift: false, ..settings(0.8, N_TOKENS) };
    for arm in ARMS {
        let answer = generate(&mut engine, arm, &prompts(&model), &fixed);
        assert_eq!(answer.finish, Finish::ContextFull, "{arm:?}");
        assert!(answer.tokens.len() < N_CTX);
        let shifted = generate(&mut engine, arm, &prompts(&model), &settings(0.8, N_TOKENS));
        assert_eq!(shifted.tokens[..answer.tokens.len()], answer.tokens[..], "{arm:?}: the same until then");
    }
    // A prompt that fills the context leaves no half to let go of.
    let long = model.tokenize_prompt(&"sea ".repeat(200)).unwrap()[..N_CTX].to_vec();
    let full =
        generate(&mut engine, Arm::Steered, &Prompts::new(long.clone(), long), &settings(0.8, N_TOKENS));
    assert_eq!((full.finish, full.tokens.len()), (Finish::ContextFull, 1));
}

#[test]
fn it_can_be_stopped_while_it_reads() {
    let model = smollm2();
    let mut engine = engine(&model, N_CTX);
    let mut tokens = 0;
    let mut on_event = |event: Event| match event {
        Event::Token(_) => {
            tokens += 1;
            true
        }
        Event::Prefill { .. } => tokens == 0,
        Event::Tail(_) => true,
    };
    let answer =
        engine.generate(Arm::Steered, &prompts(&model), &settings(0.8, N_TOKENS), &mut on_event).unwrap();
    assert_eq!(answer.finish, Finish::Cancelled);
    assert_eq!(answer.tokens.len(), tokens);
    assert!(tokens > N_CTX / 2 && tokens <= N_CTX, "{tokens}");
}

/// The answers of a batch, and how often one gave way.
fn batch_answers(model: &Model, n_pairs: usize, cells: Option<usize>) -> (Vec<Answer>, usize) {
    let size = BatchSize { n_pairs, n_ctx: N_CTX, cells, ..BatchSize::default() };
    let mut batch = Batch::with_size(model, &size, &exact(0)).unwrap();
    let job = |arm| Job { arm, prompts: prompts(model), settings: settings(0.0, N_TOKENS), ..Job::default() };
    let mut jobs = ARMS.map(job).into_iter().enumerate();
    let (mut answers, mut gave_way) = ([const { None }; 3], 0);
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Done { id, answer } => answers[id] = Some(answer.unwrap()),
            BatchEvent::GaveWay { .. } => gave_way += 1,
            _ => {}
        }
        true
    };
    batch.run(&mut || jobs.next(), &mut on_event).unwrap();
    (answers.map(|answer| answer.expect("every job is done")).to_vec(), gave_way)
}

#[test]
fn many_answers_shift_each_by_itself_also_after_one_gave_way() {
    let model = smollm2_f32();
    for (n_pairs, cells, gives_way) in [(3, None, false), (3, Some(2 * N_CTX), true)] {
        let (answers, gave_way) = batch_answers(&model, n_pairs, cells);
        assert_eq!(gave_way > 0, gives_way, "{n_pairs} with {cells:?} cells");
        for (answer, expected) in answers.iter().zip(expected(&model)) {
            assert_eq!(answer.finish, Finish::Length);
            // After giving way, an answer goes on from all that it still holds.
            assert_eq!(&answer.tokens, expected, "{n_pairs} with {cells:?} cells");
        }
    }
}
