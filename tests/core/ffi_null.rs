//! NULL for every pointer of every export is an error that names the argument.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::c_char;
use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda::host::TokenDataArray;
use sda_test_kit::fake_host::{Chain, Config, FakeHost, candidates};
use sda_test_kit::ffi::{ErrorRoom, made, new_pair, new_sampler, params, text};
use sda_test_kit::sda_h;

/// Calls that lack one pointer: its name, the call as it is written, its status, and the text of the error,
/// from where the call leaves it.
macro_rules! lacking {
    ($text:expr; $($name:ident: $call:expr,)*) => {
        vec![$({
            let status = $call;
            (stringify!($name), stringify!($call), status, $text)
        }),*]
    };
}

unsafe extern "C" fn judge(_: *mut std::ffi::c_void, _: *const CJudgeRequest, _: *mut f32) -> i32 {
    panic!("nobody is asked with a NULL")
}

#[test]
fn null_is_refused_by_every_export() {
    let host = FakeHost::new(Config::default());
    let (table, params, ctx) = (host.table(), params(), host.ctx());
    let (pair, sampler) = (new_pair(&host), new_sampler(&table, 48));
    let room = ErrorRoom::default();
    let (e, n) = (room.as_ptr(), room.size());
    let (row, mut out) = ([0.0f32; 48], [0.0f32; 48]);
    let t = [1, 2, 3].as_ptr();
    let prompts = [CPrompt { tokens: t, n_tokens: 3 }; 2];
    let (mut new_p, mut new_s, mut llama) = (null_mut(), null_mut(), null_mut());
    let (mut number, mut float, mut length, mut logits) = (0, 0.0, 0, null());
    let mut step = CStep { divergence: 0.0, temperature: 0.0 };
    let (mut info, mut stats, mut judgement) =
        (made(sda_step_info_init), made(sda_stats_init), made(sda_judgement_init));
    let request = CJudgeRequest {
        query: c"q".as_ptr(),
        draft: c"d".as_ptr(),
        instruction: c"i".as_ptr(),
        ..made(sda_judge_request_init)
    };
    let mut data = candidates(&row);
    let mut array = TokenDataArray::new(&mut data);
    let array: *mut TokenDataArray = &mut array;
    let (r, q, one) = (row.as_ptr(), out.as_mut_ptr(), 1.0f32);
    // SAFETY: every pointer is NULL or live, and counts fit.
    let calls = unsafe {
        assert_eq!(sda_sampler_to_llama(sampler, &mut llama), SDA_OK);
        let status_alone = lacking![None;
            params: sda_params_init(null_mut(), size_of::<CParams>()),
            info: sda_step_info_init(null_mut(), size_of::<CStepInfo>()),
            prefill: sda_prefill_init(null_mut(), size_of::<CPrefill>()),
            stats: sda_stats_init(null_mut(), size_of::<CStats>()),
            request: sda_judge_request_init(null_mut(), size_of::<CJudgeRequest>()),
            judgement: sda_judgement_init(null_mut(), size_of::<CJudgement>()),
            amplification: sda_amplify(0, 50.0, null_mut()),
            instructed: sda_steer(null(), r, 48, &params, q, &mut step),
            plain: sda_steer(r, null(), 48, &params, q, &mut step),
            params: sda_steer(r, r, 48, null(), q, &mut step),
            logprobs: sda_steer(r, r, 48, &params, null_mut(), &mut step),
            step: sda_steer(r, r, 48, &params, q, null_mut()),
            instructed: sda_steer_many(null(), r, &r, &one, 1, 48, &params, q, &mut info),
            plain: sda_steer_many(r, null(), &r, &one, 1, 48, &params, q, &mut info),
            others: sda_steer_many(r, r, null(), &one, 1, 48, &params, q, &mut info),
            others: sda_steer_many(r, r, &null(), &one, 1, 48, &params, q, &mut info),
            weights: sda_steer_many(r, r, &r, null(), 1, 48, &params, q, &mut info),
            params: sda_steer_many(r, r, &r, &one, 1, 48, null(), q, &mut info),
            logprobs: sda_steer_many(r, r, &r, &one, 1, 48, &params, null_mut(), &mut info),
            pair: sda_pair_prefill(null_mut(), t, 3, t, 3, null_mut()),
            pair: sda_pair_prefill_many(null_mut(), prompts.as_ptr(), 2, null_mut()),
            pair: sda_pair_step(null_mut(), 1),
            pairs: sda_pair_step_many(null(), t, 3),
            pair: sda_pair_row(null(), 0, &mut number),
            pair: sda_pair_logits(null(), 0, &mut logits),
            pair: sda_pair_clear(null_mut()),
            sampler: sda_sampler_to_llama(null(), &mut llama),
            sampler: sda_sampler_apply(null_mut(), array),
            sampler: sda_sampler_accept(null_mut(), 1),
            sampler: sda_sampler_reset(null_mut()),
            sampler: sda_sampler_set_params(null_mut(), &params),
            sampler: sda_sampler_set_pair(null_mut(), pair),
            sampler: sda_sampler_set_weights(null_mut(), 1.0, r, 1),
            sampler: sda_sampler_set_prompt(null_mut(), t, 3),
            sampler: sda_sampler_set_plain_logits(null_mut(), r, 48),
            sampler: sda_sampler_status(null()),
            sampler: sda_sampler_last_step(null(), &mut info),
            sampler: sda_sampler_stats(null(), &mut stats),
        ];
        let told = lacking![Some(room.take());
            host: sda_pair_new(null(), ctx, 0, 1, e, n, &mut new_p),
            ctx: sda_pair_new(&table, null_mut(), 0, 1, e, n, &mut new_p),
            pair: sda_pair_new(&table, ctx, 0, 1, e, n, null_mut()),
            pair: sda_pair_clone(null(), 2, 3, e, n, &mut new_p),
            clone: sda_pair_clone(pair, 2, 3, e, n, null_mut()),
            host: sda_pair_new_many(null(), ctx, t, 2, e, n, &mut new_p),
            ctx: sda_pair_new_many(&table, null_mut(), t, 2, e, n, &mut new_p),
            seqs: sda_pair_new_many(&table, ctx, null(), 2, e, n, &mut new_p),
            pair: sda_pair_new_many(&table, ctx, t, 2, e, n, null_mut()),
            pair: sda_pair_clone_many(null(), t, 2, e, n, &mut new_p),
            seqs: sda_pair_clone_many(pair, null(), 2, e, n, &mut new_p),
            clone: sda_pair_clone_many(pair, t, 2, e, n, null_mut()),
            pair: sda_sampler_new_paired(null(), &params, e, n, &mut new_s),
            params: sda_sampler_new_paired(pair, null(), e, n, &mut new_s),
            sampler: sda_sampler_new_paired(pair, &params, e, n, null_mut()),
            host: sda_sampler_new_dropin(null(), ctx, t, 3, &params, e, n, &mut new_s),
            ctx: sda_sampler_new_dropin(&table, null_mut(), t, 3, &params, e, n, &mut new_s),
            plain_prompt: sda_sampler_new_dropin(&table, ctx, null(), 3, &params, e, n, &mut new_s),
            params: sda_sampler_new_dropin(&table, ctx, t, 3, null(), e, n, &mut new_s),
            sampler: sda_sampler_new_dropin(&table, ctx, t, 3, &params, e, n, null_mut()),
            params: sda_sampler_new(&table, 48, null(), e, n, &mut new_s),
            sampler: sda_sampler_new(&table, 48, &params, e, n, null_mut()),
            llama_sampler: sda_sampler_from_llama(null(), e, n, &mut new_s),
            sampler: sda_sampler_from_llama(llama, e, n, null_mut()),
            sampler: sda_sampler_clone(null(), e, n, &mut new_s),
            clone: sda_sampler_clone(sampler, e, n, null_mut()),
            judge: sda_judge_amplify(None, null_mut(), &request, 0, 0, e, n, &mut judgement),
            request: sda_judge_amplify(Some(judge), null_mut(), null(), 0, 0, e, n, &mut judgement),
            judgement: sda_judge_amplify(Some(judge), null_mut(), &request, 0, 0, e, n, null_mut()),
            request: sda_judge_prompt(null(), null(), 0, e, n, null_mut(), 0, &mut length),
            length: sda_judge_prompt(&request, null(), 0, e, n, null_mut(), 0, null_mut()),
            reply: sda_judge_parse(null(), null(), e, n, &mut float),
            score: sda_judge_parse(null(), c"SCORE: 1".as_ptr(), e, n, null_mut()),
        ];
        let of_pair = lacking![Some(text(sda_pair_error(pair)));
            plain: sda_pair_prefill(pair, null(), 3, t, 3, null_mut()),
            instructed: sda_pair_prefill(pair, t, 3, null(), 3, null_mut()),
            prompts: sda_pair_prefill_many(pair, null(), 2, null_mut()),
            tokens: sda_pair_step_many(&pair, null(), 1),
            pairs: sda_pair_step_many([pair, null_mut()].as_ptr(), t, 2),
            row: sda_pair_row(pair, 0, null_mut()),
            logits: sda_pair_logits(pair, 0, null_mut()),
        ];
        let of_sampler = lacking![Some(text(sda_sampler_error(sampler)));
            llama_sampler: sda_sampler_to_llama(sampler, null_mut()),
            candidates: sda_sampler_apply(sampler, null_mut()),
            params: sda_sampler_set_params(sampler, null()),
            pair: sda_sampler_set_pair(sampler, null()),
            singles: sda_sampler_set_weights(sampler, 1.0, null(), 1),
            plain_prompt: sda_sampler_set_prompt(sampler, null(), 3),
            plain: sda_sampler_set_plain_logits(sampler, null(), 48),
            info: sda_sampler_last_step(sampler, null_mut()),
            stats: sda_sampler_stats(sampler, null_mut()),
        ];
        [status_alone, told, of_pair, of_sampler].concat()
    };
    for (name, call, status, text) in &calls {
        assert_eq!(*status, SDA_ERR_NULL, "without {name}: {call}");
        if let Some(text) = text {
            assert_eq!(*text, format!("{name} is NULL"), "{call}");
        }
    }
    assert!(new_p.is_null() && new_s.is_null() && logits.is_null());
    // SAFETY: the handle is live.
    assert_eq!(unsafe { sda_sampler_status(sampler) }, SDA_OK, "only steps have a status that stays");

    // Nothing is left out: these take no pointer, or NULL is fine for them.
    let mut called: std::collections::BTreeSet<String> =
        calls.iter().map(|(_, call, ..)| call.split('(').next().unwrap().trim().to_owned()).collect();
    let fine =
        ["status_str", "version", "abi_version", "pair_free", "sampler_free", "pair_error", "sampler_error"];
    called.extend(fine.map(|name| format!("sda_{name}")));
    assert_eq!(called, sda_h::functions(false));

    drop(Chain::<10>::new(llama));
    // SAFETY: handles are freed once.
    unsafe {
        sda_pair_free(pair);
        sda_sampler_free(sampler);
    }
}

#[test]
fn null_is_freed_and_has_no_message() {
    // SAFETY: NULL is fine for these.
    unsafe {
        sda_pair_free(null_mut());
        sda_sampler_free(null_mut());
        assert!(sda_pair_error(null()).is_null() && sda_sampler_error(null()).is_null());
    }
}

#[test]
fn no_room_for_the_text_of_an_error_is_fine() {
    let mut pair = null_mut();
    let mut one: [c_char; 2] = [1; 2];
    // SAFETY: the room is NULL or has the size that is passed.
    unsafe {
        assert_eq!(sda_pair_new(null(), null_mut(), 0, 1, null_mut(), 9, &mut pair), SDA_ERR_NULL);
        assert_eq!(sda_pair_new(null(), null_mut(), 0, 1, one.as_mut_ptr(), 0, &mut pair), SDA_ERR_NULL);
        assert_eq!(one, [1, 1]);
        assert_eq!(sda_pair_new(null(), null_mut(), 0, 1, one.as_mut_ptr(), 1, &mut pair), SDA_ERR_NULL);
        assert_eq!(one, [0, 1]);
    }
    assert!(pair.is_null());
}
