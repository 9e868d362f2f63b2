//! The prompt pair on a toy llama.cpp: its logits are those of two runs of their own, and what is decoded
//! for them is counted.

use proptest::collection::vec;
use proptest::prelude::*;
use sda::Error;
use sda::branch::{Pair, Prefill, Side};
use sda::host::Token;
use sda_test_kit::fake_host::{Config, FakeHost, direct};

const SIDES: [Side; 2] = [Side::Plain, Side::Instructed];

fn quiet(_: usize, _: usize) -> bool {
    true
}

fn pair(host: &FakeHost) -> Pair {
    Pair::new(host.context(), 0, 1).unwrap()
}

#[track_caller]
fn assert_direct(config: Config, host: &FakeHost, pair: &Pair, prompts: [&[Token]; 2]) {
    for (side, prompt) in SIDES.into_iter().zip(prompts) {
        assert_eq!(pair.tokens(side), prompt, "{side:?}");
        assert!(*pair.logits(side).unwrap() == direct(config, prompt), "logits of {side:?} {prompt:?}");
    }
    host.assert_sound();
}

fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Rows that a prefill of a full-attention, unified cache has to decode.
fn rows_needed(old: [&[Token]; 2], new: [&[Token]; 2]) -> usize {
    let kept = |i: usize| common_prefix(old[i], new[i]).min(new[i].len() - 1);
    let shared = common_prefix(new[0], new[1]).min(new[0].len() - 1).min(new[1].len() - 1);
    shared.saturating_sub(kept(0).max(kept(1)))
        + (new[0].len() - kept(0).max(shared))
        + (new[1].len() - kept(1).max(shared))
}

#[derive(Clone, Debug)]
enum Edit {
    /// Read two prompts: how much of the old ones stays, what both get, what each gets.
    Prefill {
        keep: [f64; 2],
        same: bool,
        both: Vec<Token>,
        own: [Vec<Token>; 2],
    },
    /// Read one prompt only, from the tokens that a branch has, and some more.
    One {
        plain: bool,
        keep: f64,
        more: Vec<Token>,
    },
    Step(Token),
    StepOne(bool, Token),
    Clear,
}

fn tokens(most: usize) -> impl Strategy<Value = Vec<Token>> {
    // Few different tokens, so that prefixes agree by chance as well.
    vec(0..3i32, 0..most)
}

fn edit() -> impl Strategy<Value = Edit> {
    let keep = || prop_oneof![Just(1.0), 0.0..1.0];
    prop_oneof![
        6 => ((keep(), keep()), any::<bool>(), tokens(12), (tokens(6), tokens(6))).prop_map(
            |(keep, same, both, own)| Edit::Prefill { keep: keep.into(), same, both, own: own.into() }
        ),
        1 => (any::<bool>(), keep(), tokens(12))
            .prop_map(|(plain, keep, more)| Edit::One { plain, keep, more }),
        6 => (0..3i32).prop_map(Edit::Step),
        1 => (any::<bool>(), 0..3i32).prop_map(|(plain, token)| Edit::StepOne(plain, token)),
        1 => Just(Edit::Clear),
    ]
}

fn beginning(tokens: &[Token], share: f64) -> Vec<Token> {
    tokens[..(tokens.len() as f64 * share).round() as usize].to_vec()
}

fn config() -> impl Strategy<Value = Config> {
    let memory = prop_oneof![
        3 => Just((None, false, true)),
        2 => (2..9i32).prop_map(|w| (Some(w), false, true)),
        1 => Just((None, true, true)),
        1 => any::<bool>().prop_map(|recurrent| (None, recurrent, false)),
    ];
    (memory, any::<bool>(), 2..20usize).prop_map(|((window, recurrent, tells_pos_min), unified, n_batch)| {
        Config { n_ctx: 4096, n_batch, unified, window, recurrent, tells_pos_min, ..Config::default() }
    })
}

fn run(config: Config, edits: &[Edit]) {
    let host = FakeHost::new(config);
    let mut pair = pair(&host);
    for edit in edits {
        let old = SIDES.map(|side| pair.tokens(side).to_vec());
        let before = host.rows();
        let mut logits = [true; 2];
        match edit {
            Edit::Prefill { keep, same, both, own } => {
                // Both may go on from the same old branch: then they share what that branch holds.
                let from = [&old[0], if *same { &old[0] } else { &old[1] }];
                let new = [0, 1].map(|i| {
                    let mut new = beginning(from[i], keep[if *same { 0 } else { i }]);
                    new.extend(both.iter().chain(&own[i]).chain(&[1]));
                    new
                });
                let cost = pair.prefill(&new[0], &new[1], &mut quiet).unwrap();
                let decoded = host.rows() - before;
                assert_eq!(cost.decoded, decoded);
                let longest = new[0].len().max(new[1].len());
                assert!(cost.reused < longest && cost.shared < longest, "{cost:?}");
                assert!(decoded <= new[0].len() + new[1].len() - cost.shared, "{cost:?}");
                if config.unified && config.window.is_none() && !config.recurrent && config.tells_pos_min {
                    let old = [&old[0][..], &old[1]];
                    assert_eq!(decoded, rows_needed(old, [&new[0], &new[1]]));
                }
                if cost.reused == 0 {
                    assert_eq!(decoded, new[0].len() + new[1].len() - cost.shared, "{cost:?}");
                }
            }
            Edit::One { plain, keep, more } => {
                let side = if *plain { Side::Plain } else { Side::Instructed };
                let mut new = beginning(&old[usize::from(!plain)], *keep);
                new.extend(more.iter().chain(&[2]));
                let cost = pair.prefill_one(side, &new, &mut quiet).unwrap();
                assert_eq!(cost.decoded, host.rows() - before);
                assert_eq!(cost.decoded + cost.reused, new.len());
                logits = [*plain, !plain];
            }
            Edit::Step(token) => {
                pair.step(*token).unwrap();
                assert_eq!(host.rows() - before, 2);
            }
            Edit::StepOne(plain, token) => {
                pair.step_one(if *plain { Side::Plain } else { Side::Instructed }, *token).unwrap();
                logits = [*plain, !plain];
            }
            Edit::Clear => {
                pair.clear().unwrap();
                assert_eq!(host.used(), 0);
                logits = [false; 2];
            }
        }
        for (side, has_logits) in SIDES.into_iter().zip(logits) {
            assert_eq!(pair.row(side).is_some(), has_logits, "{side:?} after {edit:?}");
            if has_logits {
                let expected = direct(config, pair.tokens(side));
                assert!(*pair.logits(side).unwrap() == expected, "logits of {side:?} after {edit:?}");
            }
        }
        host.assert_sound();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_turns_gives_the_logits_of_separate_runs(config in config(), edits in vec(edit(), 1..12)) {
        run(config, &edits);
    }
}

#[test]
fn the_common_part_is_decoded_and_kept_once() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host);
    let (plain, instructed) = ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9, 8, 7]);
    let cost = pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    assert_eq!(cost, Prefill { shared: 4, decoded: 9, reused: 0 });
    assert_eq!((host.rows(), host.used()), (9, 9));
    assert_direct(config, &host, &pair, [&plain, &instructed]);
}

#[test]
fn separate_kv_buffers_share_the_work_but_not_the_cells() {
    let config = Config { unified: false, ..Config::default() };
    let host = FakeHost::new(config);
    let mut pair = pair(&host);
    let (plain, instructed) = ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9, 8, 7]);
    pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    assert_eq!((host.rows(), host.used()), (9, 13));
    assert_direct(config, &host, &pair, [&plain, &instructed]);
    // The next turn cannot take over a part, and says so.
    let (plain, instructed) = ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 9]);
    let cost = pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    assert_eq!(cost, Prefill { shared: 6, decoded: 9, reused: 0 });
    assert_direct(config, &host, &pair, [&plain, &instructed]);
}

/// The plain branch goes on where it was, so its cache holds the last few positions only; the instructed
/// prompt now begins like the plain one, whose early cells it would need.
#[test]
fn cells_that_the_window_or_the_state_has_left_are_not_shared() {
    for (window, recurrent, tells_pos_min) in
        [(Some(4), false, true), (None, true, true), (None, true, false)]
    {
        let config = Config { window, recurrent, tells_pos_min, ..Config::default() };
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        let long: Vec<Token> = (0..20).collect();
        pair.prefill(&long, &[30, 31, 32], &mut quiet).unwrap();
        let plain = [&long[..], &[5]].concat();
        let instructed = [&long[..12], &[33]].concat();
        pair.prefill(&plain, &instructed, &mut quiet).unwrap();
        assert_direct(config, &host, &pair, [&plain, &instructed]);
    }
}

#[test]
fn a_draft_is_rewound_and_a_window_that_has_moved_on_is_read_anew() {
    for (window, recurrent) in [(None, false), (Some(4), false), (None, true)] {
        let config = Config { window, recurrent, ..Config::default() };
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        let plain: Vec<Token> = (0..12).collect();
        pair.prefill_one(Side::Plain, &plain, &mut quiet).unwrap();
        for token in 0..6 {
            pair.step_one(Side::Plain, token).unwrap();
        }
        let instructed = [&plain[..8], &[40, 41, 42]].concat();
        pair.prefill(&plain, &instructed, &mut quiet).unwrap();
        assert_direct(config, &host, &pair, [&plain, &instructed]);
    }
}

#[test]
fn a_full_context_is_an_error_at_every_size_and_no_cell_too_early() {
    let (plain, instructed) = (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 9, 8, 7]);
    // 3 shared + 2 + 3, then two cells for each step.
    for n_ctx in 1..20 {
        let host = FakeHost::new(Config { n_ctx, ..Config::default() });
        let mut pair = pair(&host);
        let prefill = pair.prefill(&plain, &instructed, &mut quiet);
        if n_ctx < 8 {
            assert_eq!(prefill, Err(Error::ContextFull { needed: 8, available: n_ctx }));
            assert_eq!((host.used(), pair.tokens(Side::Plain)), (0, &[][..]));
            continue;
        }
        prefill.unwrap();
        let room = (n_ctx - 8) / 2;
        for token in 0..room {
            pair.step(token as Token).unwrap();
        }
        let used = host.used();
        assert!(matches!(pair.step(0), Err(Error::ContextFull { available, .. }) if available == n_ctx));
        assert_eq!(host.used(), used);
        assert_eq!(pair.tokens(Side::Plain).len(), 5 + room);
        assert!(matches!(pair.logits(Side::Plain), Err(Error::State { .. })));
    }
}

#[test]
fn one_sequence_is_limited_to_its_own_cells() {
    let config = Config { unified: false, n_ctx: 64, n_seq_max: 8, ..Config::default() };
    let host = FakeHost::new(config);
    let mut pair = pair(&host);
    let error = pair.prefill(&[1; 9], &[1, 2], &mut quiet).unwrap_err();
    assert_eq!(error, Error::ContextFull { needed: 9, available: 8 });
    pair.prefill(&[1; 8], &[1, 2], &mut quiet).unwrap();
    assert_eq!(pair.step(3), Err(Error::ContextFull { needed: 9, available: 8 }));
    host.assert_sound();
}

#[test]
fn empty_prompts_and_bad_sequences_are_refused() {
    let host = FakeHost::new(Config::default());
    let mut pair = pair(&host);
    for (plain, instructed) in [(&[][..], &[1][..]), (&[1], &[])] {
        assert!(matches!(pair.prefill(plain, instructed, &mut quiet), Err(Error::Prompt { .. })));
    }
    assert!(matches!(pair.prefill_one(Side::Plain, &[], &mut quiet), Err(Error::Prompt { .. })));
    for (plain, instructed) in [(0, 0), (-1, 0), (0, -1), (8, 0), (0, 8)] {
        let made = Pair::new(host.context(), plain, instructed);
        assert!(matches!(made, Err(Error::Param { .. })), "{plain} {instructed}");
    }
    assert_eq!(host.state().decodes, 0);
}

#[test]
fn a_cancelled_prefill_leaves_an_empty_pair_that_can_be_used() {
    let config = Config { n_batch: 4, ..Config::default() };
    let (plain, instructed) = ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 9, 9, 9]);
    for stop_after in 0..4 {
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        let mut calls = 0;
        let mut most = (0, 0);
        let result = pair.prefill(&plain, &instructed, &mut |done, total| {
            assert!(done >= most.0 && done <= total, "{done} of {total}");
            most = (done, total);
            calls += 1;
            calls <= stop_after
        });
        assert_eq!(result, Err(Error::Cancelled));
        assert_eq!(host.used(), 0);
        assert!(SIDES.iter().all(|&side| pair.tokens(side).is_empty() && pair.row(side).is_none()));
        pair.prefill(&plain, &instructed, &mut quiet).unwrap();
        assert_direct(config, &host, &pair, [&plain, &instructed]);
    }
}

#[test]
fn a_failing_decode_leaves_an_empty_pair_that_can_be_used() {
    let config = Config { n_batch: 4, ..Config::default() };
    let (plain, instructed) = ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 9, 9, 9]);
    for (code, nth) in [1, 2, -1, -3].into_iter().flat_map(|code| (0..3).map(move |nth| (code, nth))) {
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        host.state().fail = Some((nth, code));
        let error = pair.prefill(&plain, &instructed, &mut quiet).unwrap_err();
        match code {
            1 => assert!(matches!(error, Error::ContextFull { .. })),
            2 => assert_eq!(error, Error::Cancelled),
            _ => assert_eq!(error, Error::Host { call: "decode", code }),
        }
        assert_eq!(host.used(), 0, "{code} at {nth}");
        assert!(SIDES.iter().all(|&side| pair.tokens(side).is_empty() && pair.row(side).is_none()));
        pair.prefill(&plain, &instructed, &mut quiet).unwrap();
        assert_direct(config, &host, &pair, [&plain, &instructed]);
    }
}

/// llama.cpp keeps what an aborted decode has done: here one of the two rows.
#[test]
fn after_a_failed_step_the_same_step_works() {
    for (recurrent, code) in [(false, 1), (false, 2), (false, -3), (true, 2)] {
        let config = Config { recurrent, ..Config::default() };
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        pair.prefill(&[1, 2, 3], &[1, 2, 4], &mut quiet).unwrap();
        host.fail_next(code);
        pair.step(7).unwrap_err();
        if recurrent {
            // Its state cannot be rewound: the pair is empty.
            assert_eq!((pair.tokens(Side::Plain), host.used()), (&[][..], 0));
            continue;
        }
        pair.step(7).unwrap();
        assert_direct(config, &host, &pair, [&[1, 2, 3, 7], &[1, 2, 4, 7]]);
        host.fail_next(code);
        pair.step_one(Side::Plain, 8).unwrap_err();
        pair.step(8).unwrap();
        assert_direct(config, &host, &pair, [&[1, 2, 3, 7, 8], &[1, 2, 4, 7, 8]]);
    }
}

#[test]
fn a_fork_goes_on_by_itself() {
    for unified in [true, false] {
        let config = Config { unified, ..Config::default() };
        let host = FakeHost::new(config);
        let mut first = pair(&host);
        first.prefill(&[1, 2, 3], &[1, 2, 4, 5], &mut quiet).unwrap();
        first.step(6).unwrap();
        let mut second = first.fork(2, 3).unwrap();
        assert_direct(config, &host, &second, [&[1, 2, 3, 6], &[1, 2, 4, 5, 6]]);
        first.step(7).unwrap();
        assert_direct(config, &host, &first, [&[1, 2, 3, 6, 7], &[1, 2, 4, 5, 6, 7]]);
        second.step(8).unwrap();
        assert_direct(config, &host, &second, [&[1, 2, 3, 6, 8], &[1, 2, 4, 5, 6, 8]]);
        assert!(matches!(first.fork(0, 5), Err(Error::Param { .. })));
        assert!(matches!(first.fork(5, 5), Err(Error::Param { .. })));
    }
}

#[test]
fn sequences_of_the_host_are_left_alone() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let (own, more) = ([11, 12, 13, 14], [15]);
    host.feed(5, &own);
    let mut pair = Pair::new(host.context(), 2, 6).unwrap();
    pair.prefill(&[1, 2, 3], &[1, 2, 4], &mut quiet).unwrap();
    pair.step(9).unwrap();
    pair.prefill(&[1], &[1, 7], &mut quiet).unwrap();
    pair.clear().unwrap();
    assert_eq!(host.used(), own.len());
    assert!(host.feed(5, &more) == direct(config, &[&own[..], &more].concat()));
    host.assert_sound();
}
