//! Structs that cross the boundary by pointer, and how their size tells their version.

use super::guard::{guard, out};
use super::judge::{CJudgeRequest, SDA_DIMENSION_NONE};
use crate::error::{Error, Result};
use crate::host::HostTable;
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

/// Fields up to here are in every version of the struct.
const SMALLEST_PARAMS: usize = std::mem::offset_of!(CParams, k);

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
            reserved: 0,
        }
    }
}

/// Fills a struct with the default settings.
///
/// `params` is the struct, `size` its size: pass sizeof *params. SDA_ERR_NULL if `params` is NULL,
/// SDA_ERR_VERSION if `size` is smaller than any version of the struct.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_params_init(params: *mut CParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size, "sda_params", SMALLEST_PARAMS, Params::default().into()) })
}

/// Reads settings from a caller of any version.
///
/// # Safety
/// `params` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read_params(params: *const CParams) -> Result<Settings> {
    // SAFETY: passed on.
    let p = unsafe { read_sized(params, "params", "sda_params", SMALLEST_PARAMS, Params::default().into()) }?;
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
    };
    params.validate()?;
    Ok(Settings { params, top_p: p.top_p })
}

/// Reads a host table from a caller of any version.
///
/// # Safety
/// `host` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read_host(host: *const HostTable) -> Result<HostTable> {
    let smallest = std::mem::offset_of!(HostTable, get_logits_ith);
    // SAFETY: passed on.
    unsafe { read_sized(host, "host", "sda_host", smallest, HostTable::EMPTY) }
}

/// Fills a struct whose first field is its size, as much of it as the caller knows.
///
/// # Safety
/// `to` is NULL or valid for writing `size` bytes, and `T` is plain data that begins with a `usize`.
pub(super) unsafe fn init_sized<T: Copy>(
    to: *mut T,
    size: usize,
    what: &'static str,
    smallest: usize,
    defaults: T,
) -> Result<()> {
    let bytes: *mut u8 = out(to, "params")?.cast();
    if size < smallest {
        return Err(too_small(what, size, smallest));
    }
    // SAFETY: see above; no more than `size` bytes are written.
    unsafe {
        bytes.write_bytes(0, size);
        bytes.copy_from_nonoverlapping((&raw const defaults).cast(), size.min(size_of::<T>()));
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(())
}

/// Reads a judge request from a caller of any version.
///
/// # Safety
/// `request` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read_judge_request(request: *const CJudgeRequest) -> Result<CJudgeRequest> {
    let defaults = CJudgeRequest {
        struct_size: size_of::<CJudgeRequest>(),
        query: std::ptr::null(),
        draft: std::ptr::null(),
        instruction: std::ptr::null(),
        dimension: SDA_DIMENSION_NONE,
        flags: 0,
    };
    let smallest = std::mem::offset_of!(CJudgeRequest, dimension);
    // SAFETY: passed on.
    let mut read = unsafe { read_sized(request, "request", "sda_judge_request", smallest, defaults) }?;
    if read.flags != 0 {
        return Err(Error::param("flags", read.flags, "0"));
    }
    // It is handed on to the host's judge, as a struct of this version.
    read.struct_size = defaults.struct_size;
    Ok(read)
}

/// Reads a struct whose first field is its size. A shorter one (an older caller) is filled up from
/// `defaults`; a longer one (a newer caller) may hold only zeros beyond what is known here.
///
/// # Safety
/// `from` is NULL or points to as many bytes as its first field says, and `T` is plain data that begins
/// with a `usize`.
pub(super) unsafe fn read_sized<T: Copy>(
    from: *const T,
    name: &'static str,
    what: &'static str,
    smallest: usize,
    defaults: T,
) -> Result<T> {
    if from.is_null() {
        return Err(Error::Null { name });
    }
    let bytes: *const u8 = from.cast();
    // SAFETY: see above; reads stay within the size that the caller names.
    unsafe {
        let size = from.cast::<usize>().read_unaligned();
        if size < smallest {
            return Err(too_small(what, size, smallest));
        }
        let mut value = defaults;
        let known = size.min(size_of::<T>());
        (&raw mut value).cast::<u8>().copy_from_nonoverlapping(bytes, known);
        if size > size_of::<T>() {
            // A struct never grows that much; such a size is a field that was not set.
            const LARGEST: usize = 4096;
            if size > LARGEST {
                let reason = format!("struct_size is {size}, must be at most {LARGEST}");
                return Err(Error::Version { what, reason });
            }
            let tail = std::slice::from_raw_parts(bytes.add(size_of::<T>()), size - size_of::<T>());
            if tail.iter().any(|&byte| byte != 0) {
                let reason = "a field is set that this version of the library does not know".to_owned();
                return Err(Error::Version { what, reason });
            }
        }
        Ok(value)
    }
}

fn too_small(what: &'static str, size: usize, smallest: usize) -> Error {
    Error::Version { what, reason: format!("struct_size is {size}, must be at least {smallest}") }
}
