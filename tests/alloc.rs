//! A step needs no heap: it runs once per token, between two decodes of the host.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sda::Params;
use sda::steer::{Isa, steer, steer_in_place, steer_many, steer_many_in_place, steer_many_with, steer_with};

thread_local! {
    /// Allocations of this thread; the test harness's own threads do not count.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "the only way to count allocations")]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's own obligations.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's own obligations.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations made while `work` runs.
fn count(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(vec![0_u8; 100]))), 1);
}

#[test]
fn a_step_allocates_nothing() {
    let x: Vec<f32> = (0..10_001_u16).map(|i| f32::from(i % 97) / 10.0).collect();
    let y: Vec<f32> = x.iter().rev().copied().collect();
    let (mut row, mut out) = (x.clone(), x.clone());
    let isas: Vec<Isa> = Isa::available().collect();
    // The first call finds out which instruction sets there are.
    steer(&x, &y, &Params::default(), &mut out).unwrap();
    for temperature in [0.0, 0.6] {
        let params = Params { temperature, amplification: 0.5, ..Params::default() };
        let allocations = count(|| {
            steer(&x, &y, &params, &mut out).unwrap();
            steer_in_place(&mut row, &y, &params).unwrap();
            for isa in &isas {
                steer_with(*isa, &x, &y, &params, &mut out).unwrap();
            }
        });
        assert_eq!(allocations, 0);
    }
}

#[test]
fn a_step_by_several_instructions_allocates_at_the_first_call_of_a_thread_only() {
    let x: Vec<f32> = (0..10_001_u16).map(|i| f32::from(i % 97) / 10.0).collect();
    let y: Vec<f32> = x.iter().rev().copied().collect();
    let z: Vec<f32> = x.iter().map(|x| x * x).collect();
    let (mut row, mut out) = (x.clone(), x.clone());
    let isas: Vec<Isa> = Isa::available().collect();
    let params = Params { amplification: 0.5, max_kl: 0.2, ..Params::default() };
    let (others, weights) = ([&x[..], &z], [1.0, -0.5]);
    // The very first call of a process finds out which instruction sets there are.
    steer(&y, &x, &params, &mut out).unwrap();
    let first = count(|| {
        steer_many(&y, &x, &others, &weights, &params, &mut out).unwrap();
    });
    assert!(first > 0, "or this test counts nothing");
    let allocations = count(|| {
        steer_many(&y, &x, &others, &weights, &params, &mut out).unwrap();
        steer_many_in_place(&mut row, 0.5, &y, &others, &weights, &params).unwrap();
        for isa in &isas {
            steer_many_with(*isa, &y, &x, &others, &weights, &params, &mut out).unwrap();
        }
    });
    assert_eq!(allocations, 0);
}
