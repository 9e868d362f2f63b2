//! `sda plot tradeoff`: two metrics of `sda eval` against one another, a point an arm.

use std::path::PathBuf;

use clap::Args;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::picture::{self, Area, Drawn};
use super::style::{
    Axis, INK, LINE_WIDTH, SMALL_SIZE, TEXT_SIZE, color, mark, panel, short, spot, text, titled,
};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Source};
use crate::measure::report::ALL;
use crate::record::{EvalReport, EvalRow};

/// Size of a model's panel, and of the picture's margins around it.
const PANEL: i32 = 900;
const LEFT: i32 = 130;
const BELOW: i32 = 96;
const TOP: i32 = 130;
const HEADING: i32 = 60;

#[derive(Args)]
pub struct TradeoffArgs {
    /// Results of sda eval --json, a panel each; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The metric from left to right.
    #[arg(long, value_name = "NAME", default_value = "on_topic")]
    pub x: String,
    /// The metric from the bottom to the top.
    #[arg(long, value_name = "NAME", default_value = "prompt_strict")]
    pub y: String,
    /// Only this arm; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub arm: Vec<String>,
}

/// The picture as SVG.
pub fn svg(args: &TradeoffArgs) -> Outcome<String> {
    let mut results = Vec::new();
    for path in &args.files {
        results.push(parse(&input::read(path)?, args)?);
    }
    of(&results, args)
}

/// Where an arm stands.
struct Point {
    arm: String,
    at: [f64; 2],
    /// Intervals of both metrics.
    ends: [Option<(f64, f64)>; 2],
}

/// Results of a run.
struct Results {
    heading: String,
    points: Vec<Point>,
}

fn parse(source: &Source, args: &TradeoffArgs) -> Outcome<Results> {
    let failed = |why: String| Failure::Failed(format!("{}: {why}", source.name));
    let report = EvalReport::read(&source.text).map_err(failed)?;
    let is_all = |row: &&EvalRow| row.category.as_deref().unwrap_or(ALL) == ALL;
    let rows = |metric: &str| -> Vec<&EvalRow> {
        report.metrics.iter().filter(|row| row.metric == metric).filter(is_all).collect()
    };
    let other = rows(&args.y);
    let mut points = Vec::new();
    let is_wanted = |row: &&EvalRow| args.arm.is_empty() || args.arm.contains(&row.arm);
    for x in rows(&args.x).into_iter().filter(is_wanted) {
        let Some(y) = other.iter().find(|y| y.arm == x.arm) else { continue };
        let (Some(a), Some(b)) = (x.value, y.value) else { continue };
        points.push(Point { arm: x.arm.clone(), at: [a, b], ends: [x.low.zip(x.high), y.low.zip(y.high)] });
    }
    if points.is_empty() {
        return Err(failed(format!("no arm has both metrics, {} and {}", args.x, args.y)));
    }
    let heading = report.model.unwrap_or(report.task);
    Ok(Results { heading: format!("{heading}, {} items", report.items), points })
}

fn of(results: &[Results], args: &TradeoffArgs) -> Outcome<String> {
    let mut arms: Vec<&str> = Vec::new();
    for point in results.iter().flat_map(|results| &results.points) {
        if !arms.contains(&point.arm.as_str()) {
            arms.push(&point.arm);
        }
    }
    let title = format!("{} against {}", args.y, args.x);
    let legend = 60 + 44 * arms.len() as i32;
    let size = (60 + results.len() as u32 * PANEL as u32, (TOP + HEADING + PANEL + legend) as u32);
    picture::draw(size, &title, |area| {
        let area = titled(area, &title)?;
        let (panels, below) = area.split_vertically(HEADING + PANEL);
        let mut rest = panels;
        for results in results {
            let (one, right) = rest.split_horizontally(PANEL);
            paint(&one, results, &arms, args)?;
            rest = right;
        }
        for (n, arm) in arms.iter().enumerate() {
            let y = 50 + 44 * n as i32;
            mark(&below, (LEFT, y), n)?;
            below.draw_text(
                &format!("{}  {arm}", n + 1),
                &text(TEXT_SIZE, INK, HPos::Left),
                (LEFT + 36, y),
            )?;
        }
        Ok(())
    })
}

fn paint(area: &Area, results: &Results, arms: &[&str], args: &TradeoffArgs) -> Drawn {
    area.draw_text(&results.heading, &text(TEXT_SIZE, INK, HPos::Left), (LEFT, HEADING / 2))?;
    let area = area.margin(HEADING, 0, 0, 0);
    let axis = |metric: usize, label| Axis {
        range: range(&results.points, metric),
        label,
        ticks: 6,
        format: &short,
    };
    let panel = panel(&area, &axis(0, &args.x), &axis(1, &args.y), LEFT, BELOW)?;
    let at = |x, y| spot(&area, &panel, x, y);
    for point in &results.points {
        let number = arms.iter().position(|arm| *arm == point.arm).unwrap_or_default();
        let [x, y] = point.at;
        let whiskers = [
            point.ends[0].map(|(low, high)| [at(low, y), at(high, y)]),
            point.ends[1].map(|(low, high)| [at(x, low), at(x, high)]),
        ];
        for whisker in whiskers.into_iter().flatten() {
            area.draw(&PathElement::new(whisker.to_vec(), color(number).mix(0.35).stroke_width(LINE_WIDTH)))?;
        }
    }
    for point in &results.points {
        let number = arms.iter().position(|arm| *arm == point.arm).unwrap_or_default();
        let (x, y) = at(point.at[0], point.at[1]);
        mark(&area, (x, y), number)?;
        // Its number in the legend: names would cover one another.
        area.draw_text(&(number + 1).to_string(), &text(SMALL_SIZE, INK, HPos::Left), (x + 14, y - 20))?;
    }
    Ok(())
}

/// From the smallest end of an interval to the largest, and a little more.
fn range(points: &[Point], metric: usize) -> std::ops::Range<f64> {
    let ends = points.iter().flat_map(|point| {
        let (low, high) = point.ends[metric].unwrap_or((point.at[metric], point.at[metric]));
        [low, high]
    });
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), end| (a.min(end), b.max(end)));
    let pad = ((high - low) * 0.08).max(0.01);
    low - pad..high + pad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{count, drawn, refused, texts};

    const RESULTS: &str = r#"{
      "type": "eval", "task": "ifeval", "model": "Small", "items": 9, "metrics": [
        {"metric": "prompt_strict", "category": "all", "arm": "plain", "value": 0.1, "low": 0.05, "high": 0.2},
        {"metric": "prompt_strict", "category": "all", "arm": "guidance=2", "value": 0.6, "low": 0.5, "high": 0.7},
        {"metric": "prompt_strict", "category": "all", "arm": "failed", "n": 0, "value": null},
        {"metric": "on_topic", "category": "all", "arm": "plain", "value": 0.9},
        {"metric": "on_topic", "category": "law", "arm": "plain", "value": 0.3},
        {"metric": "on_topic", "category": "all", "arm": "guidance=2", "value": 0.7, "low": 0.6, "high": 0.8},
        {"metric": "on_topic", "category": "all", "arm": "alone", "value": 0.7}
      ]}"#;

    fn args(x: &str) -> TradeoffArgs {
        TradeoffArgs { files: Vec::new(), x: x.into(), y: "prompt_strict".into(), arm: Vec::new() }
    }

    fn plot(x: &str, text: &str) -> Outcome<String> {
        let args = args(x);
        of(&[parse(&Source::new("e.json", text), &args)?], &args)
    }

    #[test]
    fn each_arm_that_has_both_metrics_is_a_point_with_its_name() {
        let svg = drawn(plot("on_topic", RESULTS));
        let texts = texts(&svg);
        for (label, n) in [
            ("prompt_strict against on_topic", 1),
            ("Small, 9 items", 1),
            ("1  plain", 1),
            ("2  guidance=2", 1),
            ("1", 1),
            ("2", 1),
            ("on_topic", 1),
            ("prompt_strict", 1),
        ] {
            assert_eq!(texts.iter().filter(|text| *text == label).count(), n, "{label}: {texts:?}");
        }
        assert!(!texts.iter().any(|text| text.contains("failed") || text.contains("alone")), "{texts:?}");
        assert_eq!(count(&svg, "<circle"), 2, "the first arm's mark, in the panel and in the legend");
        let only = TradeoffArgs { arm: vec!["guidance=2".into()], ..args("on_topic") };
        let points = drawn(parse(&Source::new("e.json", RESULTS), &only)).points;
        assert_eq!(points.iter().map(|point| point.arm.as_str()).collect::<Vec<_>>(), ["guidance=2"]);
    }

    #[test]
    fn two_files_are_two_panels_with_one_legend() {
        let args = args("on_topic");
        let results = [RESULTS, RESULTS].map(|text| drawn(parse(&Source::new("e.json", text), &args)));
        let texts = texts(&drawn(of(&results, &args)));
        assert_eq!(texts.iter().filter(|text| *text == "Small, 9 items").count(), 2);
        assert_eq!(texts.iter().filter(|text| *text == "1").count(), 2);
        assert_eq!(texts.iter().filter(|text| *text == "1  plain").count(), 1);
    }

    #[test]
    fn metrics_that_no_arm_has_both_of_are_refused_by_name() {
        let message = refused(plot("query_found", RESULTS));
        assert_eq!(message, "e.json: no arm has both metrics, query_found and prompt_strict");
    }
}
