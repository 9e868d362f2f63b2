//! Which instruction sets the other tests here go through: their loops over `Isa::available()` would pass on the
//! portable path alone.

use sda::steer::{Isa, isa};

#[test]
fn every_machine_has_the_portable_path_and_takes_the_last_that_it_has() {
    let available: Vec<Isa> = Isa::available().collect();
    assert_eq!(available[0], Isa::Portable);
    assert_eq!(isa(), available[available.len() - 1].name());
}

/// NEON belongs to the architecture; an emulator has it, too.
#[cfg(target_arch = "aarch64")]
#[test]
fn arm64_runs_the_portable_path_and_neon_and_takes_neon() {
    assert_eq!(Isa::available().collect::<Vec<_>>(), [Isa::Portable, Isa::Neon]);
    assert_eq!(isa(), "neon");
}

/// SSE2 belongs to the architecture.
#[cfg(target_arch = "x86_64")]
#[test]
fn x86_64_runs_vectors() {
    assert!(Isa::available().any(|isa| isa == Isa::Sse2));
    assert_ne!(isa(), "portable");
}
