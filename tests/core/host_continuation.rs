//! Given texts on a toy llama.cpp: the rows before each token are those of a run of their own.

use sda::Error;
use sda::branch::{Pair, Side};
use sda::host::Token;
use sda_test_kit::fake_host::{Config, FakeHost, direct};

const PLAIN: [Token; 4] = [1, 2, 3, 4];
const INSTRUCTED: [Token; 6] = [1, 2, 3, 7, 8, 9];

fn pair(host: &FakeHost) -> Pair {
    Pair::new(host.context(), 0, 1).unwrap()
}

fn prefill(pair: &mut Pair) -> usize {
    pair.prefill(&PLAIN, &INSTRUCTED, &mut |_, _| true).unwrap().decoded
}

/// Follows a text and compares every row with one computed from scratch.
#[track_caller]
fn assert_followed(config: Config, pair: &mut Pair, text: &[Token]) {
    let mut seen = Vec::new();
    pair.continuation(text, &mut |i, plain, instructed| {
        let before = &text[..i];
        assert!(plain == direct(config, &[&PLAIN[..], before].concat()), "plain row {i}");
        assert!(instructed == direct(config, &[&INSTRUCTED[..], before].concat()), "instructed row {i}");
        seen.push(i);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, (0..text.len()).collect::<Vec<_>>());
}

#[test]
fn every_row_is_that_of_a_run_of_its_own() {
    let few_rows = Config { n_batch: 5, ..Config::default() };
    let own_buffers = Config { unified: false, n_seq_max: 2, ..Config::default() };
    for config in [Config::default(), few_rows, own_buffers] {
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        prefill(&mut pair);
        assert_followed(config, &mut pair, &[5, 6, 7, 8, 9, 10, 11]);
        host.assert_sound();
    }
}

#[test]
fn texts_after_the_same_prompts_cost_their_own_tokens_and_two() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let mut pair = pair(&host);
    prefill(&mut pair);
    for text in [&[5, 6, 7][..], &[5, 6, 8, 9], &[40], &[]] {
        assert_followed(config, &mut pair, text);
        assert!(prefill(&mut pair) <= 2, "the prompts were read again after {text:?}");
    }
    host.assert_sound();
}

#[test]
fn memories_that_cannot_rewind_read_the_prompts_again() {
    let recurrent = Config { recurrent: true, unified: false, n_seq_max: 2, ..Config::default() };
    let sliding = Config { window: Some(5), ..Config::default() };
    for config in [recurrent, sliding] {
        let host = FakeHost::new(config);
        let mut pair = pair(&host);
        for text in [[5, 6, 7, 8, 9], [10, 11, 12, 13, 14]] {
            prefill(&mut pair);
            assert_followed(config, &mut pair, &text);
        }
        host.assert_sound();
    }
}

#[test]
fn a_text_that_does_not_fit_is_refused_and_an_error_of_the_visit_empties_the_pair() {
    let host = FakeHost::new(Config { n_ctx: 16, unified: false, n_seq_max: 2, ..Config::default() });
    let mut pair = pair(&host);
    prefill(&mut pair);
    let error = pair.continuation(&[5, 6, 7, 8], &mut |_, _, _| Ok(())).unwrap_err();
    assert!(matches!(error, Error::ContextFull { needed: 9, available: 8 }), "{error}");
    assert_eq!(pair.tokens(Side::Instructed), INSTRUCTED);

    let error = pair.continuation(&[5, 6], &mut |i, _, _| match i {
        0 => Ok(()),
        _ => Err(Error::Cancelled),
    });
    assert_eq!(error, Err(Error::Cancelled));
    assert!(pair.tokens(Side::Plain).is_empty() && pair.tokens(Side::Instructed).is_empty());
    let error = pair.continuation(&[5], &mut |_, _, _| Ok(())).unwrap_err();
    assert_eq!(error.code(), -10, "{error}");
}
