//! `sda plot`: pictures of the method, of a trace and of results.

mod amplify;
mod picture;
mod records;
mod step;
mod style;
mod temperature;
#[cfg(test)]
mod testing;
mod trace;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::Outcome;
use step::StepArgs;
use temperature::TemperatureArgs;
use trace::TraceArgs;

#[derive(Args)]
pub struct PlotArgs {
    #[command(subcommand)]
    kind: Kind,
    /// Where to write: FILE.svg or FILE.png.
    #[arg(short, long, value_name = "FILE", global = true)]
    output: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Kind {
    /// Amplification by score, for every map.
    Amplify,
    /// Temperature by divergence.
    Temperature(TemperatureArgs),
    /// Both distributions and the steered one at a step of a trace.
    Step(StepArgs),
    /// Divergence, temperature and guidance along an answer.
    Trace(TraceArgs),
}

pub fn run(args: &PlotArgs) -> Outcome {
    let Some(output) = &args.output else {
        return Err(crate::Failure::Usage("no output: give -o FILE.svg or -o FILE.png".into()));
    };
    picture::Format::of(output)?;
    let svg = match &args.kind {
        Kind::Amplify => amplify::svg()?,
        Kind::Temperature(args) => temperature::svg(args)?,
        Kind::Step(args) => step::svg(args)?,
        Kind::Trace(args) => trace::svg(args)?,
    };
    picture::save(&svg, output)
}
