//! Many pairs in step on a toy llama.cpp: every row is that of a run of its own, and a failure is one for
//! all of them or for none.

use proptest::collection::vec;
use proptest::prelude::*;
use sda::Error;
use sda::branch::{Move, Pair, Side, step_many};
use sda::host::{SeqId, Token};
use sda_test_kit::fake_host::{Config, FakeHost, direct};

const SIDES: [Side; 2] = [Side::Plain, Side::Instructed];

fn quiet(_: usize, _: usize) -> bool {
    true
}

/// Pairs in sequences 0 and 1, 2 and 3, ...
fn pairs(host: &FakeHost, n: usize) -> Vec<Pair> {
    (0..n as SeqId).map(|i| Pair::new(host.context(), 2 * i, 2 * i + 1).unwrap()).collect()
}

/// The prompts of one pair, different from those of all others.
fn prompts(i: usize) -> [Vec<Token>; 2] {
    let query = vec![1, 2, 3 + i as Token];
    [query.clone(), [query, vec![20 + i as Token; i + 1]].concat()]
}

fn filled(host: &FakeHost, n: usize) -> Vec<Pair> {
    let mut pairs = pairs(host, n);
    for (i, pair) in pairs.iter_mut().enumerate() {
        let [plain, instructed] = prompts(i);
        pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    }
    pairs
}

/// The same token for no two pairs.
fn moves(pairs: &mut [Pair], from: Token) -> Vec<Move<'_>> {
    pairs.iter_mut().zip(from..).map(|(pair, token)| Move { pair, token, side: None }).collect()
}

fn held(pairs: &[Pair]) -> Vec<[Vec<Token>; 2]> {
    pairs.iter().map(|pair| SIDES.map(|side| pair.tokens(side).to_vec())).collect()
}

#[track_caller]
fn assert_rows(config: Config, pair: &Pair, side: Side) {
    assert!(*pair.logits(side).unwrap() == direct(config, pair.tokens(side)), "{side:?}");
}

#[track_caller]
fn assert_pair(config: Config, pair: &Pair) {
    SIDES.iter().for_each(|&side| assert_rows(config, pair, side));
}

#[test]
fn a_joint_step_is_one_decode_of_two_rows_a_pair() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pairs = filled(&host, 4);
    let (rows, decodes) = (host.rows(), host.state().decodes);
    step_many(&mut moves(&mut pairs, 7)).unwrap();
    assert_eq!((host.rows() - rows, host.state().decodes - decodes), (8, 1));
    for (i, pair) in pairs.iter().enumerate() {
        for side in SIDES {
            assert_eq!(pair.row(side), Some(2 * i as i32 + i32::from(side == Side::Instructed)));
            assert_rows(config, pair, side);
        }
    }
    host.assert_sound();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any of the pairs step together, some in one branch only.
    #[test]
    fn every_row_is_that_of_a_run_of_its_own(
        unified in any::<bool>(),
        window in prop_oneof![Just(None), (2..6i32).prop_map(Some)],
        steps in vec(vec(prop_oneof![
            1 => Just(None),
            3 => (0..4i32, prop_oneof![
                3 => Just(None), 1 => Just(Some(Side::Plain)), 1 => Just(Some(Side::Instructed))
            ]).prop_map(Some),
        ], 4), 1..8),
    ) {
        let config = Config { n_ctx: 4096, unified, window, ..Config::default() };
        let host = FakeHost::new(config);
        let mut pairs = filled(&host, 4);
        for step in steps {
            let mut expected = held(&pairs);
            let mut moves = Vec::new();
            for (i, (pair, chosen)) in pairs.iter_mut().zip(&step).enumerate() {
                let Some((token, side)) = *chosen else { continue };
                moves.push(Move { pair, token, side });
                for (of, tokens) in SIDES.into_iter().zip(&mut expected[i]) {
                    if side.is_none_or(|side| side == of) {
                        tokens.push(token);
                    }
                }
            }
            step_many(&mut moves).unwrap();
            assert_eq!(held(&pairs), expected);
            for (pair, chosen) in pairs.iter().zip(&step) {
                let Some((_, side)) = *chosen else { continue };
                for of in SIDES {
                    if side.is_none_or(|side| side == of) {
                        assert_rows(config, pair, of);
                    } else {
                        assert_eq!(pair.row(of), None);
                    }
                }
            }
        }
        host.assert_sound();
    }
}

#[test]
fn a_newcomer_between_two_steps_disturbs_nobody() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pairs = filled(&host, 3);
    step_many(&mut moves(&mut pairs, 7)).unwrap();
    pairs[1].clear().unwrap();
    pairs[1].prefill(&[9, 9], &[9, 8], &mut quiet).unwrap();
    assert_rows(config, &pairs[1], Side::Instructed);
    step_many(&mut moves(&mut pairs, 4)).unwrap();
    for pair in &pairs {
        assert_pair(config, pair);
    }
    assert_eq!(pairs[1].tokens(Side::Instructed), [9, 8, 5]);
    host.assert_sound();
}

#[test]
fn a_full_context_leaves_all_pairs_as_they_were() {
    // 3 pairs of 3 shared tokens and i + 1 more, of which the last of the plain prompt is not shared.
    let config = Config { n_ctx: 24, ..Config::default() };
    let host = FakeHost::new(config);
    let mut pairs = filled(&host, 3);
    while host.used() + 6 <= 24 {
        step_many(&mut moves(&mut pairs, 7)).unwrap();
    }
    let (before, used) = (held(&pairs), host.used());
    let error = step_many(&mut moves(&mut pairs, 7)).unwrap_err();
    let tokens: usize = before.iter().flatten().map(Vec::len).sum();
    assert_eq!(error, Error::ContextFull { needed: tokens + 6, available: 24 });
    assert_eq!((held(&pairs), host.used()), (before, used));
    // One gives way, and the others go on.
    pairs.pop().unwrap().clear().unwrap();
    step_many(&mut moves(&mut pairs, 5)).unwrap();
    for pair in &pairs {
        assert_pair(config, pair);
    }
    host.assert_sound();
}

#[test]
fn a_pair_at_its_limit_stops_the_step_before_anything_is_decoded() {
    let host = FakeHost::new(Config::default());
    let mut pairs = filled(&host, 3);
    // The longer branch of the last pair holds 6 tokens.
    pairs[2].set_limit(6);
    let (before, decodes) = (held(&pairs), host.state().decodes);
    let error = step_many(&mut moves(&mut pairs, 7)).unwrap_err();
    assert_eq!(error, Error::ContextFull { needed: 7, available: 6 });
    assert_eq!(pairs[2].check_next(None), Err(error));
    assert_eq!(pairs[2].check_next(Some(Side::Plain)), Ok(()));
    assert_eq!((held(&pairs), host.state().decodes), (before, decodes));
    assert!(pairs.iter().all(|pair| pair.row(Side::Plain).is_some()), "their logits are still good");
    let error = pairs[2].prefill(&[1; 7], &[1], &mut quiet).unwrap_err();
    assert_eq!(error, Error::ContextFull { needed: 7, available: 6 });
}

/// llama.cpp keeps what an aborted decode has done: here the rows of some pairs.
#[test]
fn after_another_failure_the_same_step_works() {
    for (recurrent, code) in [(false, 2), (false, -3), (true, -3)] {
        let config = Config { recurrent, ..Config::default() };
        let host = FakeHost::new(config);
        let mut pairs = filled(&host, 4);
        let before = held(&pairs);
        host.fail_next(code);
        let error = step_many(&mut moves(&mut pairs, 7)).unwrap_err();
        match code {
            2 => assert_eq!(error, Error::Cancelled),
            _ => assert_eq!(error, Error::Host { call: "decode", code }),
        }
        assert!(pairs.iter().all(|pair| SIDES.iter().all(|&side| pair.row(side).is_none())));
        if recurrent {
            // Half of the rows were done, and a state cannot be rewound: those two pairs are empty.
            assert_eq!(held(&pairs)[..2], vec![[Vec::<Token>::new(), vec![]]; 2]);
            assert_eq!(held(&pairs)[2..], before[2..]);
            continue;
        }
        assert_eq!(held(&pairs), before);
        step_many(&mut moves(&mut pairs, 7)).unwrap();
        for pair in &pairs {
            assert_pair(config, pair);
        }
        host.assert_sound();
    }
}

#[test]
fn what_cannot_be_one_decode_is_refused() {
    let host = FakeHost::new(Config { n_batch: 7, ..Config::default() });
    let other = FakeHost::new(Config::default());
    let mut pairs = filled(&host, 4);
    let before = held(&pairs);
    let error = step_many(&mut moves(&mut pairs, 7)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "n_batch is 7 (8 rows), must be at least the rows of a joint step, two a pair and one for each single \
         instruction"
    );
    assert_eq!(held(&pairs), before);
    let mut stranger = filled(&other, 1).remove(0);
    let mut both = moves(&mut pairs[..1], 7);
    both.push(Move { pair: &mut stranger, token: 7, side: None });
    assert!(matches!(step_many(&mut both), Err(Error::State { .. })));
    step_many(&mut []).unwrap();
    for pair in pairs.iter().chain([&stranger]) {
        assert!(pair.row(Side::Plain).is_some());
    }
}
