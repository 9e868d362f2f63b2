//! Which instruction set the step runs on, chosen once per process.

use std::fmt;
use std::sync::LazyLock;

use fearless_simd::{Fallback, Level, Simd};

use crate::error::{Error, Result};

/// An instruction set that the step is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, for any processor.
    Portable,
    /// x86-64 baseline, 4 lanes.
    Sse2,
    /// AVX2 with FMA (x86-64-v3), 8 lanes.
    Avx2,
    /// AVX-512 as of Ice Lake and Zen 4, 16 lanes. Older AVX-512 processors, which slow down when
    /// they use it, take AVX2.
    Avx512,
    /// NEON, on every aarch64, 4 lanes.
    Neon,
}

/// Work that is compiled once per instruction set.
pub(super) trait Job {
    type Output;

    /// Must be `#[inline(always)]`, as must everything it calls: only code that ends up inside
    /// [`Simd::vectorize`] is compiled for the instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    const ALL: [Isa; 5] = [Isa::Portable, Isa::Sse2, Isa::Avx2, Isa::Avx512, Isa::Neon];

    /// The name that [`isa`](super::isa) reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Sse2 => "sse2",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// The best instruction set of this machine.
    pub(super) fn best() -> Isa {
        static BEST: LazyLock<Isa> = LazyLock::new(|| Isa::available().last().unwrap_or(Isa::Portable));
        *BEST
    }

    /// Every instruction set that this machine has, the best one last.
    pub fn available() -> impl Iterator<Item = Isa> {
        struct Nothing;
        impl Job for Nothing {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _simd: S) {}
        }
        Self::ALL.into_iter().filter(|isa| isa.run(Nothing).is_ok())
    }

    /// Runs `job` compiled for this instruction set, or refuses if the machine lacks it.
    pub(super) fn run<J: Job>(self, job: J) -> Result<J::Output> {
        let level = Level::new();
        macro_rules! on {
            ($token:expr) => {
                if let Some(simd) = $token {
                    return Ok(simd.vectorize(
                        #[inline(always)]
                        || job.run(simd),
                    ));
                }
            };
        }
        match self {
            Isa::Portable => on!(Some(Fallback::new())),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Isa::Sse2 => on!(level.as_sse2()),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Isa::Avx2 => on!(level.as_avx2()),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Isa::Avx512 => on!(level.as_avx512()),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => on!(level.as_neon()),
            #[allow(unreachable_patterns, reason = "the rest belongs to other processors")]
            _ => {}
        }
        let _ = level;
        Err(Error::param("isa", self, "one that this machine has"))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
