//! The settings of the steering.

use super::sized::{SizedStruct, init_sized, read_sized};
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::params::Params;
use crate::sampler::{Sampler, Source};

/// Settings of the steering. Set it up with sda_params_init(), then change single fields.
///
/// `struct_size` comes first and tells which fields there are; later versions only append.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CParams {
    /// Size of this struct as the caller knows it; sda_params_init() sets it.
    pub struct_size: usize,
    /// Amplification a, from sda_amplify() or chosen by hand. Any finite number. Default 0: the
    /// instructed distribution as it is.
    pub amplification: f32,
    /// Gain k on the amplification. Any finite number. Default 2. Guidance scale is 1 + k a.
    pub k: f32,
    /// Base temperature T0. Any finite number; 0 or less always takes the most likely token. Default 0.6.
    pub temperature: f32,
    /// Divergence in nats that halves the temperature. Greater than 0; infinity keeps the temperature
    /// fixed. Default 2 ln 2.
    pub sigma: f32,
    /// Floor of the temperature. Finite, at least 0. Default 0.
    pub t_min: f32,
    /// Reserved. Must be 0.
    pub flags: u32,
    /// Nucleus that a sampler cuts the candidate array down to: the fewest tokens that hold this much of the
    /// probability, sorted, so that later samplers of the chain look at a few tokens only. It replaces a
    /// top-p sampler right behind it. Greater than 0 and at most 1. Default 1: all candidates stay, in their
    /// order, and a top-p sampler may follow; so they do when the most likely token is taken. sda_steer()
    /// ignores it.
    pub top_p: f32,
    /// KL budget of a step in nats: the strength is lowered where the steered distribution would be further than
    /// this from the instructed one (KL(steered || instructed), before the temperature). At least 0. Default
    /// infinity: no limit, as in the paper.
    pub max_kl: f32,
    /// KL budget of an answer in nats a token: at every point of it the steered steps so far have not gone further
    /// than this on average, and none of them further than ten times this. At least 0. Default infinity: no limit, as
    /// in the paper. Samplers and engines keep to it; sda_steer() and sda_steer_many() know of no other steps, and
    /// any other value than infinity is SDA_ERR_PARAM there.
    pub mean_kl: f32,
    /// Reserved. Must be 0.
    pub reserved: u32,
}

/// What a caller has set.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) params: Params,
    pub(super) top_p: f32,
}

impl Settings {
    /// A sampler with these settings.
    pub(super) fn sampler(self, source: Source) -> Result<Sampler> {
        let mut sampler = Sampler::new(self.params, source)?;
        sampler.set_top_p(self.top_p)?;
        Ok(sampler)
    }
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CParams {
    const NAME: &'static str = "sda_params";
    const SMALLEST: usize = std::mem::offset_of!(CParams, k);

    fn defaults() -> CParams {
        Params::default().into()
    }
}

impl From<Params> for CParams {
    fn from(p: Params) -> CParams {
        CParams {
            struct_size: size_of::<CParams>(),
            amplification: p.amplification,
            k: p.k,
            temperature: p.temperature,
            sigma: p.sigma,
            t_min: p.t_min,
            flags: 0,
            top_p: 1.0,
            max_kl: p.max_kl,
            mean_kl: p.mean_kl,
            reserved: 0,
        }
    }
}

/// Fills a struct with the default settings.
///
/// `params` is the struct, `size` its size: pass sizeof *params.
///
/// SDA_ERR_VERSION if `size` is smaller than any version of the struct, or larger than 4096.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_params_init(params: *mut CParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size) })
}

/// Reads settings from a caller of any version.
///
/// # Safety
/// `params` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read_params(params: *const CParams) -> Result<Settings> {
    // SAFETY: passed on.
    let p = unsafe { read_sized(params, "params")? };
    for (field, value) in [("flags", p.flags), ("reserved", p.reserved)] {
        if value != 0 {
            return Err(Error::param(field, value, "0"));
        }
    }
    let params = Params {
        amplification: p.amplification,
        k: p.k,
        temperature: p.temperature,
        sigma: p.sigma,
        t_min: p.t_min,
        max_kl: p.max_kl,
        mean_kl: p.mean_kl,
    };
    params.validate()?;
    Ok(Settings { params, top_p: p.top_p })
}
