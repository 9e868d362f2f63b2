//! Every export of the C interface, called as C does: NULL for each pointer, wrong sizes and numbers,
//! older and newer callers.
//!
//! Panics are forced through the handle behind a chain's sampler (`SharedSampler::with`): a host callback cannot
//! bring one in, since unwinding out of an `extern "C"` function aborts before the library sees it.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::CStr;
use std::ptr::{null, null_mut};

use sda::Error;
use sda::ffi::*;
use sda::host::{HostTable, LlamaSampler, TokenDataArray};
use sda::sampler::Source;
use sda_test_kit::fake_host::{Config, FakeHost, candidates};
use sda_test_kit::maths::{assert_log_prob, params as golden_params};

fn text(pointer: *const std::ffi::c_char) -> String {
    assert!(!pointer.is_null());
    // SAFETY: the library gives NUL-terminated text that lives for now.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

fn params() -> CParams {
    let mut params = std::mem::MaybeUninit::uninit();
    // SAFETY: the struct has the size that is passed, and is filled on success.
    unsafe {
        assert_eq!(sda_params_init(params.as_mut_ptr(), size_of::<CParams>()), SDA_OK);
        params.assume_init()
    }
}

fn new_sampler(host: *const HostTable, n_vocab: usize) -> *mut SamplerHandle {
    let mut sampler = null_mut();
    // SAFETY: all pointers are live.
    assert_eq!(unsafe { sda_sampler_new(host, n_vocab, &params(), &mut sampler) }, SDA_OK);
    sampler
}

fn new_pair(host: &FakeHost) -> *mut PairHandle {
    let mut pair = null_mut();
    // SAFETY: all pointers are live.
    assert_eq!(unsafe { sda_pair_new(&host.table(), host.ctx(), 0, 1, &mut pair) }, SDA_OK);
    pair
}

#[test]
fn status_codes_are_those_of_the_errors() {
    let text = || String::new();
    let all = [
        (Error::Null { name: "" }, SDA_ERR_NULL),
        (Error::Param { field: "", value: text(), allowed: "" }, SDA_ERR_PARAM),
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
fn the_version_is_the_packages() {
    // SAFETY: take nothing.
    unsafe {
        assert_eq!(text(sda_version()), env!("CARGO_PKG_VERSION"));
        assert_eq!(sda_abi_version(), SDA_ABI_VERSION);
    }
}

#[test]
fn settings_of_older_and_newer_callers_are_understood() {
    let (old, whole) = (std::mem::offset_of!(CParams, k), size_of::<CParams>());
    let mut a = 0;
    // A newer caller's struct: eight more bytes than this library knows.
    let mut big = [0xffu8; size_of::<CParams>() + 16].map(u64::from).map(|b| b as u8);
    let mut words = vec![u64::MAX; big.len() / 8];
    let made: *mut CParams = words.as_mut_ptr().cast();
    let sampler = new_sampler(null(), 4);
    // SAFETY: the buffer holds more bytes than any size that is passed.
    unsafe {
        assert_eq!(sda_params_init(null_mut(), whole), SDA_ERR_NULL);
        for size in 0..old {
            assert_eq!(sda_params_init(made, size), SDA_ERR_VERSION);
        }
        assert!(words_are(made, 0xff), "written on a failure");
        for size in [old, old + 4, whole, whole + 8] {
            std::ptr::write_bytes(made.cast::<u8>(), 0xff, big.len());
            assert_eq!(sda_params_init(made, size), SDA_OK);
            std::ptr::copy_nonoverlapping(made.cast(), big.as_mut_ptr(), big.len());
            assert!(big[size..].iter().all(|&byte| byte == 0xff), "wrote beyond {size} bytes");
            assert_eq!((*made).struct_size, size);
            assert_eq!(sda_sampler_set_params(sampler, made), SDA_OK, "{size}");
            a += 1;
        }
        // The field that is not known yet is set.
        made.cast::<u8>().add(whole).write(1);
        assert_eq!(sda_sampler_set_params(sampler, made), SDA_ERR_VERSION);
        for size in [0, 1, old - 1, 4097, usize::MAX] {
            (*made).struct_size = size;
            assert_eq!(sda_sampler_set_params(sampler, made), SDA_ERR_VERSION, "{size}");
        }
        sda_sampler_free(sampler);
    }
    assert_eq!(a, 4);
}

/// # Safety
/// `made` points to at least 40 bytes.
unsafe fn words_are(made: *const CParams, byte: u8) -> bool {
    // SAFETY: see above.
    (0..40).all(|i| unsafe { made.cast::<u8>().add(i).read() } == byte)
}

#[test]
fn top_p_shrinks_the_array_for_callers_that_know_of_it() {
    let logits = [0.0, 1.0, 5.0, 4.0];
    let apply = |struct_size: usize| {
        let p = CParams { top_p: 0.9, struct_size, ..params() };
        let sampler = new_sampler(null(), 4);
        let mut data = sda_test_kit::fake_host::candidates(&logits);
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
fn bad_settings_are_refused() {
    let sampler = new_sampler(null(), 4);
    let change: [fn(&mut CParams); 11] = [
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
        |p| p.reserved = 1,
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
fn host_tables_of_older_and_newer_callers_are_understood() {
    let host = FakeHost::new(Config::default());
    // Up to the last required function; no n_seq_max, no way to make contexts or samplers, no log.
    let old = std::mem::offset_of!(HostTable, n_seq_max);
    let whole = size_of::<HostTable>();
    #[repr(C)]
    struct Newer {
        table: HostTable,
        later: usize,
    }
    let open = |size: usize, later: usize| {
        let newer = Newer { table: HostTable { struct_size: size, ..host.table() }, later };
        let mut pair = null_mut();
        // SAFETY: there are as many bytes as the largest valid size.
        let status = unsafe { sda_pair_new((&raw const newer).cast(), host.ctx(), 0, 1, &mut pair) };
        assert_eq!(pair.is_null(), status != SDA_OK);
        // SAFETY: NULL or a new handle.
        unsafe { sda_pair_free(pair) };
        status
    };
    assert_eq!([open(old, 0), open(whole, 7), open(whole + 8, 0)], [SDA_OK; 3]);
    assert_eq!(open(whole + 8, 7), SDA_ERR_VERSION);
    assert_eq!([open(0, 0), open(8, 0), open(4097, 0), open(usize::MAX, 0)], [SDA_ERR_VERSION; 4]);
    // Long enough to be read, too short for what is required.
    assert_eq!(open(std::mem::offset_of!(HostTable, n_batch), 0), SDA_ERR_NULL);
}

#[test]
fn null_is_refused_by_every_export() {
    let host = FakeHost::new(Config::default());
    let (table, params, ctx) = (host.table(), params(), host.ctx());
    let (pair, sampler) = (new_pair(&host), new_sampler(&table, 48));
    let (row, mut out) = ([0.0f32; 48], [0.0f32; 48]);
    let tokens = [1, 2, 3];
    let (mut new_p, mut new_s, mut llama) = (null_mut(), null_mut(), null_mut());
    let (mut float, mut number, mut logits) = (0.0, 0, null());
    let mut step = CStep { divergence: 0.0, temperature: 0.0 };
    let mut data = candidates(&row);
    let mut array = TokenDataArray::new(&mut data);
    let t = tokens.as_ptr();
    // SAFETY: every pointer is NULL or live, and counts fit.
    let statuses = unsafe {
        vec![
            sda_amplify(0, 50.0, null_mut()),
            sda_steer(null(), row.as_ptr(), 48, &params, out.as_mut_ptr(), &mut step),
            sda_steer(row.as_ptr(), null(), 48, &params, out.as_mut_ptr(), &mut step),
            sda_steer(row.as_ptr(), row.as_ptr(), 48, null(), out.as_mut_ptr(), &mut step),
            sda_steer(row.as_ptr(), row.as_ptr(), 48, &params, null_mut(), &mut step),
            sda_steer(row.as_ptr(), row.as_ptr(), 48, &params, out.as_mut_ptr(), null_mut()),
            sda_pair_new(null(), ctx, 0, 1, &mut new_p),
            sda_pair_new(&table, null_mut(), 0, 1, &mut new_p),
            sda_pair_new(&table, ctx, 0, 1, null_mut()),
            sda_pair_prefill(null_mut(), t, 3, t, 3, null_mut()),
            sda_pair_prefill(pair, null(), 3, t, 3, null_mut()),
            sda_pair_prefill(pair, t, 3, null(), 3, null_mut()),
            sda_pair_step(null_mut(), 1),
            sda_pair_row(null_mut(), 0, &mut number),
            sda_pair_row(pair, 0, null_mut()),
            sda_pair_logits(null_mut(), 0, &mut logits),
            sda_pair_logits(pair, 0, null_mut()),
            sda_pair_fork(null_mut(), 2, 3, &mut new_p),
            sda_pair_fork(pair, 2, 3, null_mut()),
            sda_pair_clear(null_mut()),
            sda_sampler_new_paired(null(), &params, &mut new_s),
            sda_sampler_new_paired(pair, null(), &mut new_s),
            sda_sampler_new_paired(pair, &params, null_mut()),
            sda_sampler_new_dropin(null(), ctx, t, 3, &params, &mut new_s),
            sda_sampler_new_dropin(&table, null_mut(), t, 3, &params, &mut new_s),
            sda_sampler_new_dropin(&table, ctx, null(), 3, &params, &mut new_s),
            sda_sampler_new_dropin(&table, ctx, t, 3, null(), &mut new_s),
            sda_sampler_new_dropin(&table, ctx, t, 3, &params, null_mut()),
            sda_sampler_new(&table, 48, null(), &mut new_s),
            sda_sampler_new(&table, 48, &params, null_mut()),
            sda_sampler_llama(null(), &mut llama),
            sda_sampler_llama(sampler, null_mut()),
            sda_sampler_from_llama(null(), &mut new_s),
            sda_sampler_clone(null(), &mut new_s),
            sda_sampler_clone(sampler, null_mut()),
            sda_sampler_apply(null(), &mut array),
            sda_sampler_apply(sampler, null_mut()),
            sda_sampler_accept(null(), 1),
            sda_sampler_reset(null()),
            sda_sampler_set_params(null(), &params),
            sda_sampler_set_params(sampler, null()),
            sda_sampler_set_pair(null(), pair),
            sda_sampler_set_pair(sampler, null()),
            sda_sampler_set_prompt(null(), t, 3),
            sda_sampler_set_prompt(sampler, null(), 3),
            sda_sampler_set_plain_logits(null(), row.as_ptr(), 48),
            sda_sampler_set_plain_logits(sampler, null(), 48),
            sda_sampler_status(null()),
            sda_sampler_last_step(null(), &mut step),
            sda_sampler_last_step(sampler, null_mut()),
            sda_sampler_stats(null(), null_mut()),
            sda_sampler_stats(sampler, null_mut()),
        ]
    };
    for (i, status) in statuses.iter().enumerate() {
        assert_eq!(*status, SDA_ERR_NULL, "call {i}");
    }
    assert!(new_p.is_null() && new_s.is_null() && llama.is_null() && logits.is_null());
    // SAFETY: NULL is fine for these; handles are freed once.
    unsafe {
        assert!(sda_pair_error(null()).is_null() && sda_sampler_error(null()).is_null());
        assert_eq!(sda_amplify(7, 50.0, &mut float), SDA_ERR_PARAM);
        assert_eq!(sda_amplify(0, 0.0, &mut float), SDA_ERR_PARAM);
        assert_eq!(sda_pair_row(pair, 2, &mut number), SDA_ERR_PARAM);
        assert_eq!(sda_pair_logits(pair, -1, &mut logits), SDA_ERR_PARAM);
        assert_eq!(sda_pair_row(pair, 1, &mut number), SDA_ERR_STATE);
        assert_eq!(sda_pair_prefill(pair, t, usize::MAX, t, 3, null_mut()), SDA_ERR_LENGTH);
        assert_eq!(sda_pair_prefill(pair, t, 0, t, 3, null_mut()), SDA_ERR_PROMPT);
        assert!(text(sda_pair_error(pair)).contains("plain prompt"));
        assert_eq!(sda_sampler_set_plain_logits(sampler, row.as_ptr(), 47), SDA_ERR_LENGTH);
        assert_eq!(sda_sampler_last_step(sampler, &mut step), SDA_ERR_STATE);
        assert_eq!(sda_sampler_new(null(), 0, &params, &mut new_s), SDA_ERR_PARAM);
        sda_pair_free(null_mut());
        sda_sampler_free(null_mut());
        sda_pair_free(pair);
        sda_sampler_free(sampler);
    }
}

#[test]
fn after_a_panic_a_handle_can_only_be_freed() {
    let host = FakeHost::new(Config::default());
    let sampler = new_sampler(&host.table(), 48);
    let mut llama: *mut LlamaSampler = null_mut();
    let mut data = candidates(&[0.5; 48]);
    // SAFETY: handles are live and freed once.
    unsafe {
        assert_eq!(sda_sampler_llama(sampler, &mut llama), SDA_OK);
        let chain = sda_test_kit::fake_host::Chain::<10>::new(llama);
        let handle = chain.sampler();
        std::panic::set_hook(Box::new(|_| {}));
        let _ = handle.with(|_| -> sda::Result<()> { panic!("forced by a test") });
        let _ = std::panic::take_hook();
        let mut clone = null_mut();
        assert_eq!(sda_sampler_status(sampler), SDA_ERR_PANIC);
        assert!(text(sda_sampler_error(sampler)).contains("panic"));
        assert_eq!(sda_sampler_apply(sampler, &mut TokenDataArray::new(&mut data)), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_accept(sampler, 1), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_reset(sampler), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_clone(sampler, &mut clone), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_llama(sampler, &mut llama), SDA_ERR_PANIC);
        assert!(clone.is_null());
        drop(chain);
        sda_sampler_free(sampler);
    }
}

/// Panics where the library holds the pair: in a step of a sampler.
fn poison(pair: *mut PairHandle) {
    let (mut sampler, mut llama) = (null_mut(), null_mut());
    // SAFETY: handles are live and freed once.
    unsafe {
        assert_eq!(sda_sampler_new_paired(pair, &params(), &mut sampler), SDA_OK);
        assert_eq!(sda_sampler_llama(sampler, &mut llama), SDA_OK);
        let chain = sda_test_kit::fake_host::Chain::<6>::new(llama);
        let handle = chain.sampler();
        std::panic::set_hook(Box::new(|_| {}));
        let result = handle.with(|sampler| -> sda::Result<()> {
            let Source::Paired(pair) = sampler.source() else { unreachable!() };
            let _held = pair.lock();
            panic!("forced by a test")
        });
        let _ = std::panic::take_hook();
        assert_eq!(result, Err(Error::Panic));
        drop(chain);
        sda_sampler_free(sampler);
    }
}

#[test]
fn after_a_panic_a_pair_and_all_samplers_on_it_refuse() {
    let host = FakeHost::new(Config::default());
    let (pair, spare, mut sampler) = (new_pair(&host), new_sampler(&host.table(), 48), null_mut());
    let (mut row, mut logits, mut new_pair, mut new_sampler) = (0, null(), null_mut(), null_mut());
    let tokens = [1, 2, 3];
    let t = tokens.as_ptr();
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        assert_eq!(sda_pair_prefill(pair, t, 3, t, 3, null_mut()), SDA_OK);
        assert_eq!(sda_sampler_new_paired(pair, &params(), &mut sampler), SDA_OK);
        assert_eq!(sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &mut row), SDA_OK);
        let mut data = candidates(&host.row(row));
        poison(pair);
        let before = data.clone();
        assert_eq!(sda_sampler_apply(sampler, &mut TokenDataArray::new(&mut data)), SDA_ERR_PANIC);
        assert_eq!(data, before);
        assert_eq!(sda_sampler_status(sampler), SDA_ERR_PANIC);
        assert_eq!(sda_pair_prefill(pair, t, 3, t, 3, null_mut()), SDA_ERR_PANIC);
        assert_eq!(sda_pair_step(pair, 1), SDA_ERR_PANIC);
        assert_eq!(sda_pair_row(pair, SDA_SIDE_PLAIN, &mut row), SDA_ERR_PANIC);
        assert_eq!(sda_pair_logits(pair, SDA_SIDE_PLAIN, &mut logits), SDA_ERR_PANIC);
        assert_eq!(sda_pair_fork(pair, 2, 3, &mut new_pair), SDA_ERR_PANIC);
        assert_eq!(sda_pair_clear(pair), SDA_ERR_PANIC);
        assert!(text(sda_pair_error(pair)).contains("panic"));
        assert_eq!(sda_sampler_new_paired(pair, &params(), &mut new_sampler), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_set_pair(spare, pair), SDA_ERR_PANIC);
        assert!(new_pair.is_null() && new_sampler.is_null());
        sda_pair_free(pair);
        sda_sampler_free(sampler);
        sda_sampler_free(spare);
    }
    // The context itself is the host's and goes on.
    host.assert_sound();
    let tokens = [4, 5];
    let again = self::new_pair(&host);
    // SAFETY: all pointers are live, the handle is freed once.
    unsafe {
        assert_eq!(sda_pair_prefill(again, tokens.as_ptr(), 2, tokens.as_ptr(), 2, null_mut()), SDA_OK);
        sda_pair_free(again);
    }
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
                    assert_eq!(sda_pair_new(&table, host.ctx(), plain, plain + 1, &mut pair), SDA_OK);
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
        assert_eq!(sda_pair_new(&table, host.ctx(), 0, 1, &mut (*to).pair), SDA_OK);
        let pair = (*to).pair;
        assert_eq!(sda_pair_prefill(pair, t, 3, t, 3, null_mut()), SDA_OK);
        assert_eq!(sda_sampler_new_paired(pair, &params(), &mut (*to).sampler), SDA_OK);
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
