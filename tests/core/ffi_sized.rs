//! Structs of older and newer callers: of a shorter one the rest is as by default, and is not written; a
//! longer one may only hold zeros, and gets zeros.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda::host::{HostTable, TokenDataArray};
use sda_test_kit::fake_host::{Config, FakeHost, candidates};
use sda_test_kit::ffi::{made, new_pair, new_sampler};

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
        let status =
            unsafe { sda_pair_new((&raw const newer).cast(), host.ctx(), 0, 1, null_mut(), 0, &mut pair) };
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

/// Checks a struct that the library writes to, for callers that know less or more of it. `smallest` is its
/// first version, `call` has the library write to it.
fn check_output<T>(
    init: unsafe extern "C" fn(*mut T, usize) -> i32,
    smallest: usize,
    call: impl Fn(*mut T) -> i32,
) {
    const LATER: usize = 16;
    let (name, whole) = (std::any::type_name::<T>(), size_of::<T>());
    assert_eq!((whole % 8, align_of::<T>()), (0, 8), "{name}");
    let mut words = vec![u64::MAX; (whole + LATER) / 8];
    let to: *mut u8 = words.as_mut_ptr().cast();
    // SAFETY: the buffer holds more bytes than any size that is passed or named.
    let bytes = || unsafe { std::slice::from_raw_parts(to, whole + LATER) }.to_vec();
    // SAFETY: as before; the first field is the size.
    let size_in = || unsafe { to.cast::<usize>().read() };
    // SAFETY: as before.
    let fill = |byte: u8| unsafe { to.write_bytes(byte, whole + LATER) };
    // SAFETY: as before.
    let made = |size: usize| unsafe { init(to.cast(), size) };

    assert_eq!((made(whole), call(to.cast())), (SDA_OK, SDA_OK), "{name}");
    let expected = bytes();
    assert!(expected[8..whole].iter().any(|&byte| byte != 0), "{name}: nothing was written");
    for size in [smallest, whole, whole + 8] {
        fill(0xff);
        assert_eq!(made(size), SDA_OK, "{name}, {size} bytes");
        assert!(bytes()[8..size].iter().all(|&byte| byte == 0) && size_in() == size, "{name}, {size} bytes");
        // What a newer caller left in a field that the library does not know is no result of the library.
        // SAFETY: as before.
        unsafe { to.add(8).write_bytes(0xff, whole + LATER - 8) };
        assert_eq!(call(to.cast()), SDA_OK, "{name}, {size} bytes");
        let (got, known) = (bytes(), size.min(whole));
        assert_eq!((size_in(), &got[8..known]), (size, &expected[8..known]), "{name}, {size} bytes");
        assert!(got[known..size].iter().all(|&byte| byte == 0), "{name}, {size} bytes");
        assert!(got[size..].iter().all(|&byte| byte == 0xff), "{name}: wrote beyond {size} bytes");
    }
    for size in [0, smallest - 1, 4097, usize::MAX] {
        fill(0xff);
        assert_eq!(made(size), SDA_ERR_VERSION, "{name}, {size} bytes");
        // SAFETY: as before.
        unsafe { to.cast::<usize>().write(size) };
        let before = bytes();
        assert_eq!((call(to.cast()), bytes()), (SDA_ERR_VERSION, before), "{name}, {size} bytes");
    }
}

unsafe extern "C" fn judge(_: *mut std::ffi::c_void, _: *const CJudgeRequest, score: *mut f32) -> i32 {
    // SAFETY: the library lends room for a score.
    unsafe { score.write(50.0) };
    SDA_OK
}

#[test]
fn results_are_written_for_older_and_newer_callers() {
    let host = FakeHost::new(Config::default());
    let (pair, sampler) = (new_pair(&host), new_sampler(null(), 4));
    let logits = [0.0, 1.0, 5.0, 4.0];
    let request = CJudgeRequest {
        query: c"q".as_ptr(),
        draft: c"d".as_ptr(),
        instruction: c"i".as_ptr(),
        ..made(sda_judge_request_init)
    };
    let tokens = [1, 2, 3];
    let t = tokens.as_ptr();
    // SAFETY: all pointers are live, handles are freed once.
    unsafe {
        let mut data = candidates(&logits);
        assert_eq!(sda_sampler_set_plain_logits(sampler, [0.0; 4].as_ptr(), 4), SDA_OK);
        assert_eq!(sda_sampler_apply(sampler, &mut TokenDataArray::new(&mut data)), SDA_OK);
        check_output(sda_step_info_init, std::mem::offset_of!(CStepInfo, temperature), |to| {
            sda_sampler_last_step(sampler, to)
        });
        check_output(sda_stats_init, std::mem::offset_of!(CStats, refused), |to| {
            sda_sampler_stats(sampler, to)
        });
        check_output(sda_prefill_init, std::mem::offset_of!(CPrefill, decoded), |to| {
            sda_pair_clear(pair) + sda_pair_prefill(pair, t, 3, t, 3, to)
        });
        check_output(sda_judgement_init, size_of::<CJudgement>(), |to| {
            sda_judge_amplify(Some(judge), null_mut(), &request, 0, 0, null_mut(), 0, to)
        });
        sda_sampler_free(sampler);
        sda_pair_free(pair);
    }
}

#[test]
fn a_result_that_was_not_set_up_is_refused_before_anything_is_done() {
    let host = FakeHost::new(Config::default());
    let pair = new_pair(&host);
    let mut prefill = CPrefill { struct_size: 0, ..made(sda_prefill_init) };
    // SAFETY: all pointers are live, the handle is freed once.
    unsafe {
        let t = [1, 2, 3].as_ptr();
        assert_eq!(sda_pair_prefill(pair, t, 3, t, 3, &mut prefill), SDA_ERR_VERSION);
        let text = sda_test_kit::ffi::text(sda_pair_error(pair));
        assert!(text.contains("sda_prefill") && text.contains("struct_size is 0, must be 16 to"), "{text}");
        assert_eq!(host.state().decodes, 0);
        sda_pair_free(pair);
    }
}

#[test]
fn the_step_of_the_kernel_needs_no_set_up_and_never_grows() {
    assert_eq!(size_of::<CStep>(), 8);
    let mut step = std::mem::MaybeUninit::<CStep>::uninit();
    let (p, mut out) = (made(sda_params_init), [0.0; 3]);
    let row = [1.0, 2.0, 3.0];
    // SAFETY: all pointers are live; the step is written on success.
    let step = unsafe {
        assert_eq!(sda_steer(row.as_ptr(), row.as_ptr(), 3, &p, out.as_mut_ptr(), step.as_mut_ptr()), SDA_OK);
        step.assume_init()
    };
    assert_eq!((step.divergence, step.temperature), (0.0, p.temperature));
}
