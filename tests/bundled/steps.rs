//! A batch that is stepped from outside, as by a server: jobs come and go, prompts are read beside running answers, and
//! what was read once is not read again.

use std::collections::HashMap;

use crate::models::{smollm2, smollm2_f32};
use crate::rows::{exact, options};

use sda::engine::{
    Answer, Arm, Batch, BatchEvent, BatchSize, Engine, Finish, Generation, Job, Prompts, SlotPhase,
};
use sda::llama::{Model, Sampling};
use sda::{Error, Params};

fn turn(role: &str, text: &str) -> String {
    format!("<|im_start|>{role}\n{text}<|im_end|>\n")
}

/// Prompts of a conversation, of which only the last query has an instruction.
fn prompts(model: &Model, history: &str, query: &str) -> Prompts {
    let tokens = |instruction: &str| {
        let text =
            format!("{history}{}<|im_start|>assistant\n", turn("user", &format!("{query}{instruction}")));
        model.tokenize_prompt(&text).unwrap()
    };
    Prompts::new(tokens(""), tokens("\n\nAnswer like a pirate."))
}

fn job(arm: Arm, prompts: &Prompts, n_predict: usize, cache_prompt: bool) -> Job {
    let settings = Generation {
        params: Params { amplification: 0.5, temperature: 0.0, ..Params::default() },
        sampling: Sampling::default(),
        n_predict: Some(n_predict),
        ..Generation::default()
    };
    Job { arm, prompts: prompts.clone(), settings, cache_prompt }
}

/// Steps until everything is done; what became of each job.
fn finish(batch: &mut Batch) -> HashMap<usize, Result<Answer, Error>> {
    let mut done = HashMap::new();
    while !batch.is_idle() {
        step(batch, &mut done);
    }
    done
}

/// One step. Returns the ids whose tokens came.
fn step(batch: &mut Batch, done: &mut HashMap<usize, Result<Answer, Error>>) -> Vec<usize> {
    let mut tokens = Vec::new();
    let mut on_event = |event: BatchEvent| {
        match event {
            BatchEvent::Done { id, answer } => {
                assert!(done.insert(id, answer).is_none(), "job {id} is done twice")
            }
            BatchEvent::Token { id, .. } => tokens.push(id),
            _ => {}
        }
        true
    };
    batch.step(&mut on_event).unwrap();
    tokens
}

#[test]
fn one_job_is_cancelled_wherever_it_is_and_no_other() {
    let model = smollm2();
    let prompts = prompts(&model, "", "Tell a very long story about a ship.");
    let mut batch = Batch::new(&model, 2, 256, &options(0)).unwrap();
    for id in 0..4 {
        batch.submit(id, job(Arm::Steered, &prompts, 12, false));
    }
    let mut done = HashMap::new();
    // The prompts have a common beginning and an own end, then come two tokens.
    for _ in 0..3 {
        step(&mut batch, &mut done);
    }
    assert_eq!((batch.n_waiting(), done.len()), (2, 0));
    batch.cancel(3);
    batch.cancel(0);
    batch.cancel(99);
    step(&mut batch, &mut done);
    let cancelled = |id| done[&id].as_ref().map(|answer| (answer.finish, answer.tokens.len())).unwrap();
    assert_eq!((cancelled(3), cancelled(0)), ((Finish::Cancelled, 0), (Finish::Cancelled, 2)));
    let rest = finish(&mut batch);
    let lengths = [1, 2].map(|id| rest[&id].as_ref().unwrap().tokens.len());
    assert_eq!((rest.len(), lengths), (2, [12, 12]));
    assert!(batch.slots().unwrap().iter().all(|slot| (slot.phase, slot.held) == (SlotPhase::Idle, [0, 0])));

    // A refused event cancels its own job.
    batch.submit(7, job(Arm::Plain, &prompts, 12, false));
    batch.submit(8, job(Arm::Plain, &prompts, 12, false));
    let mut finishes = HashMap::new();
    while !batch.is_idle() {
        let mut on_event = |event: BatchEvent| match event {
            BatchEvent::Token { id: 7, record } => record.step < 4,
            BatchEvent::Done { id, answer } => finishes.insert(id, answer.unwrap().finish).is_none(),
            _ => true,
        };
        batch.step(&mut on_event).unwrap();
    }
    assert_eq!((finishes[&7], finishes[&8]), (Finish::Cancelled, Finish::Length));
}

#[test]
fn a_long_prompt_is_read_beside_the_tokens_of_others() {
    let model = smollm2();
    let mut batch = Batch::new(&model, 2, 1024, &options(0)).unwrap();
    assert!(batch.set_max_gap(Some(1.0)).is_err() && batch.set_max_gap(Some(f64::NAN)).is_err());
    batch.set_max_gap(Some(3.0)).unwrap();
    let short = prompts(&model, "", "Tell a very long story about a ship.");
    let long = prompts(&model, &turn("user", &"The wind is cold today. ".repeat(120)), "What is cold?");
    batch.submit(0, job(Arm::Plain, &short, 100, false));
    let mut done = HashMap::new();
    for _ in 0..4 {
        step(&mut batch, &mut done);
    }
    batch.submit(1, job(Arm::Steered, &long, 4, false));
    let mut between = 0;
    while step(&mut batch, &mut done).iter().all(|id| *id == 0) {
        between += 1;
        assert!(between < 1000);
    }
    assert!(between >= 3, "{} tokens were read in {between} steps", long.plain.len());
    let rest = finish(&mut batch);
    let mut engine = Engine::new(&model, 1024, &options(0)).unwrap();
    let alone =
        engine.generate(Arm::Steered, &long, &job(Arm::Steered, &long, 4, false).settings, &mut |_| true);
    let beside = rest.get(&1).or(done.get(&1)).unwrap().as_ref().unwrap();
    assert_eq!(beside.prefill, alone.unwrap().prefill);
}

#[test]
fn a_chat_of_ten_turns_reads_each_turn_once() {
    let model = smollm2();
    let mut batch = Batch::new(&model, 2, 1024, &options(0)).unwrap();
    let (mut history, mut before) = (turn("system", "You are a helpful assistant."), 0);
    for n in 0..10 {
        let prompts = prompts(&model, &history, &format!("What is the number after {n}?"));
        batch.submit(n, job(Arm::Steered, &prompts, 8, true));
        let answer = finish(&mut batch).remove(&n).unwrap().unwrap();
        // The last token of an answer is not in the cache, and the first ones of the next turn are new.
        let own = prompts.instructed.len() - answer.prefill.shared;
        let new = prompts.plain.len() - before;
        assert!(
            answer.prefill.decoded <= new + own + 4,
            "turn {n}: {:?}, {new} new, {own} own",
            answer.prefill
        );
        before = prompts.plain.len() + answer.tokens.len() - 1;
        history += &turn("user", &format!("What is the number after {n}?"));
        history += &turn("assistant", &answer.text);
    }
}

/// Exact floats, so that the tokens can be compared: what was taken over is what reading would have given.
#[test]
fn what_any_slot_holds_of_a_prompt_is_not_read_again() {
    let model = smollm2_f32();
    let context = turn("system", &"Answer well and with care. ".repeat(8));
    let mut batch = Batch::new(&model, 3, 256, &exact(0)).unwrap();
    let cases = [
        (Arm::Steered, "Name three animals.", false),
        (Arm::Steered, "Why is the sky blue?", true),
        // Another arm, whose branch the others have not used.
        (Arm::Instructed, "Why is the sky blue?", true),
        (Arm::Plain, "Name three colours.", true),
    ];
    for (id, (arm, query, reuses)) in cases.into_iter().enumerate() {
        let job = job(arm, &prompts(&model, &context, query), 6, true);
        batch.submit(id, job.clone());
        let answer = finish(&mut batch).remove(&id).unwrap().unwrap();
        let mut engine = Engine::new(&model, 256, &exact(0)).unwrap();
        let alone = engine.generate(job.arm, &job.prompts, &job.settings, &mut |_| true).unwrap();
        assert_eq!(answer.tokens, alone.tokens, "job {id}");
        assert_eq!(answer.prefill.reused > 40, reuses, "job {id}: {:?}", answer.prefill);
        assert!(answer.prefill.decoded + answer.prefill.reused >= job.prompts.plain.len(), "job {id}");
    }
    // Jobs that do not want it read everything, and leave nothing.
    let job = job(Arm::Steered, &prompts(&model, &context, "Name three animals."), 6, false);
    batch.submit(9, job);
    assert_eq!(finish(&mut batch)[&9].as_ref().unwrap().prefill.reused, 0);
}

#[test]
fn an_answer_of_one_token_and_half_a_prompt_leave_what_they_have_read() {
    let model = smollm2();
    let mut batch = Batch::new(&model, 1, 1024, &options(0)).unwrap();
    let prompts = prompts(&model, &turn("user", &"The wind is cold today. ".repeat(120)), "What is cold?");
    batch.submit(0, job(Arm::Plain, &prompts, 1, true));
    let mut done = HashMap::new();
    // 512 rows of more.
    step(&mut batch, &mut done);
    batch.cancel(0);
    assert_eq!(finish(&mut batch)[&0].as_ref().unwrap().finish, Finish::Cancelled);
    let mut reused = |id| {
        batch.submit(id, job(Arm::Plain, &prompts, 1, true));
        finish(&mut batch)[&id].as_ref().unwrap().prefill.reused
    };
    assert_eq!((reused(1), reused(2)), (512, prompts.plain.len() - 1));
}

#[test]
fn cached_prompts_make_way_for_answers_and_for_a_judge() {
    let model = smollm2();
    let size = BatchSize { n_pairs: 3, n_ctx: 128, cells: Some(256), ..BatchSize::default() };
    let mut batch = Batch::with_size(&model, &size, &options(0)).unwrap();
    let held = |batch: &Batch| batch.slots().unwrap().iter().map(|slot| slot.held[0]).sum::<usize>();
    let words = ["Think", "Run", "Sing", "Eat", "Sleep", "Read", "Swim", "Fly"];
    for (id, word) in words.into_iter().enumerate() {
        let query = format!("{} What is {id} and {id}?", format!("{word} well. ").repeat(20));
        batch.submit(id, job(Arm::Plain, &prompts(&model, "", &query), 8, true));
        let finish = finish(&mut batch)[&id].as_ref().unwrap().finish;
        assert!([Finish::Length, Finish::EndOfGeneration].contains(&finish), "{finish:?}");
    }
    assert!(held(&batch) > 128, "{} tokens are kept", held(&batch));
    let judge_prompt = model.tokenize_prompt(&format!("{} Score: ", "Judge well. ".repeat(40))).unwrap();
    batch.score(&judge_prompt, &mut |_, _| true).unwrap();
}
