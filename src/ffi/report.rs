//! What a host can ask a sampler about its steps.

use super::pointer::get;
use super::sampler::SamplerHandle;
use super::sized::{SizedOut, SizedStruct, init_sized};
use crate::error::Error;
use crate::guard::guard;
use crate::sampler::Stats;
use crate::steer::Step;

/// What a step of a sampler or of sda_steer_many() found out. Set it up with sda_step_info_init().
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CStepInfo {
    /// Size of this struct as the caller knows it; sda_step_info_init() sets it.
    pub struct_size: usize,
    /// Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2.
    pub divergence: f32,
    /// Temperature that was applied; 0 if the most likely token was taken.
    pub temperature: f32,
    /// Strength that was applied: k a, or the part of it that max_kl and mean_kl allowed. The guidance scale is 1
    /// more.
    pub gain: f32,
    /// What that did: KL(steered || instructed) in nats, before the temperature. NaN where there was no budget or
    /// no strength.
    pub kl: f32,
}

impl From<Step> for CStepInfo {
    fn from(step: Step) -> CStepInfo {
        CStepInfo {
            divergence: step.divergence as f32,
            temperature: step.temperature as f32,
            gain: step.gain as f32,
            kl: step.kl.map_or(f32::NAN, |kl| kl as f32),
            ..CStepInfo::default()
        }
    }
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CStepInfo {
    const NAME: &'static str = "sda_step_info";
    const SMALLEST: usize = std::mem::offset_of!(CStepInfo, temperature);

    fn defaults() -> CStepInfo {
        CStepInfo::default()
    }
}

/// Sets a struct up to be written to; `size` is sizeof *info. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_step_info_init(info: *mut CStepInfo, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `info`.
    guard(|| unsafe { init_sized(info, size) })
}

/// Counts since a sampler was made or reset. Set it up with sda_stats_init().
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CStats {
    /// Size of this struct as the caller knows it; sda_stats_init() sets it.
    pub struct_size: usize,
    /// Steps that were steered.
    pub steered: u64,
    /// Steps that were refused: their candidates were left as they were.
    pub refused: u64,
    /// Accepts that repeated the one before with no step between, and were ignored.
    pub repeated_accepts: u64,
}

impl From<Stats> for CStats {
    fn from(s: Stats) -> CStats {
        CStats {
            steered: s.steered,
            refused: s.refused,
            repeated_accepts: s.repeated_accepts,
            ..CStats::default()
        }
    }
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CStats {
    const NAME: &'static str = "sda_stats";
    const SMALLEST: usize = std::mem::offset_of!(CStats, refused);

    fn defaults() -> CStats {
        CStats::default()
    }
}

/// Sets a struct up to be written to; `size` is sizeof *stats. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_stats_init(stats: *mut CStats, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `stats`.
    guard(|| unsafe { init_sized(stats, size) })
}

/// What the last steered step found out.
///
/// `info` receives it.
///
/// SDA_ERR_STATE before the first step, SDA_ERR_VERSION if `info` was not set up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_last_step(sampler: *const SamplerHandle, info: *mut CStepInfo) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and `info` has its `struct_size`.
        let (sampler, to) = unsafe { (get(sampler, "sampler")?, SizedOut::new(info, "info")) };
        sampler.with(|sampler| {
            let none = || Error::State { reason: "there was no step yet".into() };
            to?.write(&sampler.last_step().ok_or_else(none)?.into());
            Ok(())
        })
    })
}

/// Counts of steps and accepts.
///
/// `stats` receives them.
///
/// SDA_ERR_VERSION if `stats` was not set up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_sampler_stats(sampler: *const SamplerHandle, stats: *mut CStats) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live, and `stats` has its `struct_size`.
        let (sampler, to) = unsafe { (get(sampler, "sampler")?, SizedOut::new(stats, "stats")) };
        sampler.with(|sampler| {
            to?.write(&sampler.stats().into());
            Ok(())
        })
    })
}
