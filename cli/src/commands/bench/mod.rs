//! `sda bench`: what steering costs on this machine, in ratios that are measured in one run.
//!
//! Whatever is compared is measured in turns, round by round, so that a machine that becomes slower or
//! faster affects both sides of a ratio. Bare decodes get a given text; the tokens of steered answers are
//! drawn.

mod many;
mod report;
mod scene;
mod single;
mod stats;

use crate::failure::Outcome;
use crate::load::{self, Log};
use crate::record;
use crate::ui::console::print;
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

use report::Report;
pub use scene::BenchArgs;
use scene::{Pace, Scene};

pub fn run(args: &BenchArgs) -> Outcome {
    let interrupt = Interrupt::install()?;
    let log = Log::capture(args.verbose);
    let model = load::own_model(&args.model, &log, &interrupt)?;
    let scene = Scene::new(args, &model)?;
    let rounds = args.repetitions as usize;
    interrupt.begin();
    let mut pace = Pace {
        bar: Progress::share("measuring"),
        interrupt: &interrupt,
        done: 0,
        total: rounds * (single::MEASUREMENTS + 2 * args.pairs.len()),
    };
    let mut report = Report::new(args, &scene);
    single::measure(&scene, rounds, &log, &mut pace, &mut report)?;
    many::measure(&scene, rounds, &args.pairs, &log, &mut pace, &mut report)?;
    pace.bar.set(pace.total, pace.total);
    interrupt.end();
    print(&if args.json { format!("{}\n", record::line(&report.record())) } else { report.to_string() })
}
