//! The C interface, called as C does: what its functions do, and which numbers they refuse.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ptr::{null, null_mut};

use sda::Error;
use sda::ffi::*;
use sda::host::{HostTable, TokenDataArray};
use sda_test_kit::fake_host::{Config, FakeHost, candidates, direct};
use sda_test_kit::ffi::{ErrorRoom, made, new_pair, new_sampler, params, poison, text};
use sda_test_kit::maths::{assert_log_prob, params as golden_params};

#[test]
fn status_codes_are_those_of_the_errors() {
    let text = || String::new();
    let all = [
        (Error::Null { name: "" }, SDA_ERR_NULL),
        (Error::Param { field: "", value: text(), allowed: "".into() }, SDA_ERR_PARAM),
        (Error::Length { what: "", got: 0, expected: 0 }, SDA_ERR_LENGTH),
        (Error::NotFinite { branch: "", token: 0, value: 0.0 }, SDA_ERR_NOT_FINITE),
        (Error::AllMasked { branch: "" }, SDA_ERR_ALL_MASKED),
        (Error::Candidates { reason: text() }, SDA_ERR_CANDIDATES),
        (Error::ContextFull { needed: 0, available: 0 }, SDA_ERR_CONTEXT_FULL),
        (Error::Prompt { reason: text() }, SDA_ERR_PROMPT),
        (Error::Host { call: "", code: 0 }, SDA_ERR_HOST),
        (Error::State { reason: text() }, SDA_ERR_STATE),
        (Error::Panic, SDA_ERR_PANIC),
        (Error::Version { what: "", reason: text() }, SDA_ERR_VERSION),
        (Error::Cancelled, SDA_ERR_CANCELLED),
        (Error::Model { reason: text() }, SDA_ERR_MODEL),
        (Error::Judge { reason: text() }, SDA_ERR_JUDGE),
        (Error::Io { path: text(), reason: text() }, SDA_ERR_IO),
        (Error::Encoding { what: "" }, SDA_ERR_ENCODING),
    ];
    for (i, (error, code)) in all.iter().enumerate() {
        assert_eq!((error.code(), *code), (-1 - i as i32, -1 - i as i32), "{error:?}");
    }
}

#[test]
fn every_integer_has_a_status_text_and_known_ones_differ() {
    // SAFETY: takes any integer.
    let of = |status| text(unsafe { sda_status_str(status) });
    let unknown = of(1);
    assert!([i32::MIN, i32::MAX, -18, 99].iter().all(|&status| of(status) == unknown));
    let mut known: Vec<String> = (-17..=0).map(of).collect();
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 18);
    assert!(!known.contains(&unknown));
}

#[test]
fn the_table_of_docs_abi_md_holds_every_status() {
    let page = include_str!("../../docs/abi.md");
    let header = include_str!("../../include/sda.h");
    let define = |line: &str| -> Option<(i32, String)> {
        let (name, number) = line.strip_prefix("#define ")?.split_once(' ')?;
        let is_status = name == "SDA_OK" || name.starts_with("SDA_ERR_");
        is_status.then(|| (number.parse().unwrap(), name.to_owned()))
    };
    let statuses: Vec<(i32, String)> = header.lines().filter_map(define).collect();
    assert_eq!(statuses.len(), 18);
    for (number, name) in statuses {
        // SAFETY: takes any integer.
        let row = format!("| {number} | `{name}` | {} |", text(unsafe { sda_status_str(number) }));
        assert!(page.lines().any(|line| line == row), "docs/abi.md lacks {row}");
    }
}

#[test]
fn the_version_is_the_packages() {
    // SAFETY: take nothing.
    unsafe {
        assert_eq!(text(sda_version()), env!("CARGO_PKG_VERSION"));
        assert_eq!(sda_abi_version(), SDA_ABI_VERSION);
    }
}

#[test]
fn top_p_shrinks_the_array_for_callers_that_know_of_it() {
    let logits = [0.0, 1.0, 5.0, 4.0];
    let apply = |struct_size: usize| {
        let p = CParams { top_p: 0.9, struct_size, ..params() };
        let sampler = new_sampler(null(), 4);
        let mut data = candidates(&logits);
        let mut array = TokenDataArray::new(&mut data);
        // SAFETY: all are live.
        unsafe {
            assert_eq!(sda_sampler_set_params(sampler, &p), SDA_OK);
            assert_eq!(sda_sampler_set_plain_logits(sampler, logits.as_ptr(), 4), SDA_OK);
            assert_eq!(sda_sampler_apply(sampler, &mut array), SDA_OK);
            sda_sampler_free(sampler);
        }
        let (size, sorted) = (array.size(), array.is_sorted());
        (data[..size].iter().map(|c| c.id).collect::<Vec<_>>(), sorted)
    };
    // At the default temperature of 0.6 the best two have 0.84 and 0.16 of the probability.
    assert_eq!(apply(size_of::<CParams>()), (vec![2, 3], true));
    assert_eq!(apply(std::mem::offset_of!(CParams, top_p)), (vec![0, 1, 2, 3], false));
}

#[test]
fn a_kl_budget_lowers_the_strength_that_a_sampler_tells_of() {
    let (instructed, plain) = ([2.0_f32, 1.5, -2.0, 0.0], [2.5_f32, 1.0, -6.0, 0.0]);
    let gain = |max_kl| {
        let sampler = new_sampler(null(), 4);
        let p = CParams { amplification: 1.5, k: 2.0, max_kl, ..params() };
        let mut data = candidates(&instructed);
        let mut array = TokenDataArray::new(&mut data);
        let mut info = CStepInfo::default();
        // SAFETY: everything is live; the sampler is freed once.
        unsafe {
            assert_eq!(sda_sampler_set_params(sampler, &p), SDA_OK);
            assert_eq!(sda_sampler_set_plain_logits(sampler, plain.as_ptr(), 4), SDA_OK);
            assert_eq!(sda_sampler_apply(sampler, &mut array), SDA_OK);
            assert_eq!(sda_step_info_init(&mut info, size_of::<CStepInfo>()), SDA_OK);
            assert_eq!(sda_sampler_last_step(sampler, &mut info), SDA_OK);
            sda_sampler_free(sampler);
        }
        info.gain
    };
    assert_eq!(gain(f32::INFINITY), 3.0);
    assert_eq!(gain(0.0), 0.0);
    let limited = gain(0.2);
    assert!(limited > 0.1 && limited < 1.0, "{limited}");
}

#[test]
fn several_instructions_are_steered_as_in_rust_also_over_the_instructed_row() {
    let (instructed, plain) = ([2.0_f32, 1.5, -2.0, 0.0], [2.5_f32, 1.0, -6.0, 0.0]);
    let (first, second) = ([1.0_f32, 2.0, 0.0, 0.5], [0.0_f32, 0.0, 1.0, f32::NEG_INFINITY]);
    let p = CParams { amplification: 0.5, max_kl: 0.3, ..params() };
    let settings = sda::Params { amplification: 0.5, max_kl: 0.3, ..sda::Params::default() };
    let weights = [1.0, -0.5, 0.25];
    let mut expected = [0.0; 4];
    let rows = [&first[..], &second, &instructed];
    let step =
        sda::steer::steer_many(&instructed, &plain, &rows, &weights, &settings, &mut expected).unwrap();
    let (mut out, mut info) = ([7.0f32; 4], made(sda_step_info_init));
    let mut over = instructed;
    // SAFETY: all pointers are live.
    unsafe {
        let (x, y, w) = (instructed.as_ptr(), plain.as_ptr(), weights.as_ptr());
        let rows = [first.as_ptr(), second.as_ptr(), x];
        let n = rows.len();
        assert_eq!(sda_steer_many(x, y, rows.as_ptr(), w, n, 4, &p, out.as_mut_ptr(), &mut info), SDA_OK);
        assert_eq!(out, expected);
        assert_eq!((info.gain, info.temperature), (step.gain as f32, step.temperature as f32));
        assert!(info.gain < 1.0, "the budget binds");
        let over = over.as_mut_ptr();
        let rows = [rows[0], rows[1], over.cast_const()];
        assert_eq!(sda_steer_many(over, y, rows.as_ptr(), w, n, 4, &p, over, null_mut()), SDA_OK);
    }
    assert_eq!(over, expected);
}

#[test]
fn what_cannot_be_steered_by_several_instructions_is_refused_and_nothing_is_written() {
    let (row, mut other) = ([0.5f32, 1.0, 2.0], [1.0f32, 0.0, 0.0]);
    let (mut out, mut info, p) = ([7.0f32; 3], made(sda_step_info_init), params());
    let (x, q) = (row.as_ptr(), out.as_mut_ptr());
    let o = other.as_mut_ptr();
    let many = [x; 9];
    // SAFETY: all pointers are live, and no count is larger than its array where it is read.
    unsafe {
        let mut run = |others: &[*const f32], weights: &[f32], to| {
            let (pointers, weights) = (others.as_ptr(), weights.as_ptr());
            sda_steer_many(x, x, pointers, weights, others.len(), 3, &p, to, &mut info)
        };
        assert_eq!(run(&many, &[1.0; 9], q), SDA_ERR_PARAM);
        assert_eq!(run(&[o], &[f32::NAN], q), SDA_ERR_PARAM);
        assert_eq!(run(&[o], &[1.0], o), SDA_ERR_PARAM, "the results would go over another row");
        o.write(f32::INFINITY);
        assert_eq!(run(&[o], &[1.0], q), SDA_ERR_NOT_FINITE);
        std::slice::from_raw_parts_mut(o, 3).fill(f32::NEG_INFINITY);
        assert_eq!(run(&[x, o], &[1.0; 2], q), SDA_ERR_ALL_MASKED);
        assert_eq!(out, [7.0; 3]);
        // Nothing is steered by no instruction.
        assert_eq!(sda_steer_many(x, x, null(), null(), 0, 3, &p, q, null_mut()), SDA_OK);
    }
    assert!((out.iter().map(|l| f64::from(*l).exp()).sum::<f64>() - 1.0).abs() < 1e-6);
}

#[test]
fn a_pair_with_several_instructions_is_read_stepped_cloned_and_steered() {
    let host = FakeHost::new(Config { n_seq_max: 9, ..Config::default() });
    let (table, room) = (host.table(), ErrorRoom::default());
    let (e, n) = (room.as_ptr(), room.size());
    let texts: [&[i32]; 4] = [&[1, 2, 9], &[1, 2, 3, 4, 9], &[1, 2, 3, 9], &[1, 2, 4, 9]];
    let prompts = texts.map(|text| CPrompt { tokens: text.as_ptr(), n_tokens: text.len() });
    let (mut pair, mut clone, mut sampler) = (null_mut(), null_mut(), null_mut());
    let (mut row, mut cost, mut info) = (0, made(sda_prefill_init), made(sda_step_info_init));
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        let new =
            |seqs: &[i32], pair| sda_pair_new_many(&table, host.ctx(), seqs.as_ptr(), seqs.len(), e, n, pair);
        assert_eq!(new(&[0], &mut pair), SDA_ERR_LENGTH);
        assert_eq!(room.take(), "seqs holds 1 values, must hold 2");
        assert_eq!(new(&[0, 1, 1], &mut pair), SDA_ERR_PARAM);
        assert_eq!(room.take(), "single_seq is 1, must be different from those of the other branches");
        assert_eq!(new(&[0, 1, 2, 3], &mut pair), SDA_OK);
        let read = |n| sda_pair_prefill_many(pair, prompts.as_ptr(), n, null_mut());
        assert_eq!((read(1), read(0)), (SDA_ERR_LENGTH, SDA_ERR_LENGTH));
        assert_eq!(sda_pair_prefill_many(pair, prompts.as_ptr(), 4, &mut cost), SDA_OK);
        assert_eq!((cost.shared, cost.decoded), (2, 2 + 1 + 3 + 2 + 2));
        assert_eq!(sda_pair_row(pair, SDA_SIDE_SINGLE + 1, &mut row), SDA_OK);
        assert_eq!(host.row(row), direct(Config::default(), texts[3]));
        assert_eq!(sda_pair_row(pair, SDA_SIDE_SINGLE + 2, &mut row), SDA_ERR_PARAM);
        let cloned = |seqs: &[i32], clone| sda_pair_clone_many(pair, seqs.as_ptr(), seqs.len(), e, n, clone);
        assert_eq!((cloned(&[4], &mut clone), cloned(&[4, 5], &mut clone)), (SDA_ERR_LENGTH, SDA_ERR_PARAM));
        assert_eq!(sda_pair_clone(pair, 4, 5, e, n, &mut clone), SDA_ERR_PARAM);
        assert_eq!(cloned(&[4, 5, 6, 7], &mut clone), SDA_OK);
        assert_eq!(sda_pair_step(clone, 5), SDA_OK);
        assert_eq!(sda_pair_row(clone, SDA_SIDE_SINGLE, &mut row), SDA_OK);
        assert_eq!(host.row(row), direct(Config::default(), &[1, 2, 3, 9, 5]));
        assert_eq!(sda_pair_step(pair, 7), SDA_OK);

        let settings = CParams { amplification: 0.5, ..params() };
        assert_eq!(sda_sampler_new_paired(pair, &settings, e, n, &mut sampler), SDA_OK);
        let rows = texts.map(|text| direct(Config::default(), &[text, &[7]].concat()));
        let apply = || {
            let mut data = candidates(&rows[1]);
            (sda_sampler_apply(sampler, &mut TokenDataArray::new(&mut data)), data)
        };
        assert_eq!(apply().0, SDA_ERR_STATE);
        assert!(text(sda_sampler_error(sampler)).contains("weights of 0 single instructions"));
        let set = |weights: &[f32]| sda_sampler_set_weights(sampler, 0.0, weights.as_ptr(), weights.len());
        assert_eq!((set(&[f32::NAN, 1.0]), set(&[1.0; 9])), (SDA_ERR_PARAM, SDA_ERR_PARAM));
        assert_eq!(set(&[1.0, -0.5]), SDA_OK);
        let (status, data) = apply();
        assert_eq!((status, sda_sampler_last_step(sampler, &mut info)), (SDA_OK, SDA_OK));
        let (others, weights) = ([rows[2].as_ptr(), rows[3].as_ptr()], [1.0, -0.5]);
        let (mut out, mut of_kernel) = ([0.0; 48], made(sda_step_info_init));
        let (x, y, q) = (rows[1].as_ptr(), rows[0].as_ptr(), out.as_mut_ptr());
        let steered =
            sda_steer_many(x, y, others.as_ptr(), weights.as_ptr(), 2, 48, &settings, q, &mut of_kernel);
        assert_eq!((steered, info.divergence), (SDA_OK, of_kernel.divergence));
        assert!(data.iter().zip(&out).all(|(candidate, logprob)| candidate.logit == *logprob));
        sda_sampler_free(sampler);
        sda_pair_free(clone);
        sda_pair_free(pair);
    }
    host.assert_sound();
}

#[test]
fn bad_settings_are_refused() {
    let sampler = new_sampler(null(), 4);
    let change: [fn(&mut CParams); 12] = [
        |p| p.amplification = f32::NAN,
        |p| p.k = f32::INFINITY,
        |p| p.temperature = f32::NAN,
        |p| p.sigma = 0.0,
        |p| p.sigma = f32::NAN,
        |p| p.t_min = -1.0,
        |p| p.flags = 1,
        |p| p.top_p = 0.0,
        |p| p.top_p = 1.01,
        |p| p.top_p = f32::NAN,
        |p| p.max_kl = -0.1,
        |p| p.max_kl = f32::NAN,
    ];
    for change in change {
        let mut p = params();
        change(&mut p);
        // SAFETY: both are live.
        assert_eq!(unsafe { sda_sampler_set_params(sampler, &p) }, SDA_ERR_PARAM);
    }
    // SAFETY: freed once.
    unsafe { sda_sampler_free(sampler) }
}

#[test]
fn numbers_out_of_range_and_calls_out_of_order_are_refused() {
    let host = FakeHost::new(Config::default());
    let (pair, sampler) = (new_pair(&host), new_sampler(&host.table(), 48));
    let (mut float, mut number, mut logits, mut new_s) = (0.0, 0, null(), null_mut());
    let mut info = made(sda_step_info_init);
    let (row, t) = ([0.0f32; 48], [1, 2, 3].as_ptr());
    // SAFETY: every pointer is live and counts fit, but for the one that is no count; handles are freed once.
    unsafe {
        assert_eq!(sda_amplify(7, 50.0, &mut float), SDA_ERR_PARAM);
        assert_eq!(sda_amplify(0, 0.0, &mut float), SDA_ERR_PARAM);
        assert_eq!(sda_pair_row(pair, 2, &mut number), SDA_ERR_PARAM);
        assert_eq!(sda_pair_logits(pair, -1, &mut logits), SDA_ERR_PARAM);
        assert_eq!(sda_pair_row(pair, 1, &mut number), SDA_ERR_STATE);
        assert_eq!(sda_pair_prefill(pair, t, usize::MAX, t, 3, null_mut()), SDA_ERR_LENGTH);
        assert_eq!(sda_pair_prefill(pair, t, 0, t, 3, null_mut()), SDA_ERR_PROMPT);
        assert!(text(sda_pair_error(pair)).contains("plain prompt"));
        assert_eq!(sda_sampler_set_plain_logits(sampler, row.as_ptr(), 47), SDA_ERR_LENGTH);
        assert_eq!(sda_sampler_last_step(sampler, &mut info), SDA_ERR_STATE);
        assert_eq!(sda_sampler_new(null(), 0, &params(), null_mut(), 0, &mut new_s), SDA_ERR_PARAM);
        sda_pair_free(pair);
        sda_sampler_free(sampler);
    }
    assert!(new_s.is_null() && logits.is_null());
}

#[test]
fn several_pairs_step_in_one_decode_as_they_do_one_by_one() {
    let prompts: [&[i32]; 3] = [&[1, 2, 9], &[1, 3], &[1, 2, 7, 7]];
    let tokens = [30, 31, 32];
    let (alone, together) = (FakeHost::new(Config::default()), FakeHost::new(Config::default()));
    let make = |host: &FakeHost| {
        let made: Vec<*mut PairHandle> = (0..3)
            .map(|i| {
                let (mut pair, prompt) = (null_mut(), prompts[i]);
                // SAFETY: all pointers are live.
                unsafe {
                    let (plain, table) = (2 * i as i32, host.table());
                    assert_eq!(
                        sda_pair_new(&table, host.ctx(), plain, plain + 1, null_mut(), 0, &mut pair),
                        SDA_OK
                    );
                    let (t, n) = (prompt.as_ptr(), prompt.len());
                    assert_eq!(sda_pair_prefill(pair, [5].as_ptr(), 1, t, n, null_mut()), SDA_OK);
                }
                pair
            })
            .collect();
        made
    };
    let (singles, many) = (make(&alone), make(&together));
    let row = |host: &FakeHost, pair, side| {
        let mut row = 0;
        // SAFETY: the pair lives.
        assert_eq!(unsafe { sda_pair_row(pair, side, &mut row) }, SDA_OK);
        host.row(row)
    };
    let before = together.state().decodes;
    // SAFETY: arrays and handles are live, the handles are freed once.
    unsafe {
        assert_eq!(sda_pair_step_many(many.as_ptr(), tokens.as_ptr(), 3), SDA_OK);
        assert_eq!(together.state().decodes, before + 1);
        for (i, &single) in singles.iter().enumerate() {
            assert_eq!(sda_pair_step(single, tokens[i]), SDA_OK);
            for side in [SDA_SIDE_PLAIN, SDA_SIDE_INSTRUCTED] {
                assert_eq!(row(&together, many[i], side), row(&alone, single, side), "pair {i}, side {side}");
            }
        }
        let step =
            |pairs: &[*mut PairHandle]| sda_pair_step_many(pairs.as_ptr(), tokens.as_ptr(), pairs.len());
        assert_eq!(step(&[]), SDA_OK);
        assert_eq!(sda_pair_step_many(null(), tokens.as_ptr(), 3), SDA_ERR_NULL);
        assert_eq!(sda_pair_step_many(many.as_ptr(), null(), 3), SDA_ERR_NULL);
        assert_eq!(step(&[many[0], null_mut()]), SDA_ERR_NULL);
        assert_eq!(step(&[many[0], many[1], many[0]]), SDA_ERR_PARAM);
        assert_eq!(step(&[many[0], singles[1]]), SDA_ERR_STATE);
        assert!(text(sda_pair_error(many[0])).contains("one context"));
        poison(many[1]);
        assert_eq!(step(&many), SDA_ERR_PANIC);
        assert_eq!(step(&[many[0], many[2]]), SDA_OK, "the others go on");
        for &pair in singles.iter().chain(&many) {
            sda_pair_free(pair);
        }
    }
    together.assert_sound();
}

/// What a host's log did when it was called: the statuses of calls back into the library.
struct Caller {
    sampler: *mut SamplerHandle,
    pair: *mut PairHandle,
    statuses: Vec<i32>,
    message: String,
}

unsafe extern "C" fn call_back(_: i32, _: *const std::ffi::c_char, data: *mut std::ffi::c_void) {
    // SAFETY: the test passed a `Caller` with live handles, which nobody else uses during the call.
    unsafe {
        let caller = &mut *data.cast::<Caller>();
        let mut row = 0;
        caller.statuses.push(sda_sampler_status(caller.sampler));
        caller.statuses.push(sda_pair_row(caller.pair, SDA_SIDE_INSTRUCTED, &mut row));
        caller.statuses.push(sda_sampler_reset(caller.sampler));
        caller.message = text(sda_sampler_error(caller.sampler));
    }
}

#[test]
fn a_hosts_log_may_call_back_into_the_sampler_and_its_pair() {
    let host = FakeHost::new(Config::default());
    let mut caller =
        Caller { sampler: null_mut(), pair: null_mut(), statuses: Vec::new(), message: "unset".into() };
    let to: *mut Caller = &mut caller;
    let table = HostTable { log: Some(call_back), log_data: to.cast(), ..host.table() };
    let tokens = [1, 2, 3];
    let t = tokens.as_ptr();
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        assert_eq!(sda_pair_new(&table, host.ctx(), 0, 1, null_mut(), 0, &mut (*to).pair), SDA_OK);
        let pair = (*to).pair;
        assert_eq!(sda_pair_prefill(pair, t, 3, t, 3, null_mut()), SDA_OK);
        assert_eq!(sda_sampler_new_paired(pair, &params(), null_mut(), 0, &mut (*to).sampler), SDA_OK);
        let sampler = (*to).sampler;
        // No candidates: an error, which is logged.
        assert_eq!(sda_sampler_apply(sampler, &mut TokenDataArray::new(&mut [])), SDA_ERR_CANDIDATES);
        assert_eq!((*to).statuses, [SDA_ERR_CANDIDATES, SDA_OK, SDA_OK]);
        assert_eq!(((*to).message.as_str(), sda_sampler_status(sampler)), ("", SDA_OK));
        sda_sampler_free(sampler);
        sda_pair_free(pair);
    }
}

#[test]
fn steer_equals_the_golden_values_in_place_as_well_and_refuses_an_overlap() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/steer_small.json");
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number = |v: &serde_json::Value| v.as_f64().unwrap_or(f64::NEG_INFINITY);
    let row = |v: &serde_json::Value| v.as_array().unwrap().iter().map(number).collect::<Vec<f64>>();
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let [a, k, t0] = ["a", "k", "t0"].map(|field| number(&case[field]));
        let p: CParams = golden_params(a, k, t0, case["temp_fn"].as_str().unwrap()).into();
        let [mut instructed, plain] = ["logits_instr", "logits_plain"]
            .map(|f| row(&case[f]).iter().map(|&x| x as f32).collect::<Vec<_>>());
        let n = plain.len();
        let mut out = vec![0.0f32; n];
        let mut step = CStep { divergence: -1.0, temperature: -1.0 };
        // SAFETY: all rows hold `n` values but where an overlap is to be refused before it is used.
        unsafe {
            let (i, q) = (instructed.as_mut_ptr(), plain.as_ptr());
            assert_eq!(sda_steer(i, q, n, &p, q.cast_mut(), &mut step), SDA_ERR_PARAM);
            if n > 2 {
                assert_eq!(sda_steer(i, q, n - 1, &p, i.add(1), &mut step), SDA_ERR_PARAM);
            }
            assert_eq!(sda_steer(i, q, 0, &p, out.as_mut_ptr(), &mut step), SDA_ERR_LENGTH);
            assert_eq!(sda_steer(i, q, n, &p, out.as_mut_ptr(), &mut step), SDA_OK);
            assert_eq!(sda_steer(i, q, n, &p, i, &mut step), SDA_OK);
        }
        assert_eq!(out, instructed, "in place");
        let name = &case["name"];
        for (got, expected) in out.iter().zip(row(&case["expected"]["logprobs"])) {
            assert_log_prob(*got, expected, name);
        }
        assert!((f64::from(step.divergence) - number(&case["expected"]["js"])).abs() < 1e-6, "{name}");
    }
    assert!(!cases.is_empty());
}
