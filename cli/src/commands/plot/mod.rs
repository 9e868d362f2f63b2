//! `sda plot`: pictures of the method, of a trace and of results.

mod amplify;
mod eval;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod picture;
mod records;
mod step;
mod style;
mod temperature;
#[cfg(test)]
mod testing;
mod trace;
mod tradeoff;
mod viewer;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::{Failure, Outcome};
use eval::EvalArgs;
use picture::Format;
use step::StepArgs;
use temperature::TemperatureArgs;
use trace::TraceArgs;
use tradeoff::TradeoffArgs;
use viewer::ViewerArgs;

#[derive(Args)]
pub struct PlotArgs {
    #[command(subcommand)]
    kind: Kind,
    /// Where to write: FILE.svg or FILE.png, for the viewer FILE.html.
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
    /// Results of sda eval, with their intervals.
    Eval(EvalArgs),
    /// Results of sda eval, two metrics against one another with a point for each arm.
    Tradeoff(TradeoffArgs),
    /// A page that shows a trace token by token, with what both branches would have said (-o FILE.html).
    Viewer(ViewerArgs),
}

pub fn run(args: &PlotArgs) -> Outcome {
    let missing =
        || Failure::Usage("no output: give -o FILE.svg or -o FILE.png (viewer: -o FILE.html)".into());
    let output = args.output.as_deref().ok_or_else(missing)?;
    let format = Format::of(output)?;
    if (format == Format::Html) != matches!(args.kind, Kind::Viewer(_)) {
        let must = if format == Format::Html { ".svg or .png; only the viewer is .html" } else { ".html" };
        return Err(Failure::Usage(format!("{}: the file must end in {must}", output.display())));
    }
    let drawn = match &args.kind {
        Kind::Amplify => amplify::svg()?,
        Kind::Temperature(args) => temperature::svg(args)?,
        Kind::Step(args) => step::svg(args)?,
        Kind::Trace(args) => trace::svg(args)?,
        Kind::Eval(args) => eval::svg(args)?,
        Kind::Tradeoff(args) => tradeoff::svg(args)?,
        Kind::Viewer(args) => viewer::html(args)?,
    };
    picture::save(&drawn, output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{drawn, refused};

    fn plot(kind: Kind, output: Option<PathBuf>) -> Outcome {
        run(&PlotArgs { kind, output })
    }

    #[test]
    fn the_file_gets_what_its_name_says() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let path = folder.path().join(name);
            drawn(plot(Kind::Amplify, Some(path.clone())));
            std::fs::read(path).unwrap()
        };
        assert!(written("a.svg").starts_with(b"<svg "));
        let png = resvg::tiny_skia::Pixmap::decode_png(&written("a.png")).unwrap();
        assert_eq!((png.width(), png.height()), (1600, 1040));
        let colors: std::collections::HashSet<u32> =
            png.data().chunks_exact(4).map(|p| u32::from_ne_bytes([p[0], p[1], p[2], p[3]])).collect();
        assert!(colors.len() > 50, "only {} colours", colors.len());
    }

    #[test]
    fn outputs_that_cannot_be_are_refused_before_anything_is_read() {
        let viewer = || Kind::Viewer(ViewerArgs { trace: "no-such.jsonl".into() });
        let message = |kind, output: &str| refused(plot(kind, Some(output.into())));
        assert!(refused(plot(Kind::Amplify, None)).starts_with("no output: give -o"));
        assert_eq!(message(viewer(), "a.png"), "a.png: the file must end in .html");
        assert_eq!(
            message(Kind::Amplify, "a.html"),
            "a.html: the file must end in .svg or .png; only the viewer is .html"
        );
        assert!(message(viewer(), "a.html").starts_with("no-such.jsonl: "));
        assert!(message(Kind::Amplify, "no-such-folder/a.svg").starts_with("no-such-folder/a.svg: "));
    }
}
