//! Pairs with several instructions on a toy llama.cpp: one branch for each beside the two, in the same decode.

use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use sda::branch::{Move, Pair, Prefill, Side, step_many};
use sda::host::{SeqId, Token};
use sda::sampler::{Sampler, Source, steer_pair};
use sda::steer::{Weights, steer_many};
use sda::{Error, Params};
use sda_test_kit::fake_host::{Config, FakeHost, candidates, direct};

fn quiet(_: usize, _: usize) -> bool {
    true
}

/// A pair in the sequences from 0 on, with room for some single instructions.
fn pair(host: &FakeHost, n_singles: SeqId) -> Pair {
    let singles: Vec<SeqId> = (2..2 + n_singles).collect();
    Pair::with_singles(host.context(), 0, 1, &singles).unwrap()
}

fn prefill(pair: &mut Pair, prompts: &[Vec<Token>]) -> sda::Result<Prefill> {
    let singles: Vec<&[Token]> = prompts[2..].iter().map(Vec::as_slice).collect();
    pair.prefill_many(&prompts[0], &prompts[1], &singles, &mut quiet)
}

fn sides(n_singles: usize) -> Vec<Side> {
    [Side::Plain, Side::Instructed].into_iter().chain((0..n_singles).map(Side::Single)).collect()
}

#[track_caller]
fn assert_direct(config: Config, host: &FakeHost, pair: &Pair, prompts: &[Vec<Token>]) {
    assert_eq!(pair.n_singles(), prompts.len() - 2);
    for (side, prompt) in sides(prompts.len() - 2).into_iter().zip(prompts) {
        assert_eq!(pair.tokens(side), prompt, "{side:?}");
        assert!(*pair.logits(side).unwrap() == direct(config, prompt), "logits of {side:?} {prompt:?}");
    }
    host.assert_sound();
}

/// The prompts of a query with two instructions: plain, both, one, the other.
fn prompts() -> Vec<Vec<Token>> {
    vec![vec![1, 2, 3, 9], vec![1, 2, 3, 4, 5, 9], vec![1, 2, 3, 4, 9], vec![1, 2, 3, 5, 9]]
}

fn with(prompts: &[Vec<Token>], token: Token) -> Vec<Vec<Token>> {
    prompts.iter().map(|prompt| [&prompt[..], &[token]].concat()).collect()
}

#[test]
fn the_common_beginning_is_decoded_once_and_a_step_is_one_decode() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host, 2);
    let prompts = prompts();
    let cost = prefill(&mut pair, &prompts).unwrap();
    assert_eq!(cost, Prefill { shared: 3, decoded: 3 + 1 + 3 + 2 + 2, reused: 0 });
    assert_eq!((host.rows(), host.used()), (11, 11));
    assert_direct(config, &host, &pair, &prompts);
    let (rows, decodes) = (host.rows(), host.state().decodes);
    pair.step(7).unwrap();
    assert_eq!((host.rows() - rows, host.state().decodes - decodes), (4, 1));
    assert_eq!(sides(2).into_iter().map(|side| pair.row(side)).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    assert_direct(config, &host, &pair, &with(&prompts, 7));
    // The next turn reads what is new.
    let next: Vec<Vec<Token>> = with(&with(&prompts, 7), 6);
    let cost = prefill(&mut pair, &next).unwrap();
    assert_eq!((cost.decoded, cost.reused), (4, 7));
    assert_direct(config, &host, &pair, &next);
}

#[test]
fn an_instructed_prompt_that_is_the_plain_one_costs_no_branch() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host, 2);
    let prompts = vec![vec![1, 2, 3, 9], vec![1, 2, 3, 9], vec![1, 2, 3, 4, 9]];
    let cost = prefill(&mut pair, &prompts).unwrap();
    assert_eq!((cost.decoded, host.rows()), (3 + 1 + 2, 6));
    assert_direct(config, &host, &pair, &prompts);
    assert_eq!((pair.row(Side::Instructed), pair.seq(Side::Instructed)), (pair.row(Side::Plain), 0));
    pair.step(7).unwrap();
    assert_eq!(host.rows(), 8);
    assert_direct(config, &host, &pair, &with(&prompts, 7));
    // A draft, and then the same prompts again: both sides are one sequence as before.
    pair.prefill_one(Side::Plain, &prompts[0], &mut quiet).unwrap();
    pair.step_one(Side::Plain, 5).unwrap();
    prefill(&mut pair, &prompts).unwrap();
    assert_direct(config, &host, &pair, &prompts);
    // The instructed branch alone is a sequence of its own.
    pair.prefill_one(Side::Instructed, &prompts[0], &mut quiet).unwrap();
    pair.step_one(Side::Instructed, 5).unwrap();
    assert_eq!(pair.tokens(Side::Instructed), [1, 2, 3, 9, 5]);
    assert_eq!((pair.tokens(Side::Plain), pair.seq(Side::Instructed)), (&prompts[0][..], 1));
    // Without a single instruction two equal prompts are two branches, as ever.
    pair.prefill(&[1, 2], &[1, 2], &mut quiet).unwrap();
    pair.step(7).unwrap();
    assert_eq!((pair.row(Side::Plain), pair.row(Side::Instructed)), (Some(0), Some(1)));
    host.assert_sound();
}

#[test]
fn branches_that_the_prompts_do_not_use_are_emptied() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host, 3);
    let all = prompts();
    prefill(&mut pair, &all).unwrap();
    pair.step(7).unwrap();
    let fewer = &all[..3];
    prefill(&mut pair, fewer).unwrap();
    assert_direct(config, &host, &pair, fewer);
    assert!(pair.tokens(Side::Single(1)).is_empty() && pair.row(Side::Single(1)).is_none());
    assert!(matches!(pair.logits(Side::Single(2)), Err(Error::State { .. })));
    pair.prefill(&all[0], &all[1], &mut quiet).unwrap();
    let rows = host.rows();
    pair.step(7).unwrap();
    assert_eq!((host.rows() - rows, pair.n_singles(), pair.max_singles()), (2, 0, 3));
    pair.clear().unwrap();
    assert_eq!(host.used(), 0);
    host.assert_sound();
}

#[test]
fn a_draft_leaves_the_single_instructions_to_the_next_reading() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host, 2);
    let prompts = prompts();
    prefill(&mut pair, &prompts).unwrap();
    pair.prefill_one(Side::Plain, &prompts[0], &mut quiet).unwrap();
    pair.step_one(Side::Plain, 8).unwrap();
    let rows = host.rows();
    prefill(&mut pair, &prompts).unwrap();
    assert_eq!(host.rows() - rows, 4, "only the last token of each");
    assert_direct(config, &host, &pair, &prompts);
}

#[test]
fn a_fork_takes_all_branches_along() {
    for unified in [true, false] {
        let config = Config { unified, n_seq_max: 10, ..Config::default() };
        let host = FakeHost::new(config);
        let mut first = pair(&host, 3);
        let prompts = prompts();
        prefill(&mut first, &prompts).unwrap();
        let few = first.fork(5, 6).err().unwrap().to_string();
        assert_eq!(few, "single instructions is 0, must be at least as many as the first pair has in use");
        assert!(matches!(first.fork_with_singles(5, 6, &[7, 4]), Err(Error::Param { .. })));
        let mut second = first.fork_with_singles(5, 6, &[7, 8]).unwrap();
        assert_direct(config, &host, &second, &prompts);
        first.step(3).unwrap();
        assert_direct(config, &host, &first, &with(&prompts, 3));
        second.step(4).unwrap();
        assert_direct(config, &host, &second, &with(&prompts, 4));
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers() {
    let host = FakeHost::new(Config { n_ctx: 11, n_batch: 64, ..Config::default() });
    let mut small = pair(&host, 1);
    let all = prompts();
    let error = prefill(&mut small, &all).unwrap_err();
    assert_eq!(
        error.to_string(),
        "branches of single instructions is 2 (the pair has 1), must be as many as the pair has"
    );
    drop(small);
    let mut pair = pair(&host, 2);
    prefill(&mut pair, &all).unwrap();
    assert_eq!(pair.step(7), Err(Error::ContextFull { needed: 4 + 6 + 5 + 5 + 4, available: 11 }));
    let longer = with(&all, 7);
    assert_eq!(prefill(&mut pair, &longer), Err(Error::ContextFull { needed: 15, available: 11 }));
    let empty = [&all[..3], &[vec![]]].concat();
    assert_eq!(
        prefill(&mut pair, &empty).unwrap_err().to_string(),
        "prompt cannot be used: the single instruction's prompt holds 0 tokens, must hold at least 1"
    );
    let narrow = FakeHost::new(Config { n_batch: 3, ..Config::default() });
    let mut pair = self::pair(&narrow, 2);
    let error = prefill(&mut pair, &all).unwrap_err();
    assert_eq!(error.to_string(), "n_batch is 3, must be at least one for each branch of a pair");
    for singles in [&[1][..], &[0], &[2, 2], &[8], &[-1]] {
        let made = Pair::with_singles(host.context(), 0, 1, singles);
        assert!(matches!(made, Err(Error::Param { field: "single_seq", .. })), "{singles:?}");
    }
}

#[test]
fn pairs_with_and_without_single_instructions_step_together() {
    let config = Config { n_seq_max: 16, ..Config::default() };
    let host = FakeHost::new(config);
    let mut two = Pair::new(host.context(), 8, 9).unwrap();
    let mut many = pair(&host, 2);
    let prompts = prompts();
    prefill(&mut many, &prompts).unwrap();
    two.prefill(&prompts[0], &prompts[1], &mut quiet).unwrap();
    let rows = host.rows();
    let moves =
        &mut [Move { pair: &mut many, token: 7, side: None }, Move { pair: &mut two, token: 8, side: None }];
    step_many(moves).unwrap();
    assert_eq!(host.rows() - rows, 6);
    assert_direct(config, &host, &many, &with(&prompts, 7));
    assert_direct(config, &host, &two, &with(&prompts[..2], 8));
    // A failure leaves both as they were.
    host.fail_next(-3);
    let moves =
        &mut [Move { pair: &mut two, token: 7, side: None }, Move { pair: &mut many, token: 8, side: None }];
    step_many(moves).unwrap_err();
    let moves =
        &mut [Move { pair: &mut many, token: 1, side: None }, Move { pair: &mut two, token: 1, side: None }];
    step_many(moves).unwrap();
    assert_direct(config, &host, &many, &with(&with(&prompts, 7), 1));
    assert_direct(config, &host, &two, &with(&with(&prompts[..2], 8), 1));
}

fn tokens(most: usize) -> impl Strategy<Value = Vec<Token>> {
    // Few different tokens, so that prefixes agree by chance as well.
    vec(0..3i32, 0..most)
}

fn config() -> impl Strategy<Value = Config> {
    let memory = prop_oneof![
        3 => Just((None, false, true)),
        2 => (2..9i32).prop_map(|w| (Some(w), false, true)),
        1 => Just((None, true, true)),
        1 => any::<bool>().prop_map(|recurrent| (None, recurrent, false)),
    ];
    (memory, any::<bool>(), 6..20usize).prop_map(|((window, recurrent, tells_pos_min), unified, n_batch)| {
        Config { n_ctx: 8192, n_batch, unified, window, recurrent, tells_pos_min, ..Config::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each turn keeps a part of what each branch holds, adds some tokens for all and some for each, and
    /// steps a few times.
    #[test]
    fn any_turns_with_any_number_of_instructions_give_the_logits_of_separate_runs(
        config in config(),
        turns in vec((vec((0.0..1.3f64, tokens(4)), 2..6), tokens(8), any::<bool>(), tokens(4)), 1..6),
    ) {
        let host = FakeHost::new(config);
        let mut pair = pair(&host, 3);
        let mut held: Vec<Vec<Token>> = vec![Vec::new(); 5];
        for (own, both, same, steps) in turns {
            let first = held[0].clone();
            let mut prompts: Vec<Vec<Token>> = own.iter().zip(&held).map(|((keep, own), held)| {
                let from = if same { &first } else { held };
                let kept = ((from.len() as f64 * keep) as usize).min(from.len());
                [&from[..kept], &both, own, &[1]].concat()
            }).collect();
            if prompts.len() > 2 && both.len() == 3 {
                prompts[1] = prompts[0].clone();
            }
            let before = host.rows();
            let cost = prefill(&mut pair, &prompts).unwrap();
            prop_assert_eq!(cost.decoded, host.rows() - before);
            assert_direct(config, &host, &pair, &prompts);
            let is_merged = prompts.len() > 2 && prompts[0] == prompts[1];
            for token in steps {
                let before = host.rows();
                pair.step(token).unwrap();
                prompts = with(&prompts, token);
                prop_assert_eq!(host.rows() - before, prompts.len() - usize::from(is_merged));
                assert_direct(config, &host, &pair, &prompts);
            }
            held[..prompts.len()].clone_from_slice(&prompts);
        }
    }
}

fn weights(instructed: f32, singles: &[f32]) -> Weights {
    Weights { instructed, singles: singles.to_vec() }
}

#[test]
fn a_sampler_steers_by_the_rows_of_all_branches() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host, 2);
    let prompts = prompts();
    prefill(&mut pair, &prompts).unwrap();
    let rows: Vec<Vec<f32>> = prompts.iter().map(|prompt| direct(config, prompt)).collect();
    let params = Params { amplification: 0.5, max_kl: 0.5, ..Params::default() };
    let pair = Arc::new(Mutex::new(pair));
    let mut sampler = Sampler::new(params, Source::Paired(Arc::clone(&pair))).unwrap();
    let mut data = candidates(&rows[1]);
    let error = sampler.apply(&mut data).unwrap_err();
    assert!(error.to_string().contains("weights of 0 single instructions"), "{error}");
    for (own, singles) in [(0.0, [1.0, 0.5]), (0.7, [-1.0, 0.25])] {
        let set = weights(own, &singles);
        sampler.set_weights(set.clone()).unwrap();
        let mut fork = sampler.fork().unwrap();
        let mut data = candidates(&rows[1]);
        let step = sampler.apply(&mut data).unwrap();
        let mut expected = vec![0.0; 48];
        let others = [&rows[2][..], &rows[3], &rows[1]];
        let of_all = [singles[0], singles[1], own];
        let wanted = steer_many(&rows[1], &rows[0], &others, &of_all, &params, &mut expected).unwrap();
        assert_eq!(step, wanted);
        assert_eq!(data.iter().map(|c| c.logit).collect::<Vec<_>>(), expected);
        let mut row = vec![0.0; 48];
        assert_eq!(steer_pair(&pair.lock().unwrap(), &set, &params, &mut row), Ok(wanted));
        assert_eq!(row, expected);
        let mut data = candidates(&rows[1]);
        fork.apply(&mut data).unwrap();
        assert_eq!(data.iter().map(|c| c.logit).collect::<Vec<_>>(), expected, "a fork keeps the weights");
        // The greedy row has the same best token.
        sampler.set_params(Params { temperature: 0.0, ..params }).unwrap();
        let mut data = candidates(&rows[1]);
        sampler.apply(&mut data).unwrap();
        let best = |row: &[f32]| (0..48).reduce(|a, b| if row[b] > row[a] { b } else { a }).unwrap();
        let greedy: Vec<f32> = data.iter().map(|c| c.logit).collect();
        assert_eq!(best(&greedy), best(&expected));
        sampler.set_params(params).unwrap();
    }
}

#[test]
fn weights_that_no_branch_can_have_are_refused() {
    let mut sampler = Sampler::given(Params::default(), 4).unwrap();
    let error = sampler.set_weights(weights(0.0, &[1.0])).unwrap_err();
    assert!(matches!(error, Error::State { .. }), "{error}");
    for bad in [weights(f32::NAN, &[]), weights(0.0, &[f32::INFINITY]), weights(0.0, &[1.0; 9])] {
        assert!(matches!(sampler.set_weights(bad), Err(Error::Param { .. })));
    }
    // The only instruction may have another weight in any sampler.
    sampler.set_weights(weights(2.0, &[])).unwrap();
    sampler.set_plain_logits(&[0.0, 1.0, 0.0, 0.0]).unwrap();
    let mut data = candidates(&[1.0, 0.0, 0.5, 0.0]);
    let params = Params { amplification: 0.25, ..Params::default() };
    sampler.set_params(params).unwrap();
    sampler.apply(&mut data).unwrap();
    let mut twice = Sampler::given(Params { amplification: 0.5, ..params }, 4).unwrap();
    twice.set_plain_logits(&[0.0, 1.0, 0.0, 0.0]).unwrap();
    let mut expected = candidates(&[1.0, 0.0, 0.5, 0.0]);
    twice.apply(&mut expected).unwrap();
    assert_eq!(
        data.iter().map(|c| c.logit).collect::<Vec<_>>(),
        expected.iter().map(|c| c.logit).collect::<Vec<_>>()
    );
}

#[test]
fn a_continuation_is_refused_with_single_instructions() {
    let host = FakeHost::new(Config::default());
    let mut pair = pair(&host, 2);
    prefill(&mut pair, &prompts()).unwrap();
    assert!(matches!(pair.continuation(&[1, 2], &mut |_, _, _| Ok(())), Err(Error::State { .. })));
}
