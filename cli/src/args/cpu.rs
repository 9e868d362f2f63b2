//! On which CPUs threads run, and how.

use clap::Args;
use sda::llama::{CpuSet, Numa, Priority, ThreadOptions};

#[derive(Args, Clone)]
#[command(next_help_heading = "Threads")]
pub struct CpuArgs {
    /// CPUs that threads may run on, as a mask in hexadecimal digits; beside those of --cpu-range.
    #[arg(short = 'C', long, value_name = "MASK", value_parser = CpuSet::of_mask)]
    cpu_mask: Option<CpuSet>,
    /// CPUs that threads may run on, beside those of --cpu-mask. [also -Cr]
    #[arg(long, value_name = "LO-HI", value_parser = CpuSet::of_range)]
    cpu_range: Option<CpuSet>,
    /// One CPU of them for each thread, if 1.
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    cpu_strict: u8,
    /// How urgent threads are: -1 low, 0 normal, 1 medium, 2 high, 3 realtime.
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    prio: Priority,
    /// How long threads look for work before they sleep, 0 to 100. Of no effect in builds with OpenMP, as the usual ones
    /// are.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    poll: u32,
    /// How threads are spread over the nodes of a NUMA machine: distribute, isolate or numactl.
    #[arg(long, value_name = "TYPE")]
    pub numa: Option<Numa>,
}

impl CpuArgs {
    pub fn threads(&self) -> ThreadOptions {
        let cpus = match (self.cpu_mask, self.cpu_range) {
            (Some(mask), Some(range)) => Some(mask.with(range)),
            (mask, range) => mask.or(range),
        };
        ThreadOptions { cpus, strict: self.cpu_strict == 1, priority: self.prio, poll: self.poll }
    }
}
