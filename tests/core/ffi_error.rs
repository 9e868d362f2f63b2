//! No reason for a failure is lost: a call that makes a handle writes it to the caller's room, a call on a
//! live handle keeps it there.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda::host::{HostTable, TokenDataArray};
use sda_test_kit::fake_host::{Config, FakeHost, candidates};
use sda_test_kit::ffi::{ErrorRoom, made, new_pair, new_sampler, params, text};

#[test]
fn every_constructor_says_why_it_failed() {
    let host = FakeHost::new(Config::default());
    let (table, ctx, t) = (host.table(), host.ctx(), [1, 2, 3].as_ptr());
    let (pair, sampler) = (new_pair(&host), new_sampler(&table, 48));
    let bad = CParams { sigma: -1.0, ..params() };
    let nucleus = CParams { top_p: 2.0, ..params() };
    let future = CParams { struct_size: 5000, ..params() };
    let no_decode = HostTable { decode: None, ..table };
    let room = ErrorRoom::default();
    let (e, n) = (room.as_ptr(), room.size());
    let (mut new_p, mut new_s) = (null_mut(), null_mut());
    let sigma = "sigma is -1, must be greater than 0";
    // SAFETY: all pointers are live.
    let calls = unsafe {
        let call = |status: i32| (status, room.take());
        [
            (call(sda_pair_new(&table, ctx, 0, 0, e, n, &mut new_p)), SDA_ERR_PARAM, "instructed_seq is 0"),
            (
                call(sda_pair_new(&no_decode, ctx, 0, 1, e, n, &mut new_p)),
                SDA_ERR_NULL,
                "host.decode is NULL",
            ),
            (call(sda_pair_clone(pair, 0, 3, e, n, &mut new_p)), SDA_ERR_PARAM, "plain_seq is 0"),
            (call(sda_sampler_new_paired(pair, &bad, e, n, &mut new_s)), SDA_ERR_PARAM, sigma),
            (call(sda_sampler_new_paired(pair, &nucleus, e, n, &mut new_s)), SDA_ERR_PARAM, "top_p is 2"),
            (call(sda_sampler_new_paired(pair, &future, e, n, &mut new_s)), SDA_ERR_VERSION, "sda_params"),
            (call(sda_sampler_new_dropin(&table, ctx, t, 3, &bad, e, n, &mut new_s)), SDA_ERR_PARAM, sigma),
            (
                call(sda_sampler_new_dropin(&table, ctx, t, 0, &params(), e, n, &mut new_s)),
                SDA_ERR_PROMPT,
                "prompt",
            ),
            (call(sda_sampler_new(&table, 48, &bad, e, n, &mut new_s)), SDA_ERR_PARAM, sigma),
            (call(sda_sampler_new(&table, 0, &params(), e, n, &mut new_s)), SDA_ERR_PARAM, "n_vocab is 0"),
        ]
    };
    for ((status, text), expected, reason) in &calls {
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    }
    assert!(new_p.is_null() && new_s.is_null());
    assert!(host.log().is_empty(), "the host's log is not for errors that are returned");
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        // On success the room is left alone.
        e.write(b'x' as std::ffi::c_char);
        assert_eq!(sda_sampler_clone(sampler, e, n, &mut new_s), SDA_OK);
        assert_eq!(room.take(), "x");
        // What is said to the caller is not kept in the handle that was given.
        assert_eq!(
            (text(sda_pair_error(pair)), text(sda_sampler_error(sampler))),
            (String::new(), String::new())
        );
        sda_sampler_free(new_s);
        sda_sampler_free(sampler);
        sda_pair_free(pair);
    }
}

#[test]
fn a_pair_keeps_the_text_of_the_last_call_that_failed() {
    let host = FakeHost::new(Config::default());
    let pair = new_pair(&host);
    let (mut row, mut logits, t) = (0, null(), [1, 2].as_ptr());
    let says = |status: i32, expected: i32, reason: &str| {
        // SAFETY: the handle is live.
        let text = text(unsafe { sda_pair_error(pair) });
        assert!(status == expected && text.contains(reason), "{status}: {text:?} does not say {reason:?}");
    };
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        says(SDA_OK, SDA_OK, "");
        says(sda_pair_row(pair, 7, &mut row), SDA_ERR_PARAM, "side is 7");
        says(sda_pair_row(pair, 1, &mut row), SDA_ERR_STATE, "no logits");
        says(sda_pair_logits(pair, -1, &mut logits), SDA_ERR_PARAM, "side is -1");
        says(sda_pair_prefill(pair, t, 0, t, 2, null_mut()), SDA_ERR_PROMPT, "plain prompt");
        says(sda_pair_prefill(pair, t, usize::MAX, t, 2, null_mut()), SDA_ERR_LENGTH, "plain holds");
        says(sda_pair_step_many([pair, pair].as_ptr(), t, 2), SDA_ERR_PARAM, "a pair twice");
        // It stays until another call fails.
        says(sda_pair_prefill(pair, t, 2, t, 2, null_mut()), SDA_OK, "a pair twice");
        sda_pair_free(pair);
    }
}

#[test]
fn a_sampler_keeps_the_text_of_the_last_call_that_failed() {
    let host = FakeHost::new(Config::default());
    let (pair, sampler) = (new_pair(&host), new_sampler(null(), 4));
    let (mut llama, mut data) = (null_mut(), candidates(&[0.0; 4]));
    let mut info = made(sda_step_info_init);
    let says = |status: i32, expected: i32, reason: &str| {
        // SAFETY: the handle is live.
        let text = text(unsafe { sda_sampler_error(sampler) });
        assert!(status == expected && text.contains(reason), "{status}: {text:?} does not say {reason:?}");
    };
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        let bad = CParams { k: f32::NAN, ..params() };
        says(sda_sampler_set_params(sampler, &bad), SDA_ERR_PARAM, "k is NaN, must be finite");
        says(sda_sampler_set_params(sampler, &CParams { flags: 1, ..params() }), SDA_ERR_PARAM, "flags is 1");
        says(sda_sampler_set_plain_logits(sampler, [0.0; 3].as_ptr(), 3), SDA_ERR_LENGTH, "holds 3 values");
        says(sda_sampler_set_prompt(sampler, [1].as_ptr(), 1), SDA_ERR_STATE, "not a drop-in");
        says(sda_sampler_set_pair(sampler, pair), SDA_ERR_STATE, "not made for a pair");
        says(sda_sampler_to_llama(sampler, &mut llama), SDA_ERR_NULL, "host.sampler_new is NULL");
        says(sda_sampler_last_step(sampler, &mut info), SDA_ERR_STATE, "no step yet");
        // A step that fails is told twice: by its status, and by sda_sampler_status() until a reset.
        let apply = |array: &mut TokenDataArray| sda_sampler_apply(sampler, array);
        says(apply(&mut TokenDataArray::new(&mut [])), SDA_ERR_CANDIDATES, "candidates");
        says(apply(&mut TokenDataArray::new(&mut data)), SDA_ERR_STATE, "were not set");
        assert_eq!(sda_sampler_status(sampler), SDA_ERR_CANDIDATES, "the first");
        // The text of a later call is not hidden by it.
        says(sda_sampler_set_params(sampler, &bad), SDA_ERR_PARAM, "k is NaN");
        assert_eq!((sda_sampler_reset(sampler), sda_sampler_status(sampler)), (SDA_OK, SDA_OK));
        assert_eq!(text(sda_sampler_error(sampler)), "");
        sda_sampler_free(sampler);
        sda_pair_free(pair);
    }
}
