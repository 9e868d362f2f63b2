//! Sizes of contexts: whatever they are, llama.cpp is not given any that it ends the process for.

use sda::Error;
use sda::engine::{Arm, Batch, BatchSize, Engine, Generation, Job, MAX_N_CTX, MAX_PAIRS, Prompts};
use sda::llama::{ContextOptions, KvCacheType, MAX_CELLS};

use crate::models::smollm2;

fn one_thread() -> ContextOptions {
    ContextOptions { n_threads: 1, ..ContextOptions::default() }
}

/// The field and the message of an error of range.
#[track_caller]
fn refused<T>(made: sda::Result<T>) -> (&'static str, String) {
    match made.map(drop).unwrap_err() {
        error @ Error::Param { field, .. } => (field, error.to_string()),
        other => panic!("{other}"),
    }
}

#[test]
fn sizes_that_llama_cpp_would_end_the_process_for_are_refused_by_their_field() {
    let model = smollm2();
    let engine = |n_ctx, options| refused(Engine::new(&model, n_ctx, &options));
    let (field, message) = engine(1, one_thread());
    assert_eq!((field, &*message), ("n_ctx", "n_ctx is 1, must be at least 2 and at most 1073741696"));
    for n_ctx in [MAX_N_CTX + 1, u32::MAX as usize, usize::MAX] {
        assert_eq!(engine(n_ctx, one_thread()).0, "n_ctx");
    }
    for n_batch in [0, 1, 2, (1 << 20) + 1, u32::MAX] {
        assert_eq!(engine(64, ContextOptions { n_batch, ..one_thread() }).0, "n_batch");
    }
    for n_ubatch in [0, u32::MAX] {
        assert_eq!(engine(64, ContextOptions { n_ubatch, ..one_thread() }).0, "n_ubatch");
    }
    for threads in [513, i32::MAX as u32, u32::MAX] {
        assert_eq!(engine(64, ContextOptions { n_threads: threads, ..one_thread() }).0, "n_threads");
        let options = ContextOptions { n_threads_batch: threads, ..one_thread() };
        assert_eq!(engine(64, options).0, "n_threads_batch");
    }
    let q8 = ContextOptions { flash_attn: Some(false), cache_type_v: KvCacheType::Q8_0, ..one_thread() };
    assert_eq!(engine(64, q8).0, "cache_type_v");

    let batch = |n_pairs, n_ctx, options| refused(Batch::new(&model, n_pairs, n_ctx, &options));
    let (field, message) = batch(4, 64, ContextOptions { n_batch: 8, ..one_thread() });
    assert_eq!(field, "n_batch");
    assert!(message.starts_with("n_batch is 8, must be at least 9"), "{message}");
    for n_pairs in [0, MAX_PAIRS + 1, usize::MAX] {
        assert_eq!(batch(n_pairs, 64, one_thread()).0, "n_pairs");
    }
    assert_eq!(batch(2, MAX_N_CTX, one_thread()).0, "n_ctx");
    let sized = |size: BatchSize| refused(Batch::with_size(&model, &size, &one_thread()));
    for cells in [0, 127, MAX_CELLS as usize + 1, usize::MAX] {
        let size = BatchSize { n_pairs: 2, n_ctx: 64, cells: Some(cells), ..BatchSize::default() };
        assert_eq!(sized(size).0, "cells", "{cells}");
    }
    let size = BatchSize { n_pairs: 64, n_ctx: 2, cells: Some(128), ..BatchSize::default() };
    assert_eq!(sized(size).0, "cells", "one a sequence");
    for n_singles in [9, usize::MAX] {
        assert_eq!(sized(BatchSize { n_singles, ..BatchSize::default() }).0, "n_singles");
    }
    let size = BatchSize { n_pairs: 64, n_singles: 2, n_ctx: 64, ..BatchSize::default() };
    assert!(sized(size).1.contains("n_pairs is 64, must be at least 1 and at most 63, with 4 branches each"));
    let options = ContextOptions { n_batch: 4, ..one_thread() };
    let message = refused(Engine::with_singles(&model, 64, 2, &options)).1;
    assert!(message.starts_with("n_batch is 4, must be at least 5"), "{message}");
    for (n_seq_max, field) in [(0, "n_seq_max"), (257, "n_seq_max"), (200, "n_ctx")] {
        let options = ContextOptions { n_ctx: 128, n_seq_max, ..one_thread() };
        assert_eq!(refused(model.new_context(&options)).0, field);
    }
}

#[test]
fn the_smallest_and_the_largest_sizes_work_with_every_sequence_and_the_judges() {
    let model = smollm2();
    let prompts = Prompts::new(vec![28, 253], vec![28, 260]);
    let settings = Generation { n_predict: Some(2), ..Generation::default() };
    let small = ContextOptions { n_batch: 3, n_ubatch: 1, ..one_thread() };
    let large = ContextOptions { n_batch: 1 << 20, n_ubatch: 1 << 20, ..one_thread() };
    for (n_ctx, options) in [(2, small), (4, small), (64, large), (4, large)] {
        let mut engine = Engine::new(&model, n_ctx, &options).unwrap();
        let answer = engine.generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap();
        assert!(!answer.tokens.is_empty());
        assert!(engine.score(&[28, 253], &mut |_, _| true).is_ok());
    }
    let options = ContextOptions { n_batch: 2 * MAX_PAIRS as u32 + 1, ..one_thread() };
    let mut batch = Batch::new(&model, MAX_PAIRS, 4, &options).unwrap();
    let mut jobs = (0..MAX_PAIRS + 3).map(|id| {
        (
            id,
            Job { arm: Arm::Steered, prompts: prompts.clone(), settings: settings.clone(), ..Job::default() },
        )
    });
    let mut done = 0;
    batch
        .run(&mut || jobs.next(), &mut |event| {
            if let sda::engine::BatchEvent::Done { answer, .. } = event {
                done += usize::from(answer.is_ok());
            }
            true
        })
        .unwrap();
    assert_eq!(done, MAX_PAIRS + 3);
    assert!(batch.score(&[28, 253], &mut |_, _| true).is_ok());
}

#[test]
fn a_penalty_looks_back_on_the_whole_context_without_room_for_more() {
    let model = smollm2();
    let prompts = Prompts::new(vec![28], vec![28, 253]);
    let mut engine = Engine::new(&model, 32, &one_thread()).unwrap();
    let mut text = |repeat_last_n| {
        let mut settings = Generation { n_predict: Some(8), ..Generation::default() };
        settings.sampling.repeat_last_n = repeat_last_n;
        settings.sampling.repeat_penalty = 1.5;
        engine.generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap().text
    };
    assert_eq!(text(i32::MAX), text(-1));
}
