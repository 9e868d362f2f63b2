//! Where llama.cpp's threads run: Linux tells of each.
#![cfg(target_os = "linux")]

use sda::llama::{ContextOptions, CpuSet, Priority, ThreadOptions};

use crate::models::smollm2;
use crate::rows::{alone, exact};

/// A line of what Linux says of this thread, which is the first of those that compute.
fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().to_owned()
}

/// This thread's scheduling policy, as Linux numbers them.
fn policy() -> u32 {
    let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Fields are counted behind the name, which may hold blanks; the policy is the 41st of all.
    let (_, rest) = text.rsplit_once(") ").unwrap();
    rest.split(' ').nth(41 - 3).unwrap().parse().unwrap()
}

#[test]
fn threads_keep_to_their_cpus_and_to_their_priority() {
    let first = status("Cpus_allowed_list:").split([',', '-']).next().unwrap().to_owned();
    let only = CpuSet::of_range(&format!("{first}-{first}")).unwrap();
    let model = smollm2();
    let tokens = model.tokenize_prompt("Once upon a time").unwrap();
    let compute = |threads| {
        let options = ContextOptions { n_threads: 2, threads, ..exact(64) };
        // A thread of its own, since what is set stays.
        std::thread::scope(|scope| {
            let work = || {
                let rows = alone(&model, options, &tokens[..1], &tokens[1..2]);
                (rows, status("Cpus_allowed_list:"), policy())
            };
            scope.spawn(work).join().unwrap()
        })
    };
    let (plain, everywhere, normal) = compute(ThreadOptions::default());
    assert_eq!(normal, 0, "SCHED_OTHER");
    let (rows, cpus, _) = compute(ThreadOptions { cpus: Some(only), ..ThreadOptions::default() });
    assert_eq!((&rows, &cpus), (&plain, &first));
    assert!(everywhere != first || !everywhere.contains(['-', ',']), "{everywhere}");
    let (rows, _, batch) = compute(ThreadOptions { priority: Priority::Low, ..ThreadOptions::default() });
    assert_eq!((rows, batch), (plain, 3), "SCHED_BATCH");
}
