//! After a panic inside the library a handle can only be freed.
//!
//! Panics are forced through the handle behind a chain's sampler (`SharedSampler::with`): a host callback cannot
//! bring one in, since unwinding out of an `extern "C"` function aborts before the library sees it.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda::host::{LlamaSampler, TokenDataArray};
use sda_test_kit::fake_host::{Chain, Config, FakeHost, candidates};
use sda_test_kit::ffi::{ErrorRoom, new_pair, new_sampler, params, poison, text};

#[test]
fn after_a_panic_a_handle_can_only_be_freed() {
    let host = FakeHost::new(Config::default());
    let sampler = new_sampler(&host.table(), 48);
    let mut llama: *mut LlamaSampler = null_mut();
    let mut data = candidates(&[0.5; 48]);
    // SAFETY: handles are live and freed once.
    unsafe {
        assert_eq!(sda_sampler_to_llama(sampler, &mut llama), SDA_OK);
        let chain = Chain::<10>::new(llama);
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
        let room = ErrorRoom::default();
        assert_eq!(sda_sampler_clone(sampler, room.as_ptr(), room.size(), &mut clone), SDA_ERR_PANIC);
        assert!(room.take().contains("panic"));
        assert_eq!(sda_sampler_to_llama(sampler, &mut llama), SDA_ERR_PANIC);
        assert!(clone.is_null());
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
        assert_eq!(sda_sampler_new_paired(pair, &params(), null_mut(), 0, &mut sampler), SDA_OK);
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
        assert_eq!(sda_pair_clone(pair, 2, 3, null_mut(), 0, &mut new_pair), SDA_ERR_PANIC);
        assert_eq!(sda_pair_clear(pair), SDA_ERR_PANIC);
        assert!(text(sda_pair_error(pair)).contains("panic"));
        assert_eq!(sda_sampler_new_paired(pair, &params(), null_mut(), 0, &mut new_sampler), SDA_ERR_PANIC);
        assert_eq!(sda_sampler_set_pair(spare, pair), SDA_ERR_PANIC);
        assert!(new_pair.is_null() && new_sampler.is_null());
        sda_pair_free(pair);
        sda_sampler_free(sampler);
        sda_sampler_free(spare);
    }
    // The context itself is the host's and still works.
    host.assert_sound();
    let tokens = [4, 5];
    let again = self::new_pair(&host);
    // SAFETY: all pointers are live, the handle is freed once.
    unsafe {
        assert_eq!(sda_pair_prefill(again, tokens.as_ptr(), 2, tokens.as_ptr(), 2, null_mut()), SDA_OK);
        sda_pair_free(again);
    }
}
