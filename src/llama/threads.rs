//! On which CPUs threads run, and how the system treats them.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::str::FromStr;

use llama_cpp_sys_2 as sys;

use super::options::MAX_THREADS;
use super::raw::RawContext;
use crate::error::{Error, Result};

const WORDS: usize = MAX_THREADS as usize / 64;

/// Some of a machine's CPUs, by their numbers from 0 to 511.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    /// The CPUs of a mask: hexadecimal digits, the last of which is for the CPUs 0 to 3, as llama.cpp reads it.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn of_mask(text: &str) -> std::result::Result<CpuSet, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let wrong = || format!("must be 1 to {} hexadecimal digits, as in 0xff", MAX_THREADS / 4);
        if digits.is_empty() || digits.len() > MAX_THREADS as usize / 4 {
            return Err(wrong());
        }
        let mut set = CpuSet::default();
        for (place, digit) in digits.chars().rev().enumerate() {
            let digit = digit.to_digit(16).ok_or_else(wrong)?;
            (0..4).filter(|bit| digit >> bit & 1 == 1).for_each(|bit| set.insert(4 * place + bit));
        }
        Ok(set)
    }

    /// The CPUs of a range: `LO-HI`, both of them in it; without LO from 0, without HI to the last.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn of_range(text: &str) -> std::result::Result<CpuSet, String> {
        let last = MAX_THREADS as usize - 1;
        let bound = |text: &str, none| if text.is_empty() { Some(none) } else { text.parse().ok() };
        let range = text.split_once('-').and_then(|(lo, hi)| Some((bound(lo, 0)?, bound(hi, last)?)));
        let range = range.filter(|(lo, hi)| lo <= hi && *hi <= last);
        let (lo, hi) = range.ok_or_else(|| format!("must be LO-HI with 0 to {last}, as in 0-3"))?;
        let mut set = CpuSet::default();
        (lo..=hi).for_each(|cpu| set.insert(cpu));
        Ok(set)
    }

    fn insert(&mut self, cpu: usize) {
        self.0[cpu / 64] |= 1 << (cpu % 64);
    }

    /// These and those of another set.
    pub fn with(self, other: CpuSet) -> CpuSet {
        CpuSet(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// True for one of them.
    pub fn contains(self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }
}

/// How urgent the system takes threads to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Less than others.
    Low,
    /// As others.
    #[default]
    Normal,
    /// More than others; on Linux only root may.
    Medium,
    /// Still more.
    High,
    /// Before all others.
    Realtime,
}

impl Priority {
    const ALL: [Priority; 5] =
        [Priority::Low, Priority::Normal, Priority::Medium, Priority::High, Priority::Realtime];

    /// llama.cpp's number for it: -1 is low, 3 is realtime.
    pub fn number(self) -> i32 {
        Priority::ALL.iter().position(|it| *it == self).map_or(0, |place| place as i32 - 1)
    }

    /// The setting of one of llama.cpp's numbers.
    ///
    /// # Errors
    /// [`Error::Param`] for another.
    pub fn of_number(number: i32) -> Result<Priority> {
        let place = usize::try_from(number.saturating_add(1)).ok().and_then(|place| Priority::ALL.get(place));
        place.copied().ok_or_else(|| Error::param("prio", number, "-1 (low) to 3 (realtime)"))
    }
}

impl FromStr for Priority {
    type Err = String;

    /// As llama.cpp reads it: a number.
    fn from_str(text: &str) -> std::result::Result<Priority, String> {
        let number = text.parse().ok().and_then(|number| Priority::of_number(number).ok());
        number.ok_or_else(|| "must be -1 (low), 0 (normal), 1 (medium), 2 (high) or 3 (realtime)".to_owned())
    }
}

/// Threads that are not left to the system. With OpenMP the thread that decodes is one of them, and keeps what is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadOptions {
    /// The CPUs that threads may run on. None for all.
    pub cpus: Option<CpuSet>,
    /// One CPU of them for each thread. Default false.
    pub strict: bool,
    /// How urgent they are.
    pub priority: Priority,
    /// How long they look for work before they sleep, 0 to 100; of no effect in builds with OpenMP, as this one is by
    /// default. Default 50.
    pub poll: u32,
}

impl Default for ThreadOptions {
    fn default() -> ThreadOptions {
        ThreadOptions { cpus: None, strict: false, priority: Priority::Normal, poll: 50 }
    }
}

impl ThreadOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if self.cpus == Some(CpuSet::default()) {
            return Err(Error::param("cpus", "none", "at least one"));
        }
        if self.poll > 100 {
            return Err(Error::param("poll", self.poll, "at least 0 and at most 100"));
        }
        Ok(())
    }

    fn params(&self, n_threads: i32) -> sys::ggml_threadpool_params {
        // SAFETY: a plain function.
        let mut params = unsafe { sys::ggml_threadpool_params_default(n_threads) };
        if let Some(cpus) = self.cpus {
            params.cpumask = std::array::from_fn(|cpu| cpus.contains(cpu));
        }
        params.strict_cpu = self.strict;
        params.prio = self.priority.number();
        params.poll = self.poll;
        params
    }
}

/// llama.cpp's own threads for a context.
pub(super) struct ThreadPool(NonNull<sys::ggml_threadpool>);

impl ThreadPool {
    /// Makes one and has the context use it. It has to live for longer than the context. None where the threads are left
    /// to the system.
    pub(super) fn attach(
        context: &mut RawContext,
        options: &ThreadOptions,
        n_threads: u32,
    ) -> Result<Option<ThreadPool>> {
        if *options == ThreadOptions::default() {
            return Ok(None);
        }
        type New = unsafe extern "C" fn(*mut sys::ggml_threadpool_params) -> *mut sys::ggml_threadpool;
        let mut params = options.params(n_threads as i32);
        // SAFETY: the function has this type, and the parameters are whole.
        let pool = NonNull::new(unsafe {
            let new = function(c"ggml_threadpool_new")?;
            std::mem::transmute::<NonNull<c_void>, New>(new)(&mut params)
        });
        let pool = pool.map(ThreadPool).ok_or_else(|| Error::Model {
            reason: format!("llama.cpp could not make {n_threads} threads"),
        })?;
        // SAFETY: both are live; the caller keeps the pool.
        unsafe { sys::llama_attach_threadpool(context.as_ptr(), pool.0.as_ptr(), std::ptr::null_mut()) };
        Ok(Some(pool))
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        type Free = unsafe extern "C" fn(*mut sys::ggml_threadpool);
        let Ok(free) = function(c"ggml_threadpool_free") else { return };
        // SAFETY: the function has this type; the pool was made above and is freed once, after the context that used it.
        unsafe { std::mem::transmute::<NonNull<c_void>, Free>(free)(self.0.as_ptr()) }
    }
}

/// A function of the CPU backend, which may be a module: then nothing can be linked with it.
fn function(name: &CStr) -> Result<NonNull<c_void>> {
    // SAFETY: the name is a text; the CPU backend is always there.
    let function = unsafe {
        let device = sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU);
        let backend = sys::ggml_backend_dev_backend_reg(device);
        sys::ggml_backend_reg_get_proc_address(backend, name.as_ptr())
    };
    let missing =
        || Error::Model { reason: format!("llama.cpp's CPU backend has no {}", name.to_string_lossy()) };
    NonNull::new(function).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(set: CpuSet) -> Vec<usize> {
        (0..MAX_THREADS as usize).filter(|&cpu| set.contains(cpu)).collect()
    }

    #[test]
    fn masks_and_ranges_are_read_as_llama_cpp_reads_them() {
        assert_eq!(cpus(CpuSet::of_mask("0x5").unwrap()), [0, 2]);
        assert_eq!(cpus(CpuSet::of_mask("F0").unwrap()), [4, 5, 6, 7]);
        assert_eq!(cpus(CpuSet::of_mask(&format!("8{}", "0".repeat(127))).unwrap()), [511]);
        assert_eq!(cpus(CpuSet::of_range("2-4").unwrap()), [2, 3, 4]);
        assert_eq!(cpus(CpuSet::of_range("-1").unwrap()), [0, 1]);
        assert_eq!(cpus(CpuSet::of_range("510-").unwrap()), [510, 511]);
        assert_eq!(cpus(CpuSet::of_mask("1").unwrap().with(CpuSet::of_range("3-3").unwrap())), [0, 3]);
        for wrong in ["", "0x", "g", &"f".repeat(129)] {
            assert!(
                CpuSet::of_mask(wrong).unwrap_err().starts_with("must be 1 to 128 hexadecimal"),
                "{wrong}"
            );
        }
        for wrong in ["", "3", "4-3", "0-512", "a-b"] {
            assert!(CpuSet::of_range(wrong).unwrap_err().starts_with("must be LO-HI"), "{wrong}");
        }
    }

    #[test]
    fn priorities_have_llama_cpps_numbers() {
        for (number, priority) in (-1..=3).zip(Priority::ALL) {
            assert_eq!((Priority::of_number(number), priority.number()), (Ok(priority), number));
        }
        assert!(
            Priority::of_number(4).is_err()
                && Priority::of_number(-2).is_err()
                && "x".parse::<Priority>().is_err()
        );
        let error =
            ThreadOptions { poll: 101, ..ThreadOptions::default() }.validate().unwrap_err().to_string();
        assert_eq!(error, "poll is 101, must be at least 0 and at most 100");
        assert!(
            ThreadOptions { cpus: Some(CpuSet::default()), ..ThreadOptions::default() }.validate().is_err()
        );
    }
}
