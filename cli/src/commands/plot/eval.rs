//! `sda plot eval`: results with their intervals.

use std::path::PathBuf;

use clap::Args;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::picture::{self, Area, Drawn};
use super::style::{
    Axis, INK, LINE_WIDTH, MUTED, SMALL_SIZE, TEXT_SIZE, color, mark, panel, spot, text, titled, width,
};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Source};
use crate::record::{EvalReport, EvalRow};

/// Height of a row, and what a panel needs besides: its heading, and its axis.
const ROW: i32 = 50;
const HEADING: i32 = 60;
const AXIS: i32 = 136;

/// Room for the figures at the right.
const FIGURES: i32 = 520;

#[derive(Args)]
pub struct EvalArgs {
    /// Results of sda eval; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Show the difference of each arm to the control instead of the values.
    #[arg(long)]
    pub diff: bool,
    /// Only this metric; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub metric: Vec<String>,
    /// Only this category; may be given several times. "all" stands for all items.
    #[arg(long, value_name = "NAME")]
    pub category: Vec<String>,
}

/// The picture as SVG.
pub fn svg(args: &EvalArgs) -> Outcome<String> {
    let (mut groups, mut arms) = (Vec::new(), Vec::new());
    for path in &args.files {
        groups.extend(parse(&input::read(path)?, args.diff, &mut arms)?);
    }
    of(groups, &arms, args)
}

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Estimate {
    value: f64,
    interval: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
struct Row {
    category: String,
    arm: String,
    /// None if no item has a verdict.
    estimate: Option<Estimate>,
    /// Items behind it, and those without a verdict.
    n: Option<u64>,
    failed: u64,
}

/// The rows of a metric in one file.
struct Group {
    heading: String,
    metric: String,
    /// The arm that the rows are compared with, if they are differences.
    control: Option<String>,
    /// Confidence of the intervals.
    percent: f64,
    rows: Vec<Row>,
}

/// Reads one file of results. Adds every new arm to `arms`, whose order gives them their colours, even
/// those with nothing to show.
fn parse(source: &Source, diff: bool, arms: &mut Vec<String>) -> Outcome<Vec<Group>> {
    let fail = |why: String| Failure::Failed(format!("{}: {why}", source.name));
    let report = EvalReport::read(&source.text).map_err(fail)?;
    let model = report.model.map(|model| format!(", {model}")).unwrap_or_default();
    let percent = report.confidence.unwrap_or(0.95) * 100.0;
    let mut groups: Vec<Group> = Vec::new();
    for (i, entry) in report.metrics.into_iter().enumerate() {
        if !arms.contains(&entry.arm) {
            arms.push(entry.arm.clone());
        }
        let metric = entry.metric.clone();
        let row = row(entry, diff).map_err(|why| fail(format!("metrics[{i}]: {why}")))?;
        let Some((row, control)) = row else { continue };
        let at = groups.iter().position(|group| group.metric == metric).unwrap_or_else(|| {
            let heading = format!("{metric} ({}{model})", report.task);
            groups.push(Group { heading, metric, control: None, percent, rows: Vec::new() });
            groups.len() - 1
        });
        groups[at].control = groups[at].control.take().or(control);
        groups[at].rows.push(row);
    }
    Ok(groups)
}

/// A row and, if differences are shown, the arm it is compared with. None if it has no difference, except
/// for a row all of whose items failed, which is always shown.
fn row(entry: EvalRow, diff: bool) -> Result<Option<(Row, Option<String>)>, String> {
    let (value, low, high, end) = if diff {
        (entry.diff, entry.diff_low, entry.diff_high, "diff_low")
    } else {
        (entry.value, entry.low, entry.high, "low")
    };
    let interval = match (low, high) {
        (None, None) => None,
        (Some(low), Some(high)) if low > high => {
            return Err(format!("{end} is {low}, must be at most the other end, {high}"));
        }
        (Some(low), Some(high)) => Some((low, high)),
        _ => return Err(format!("{end} is without its other end, must be given together with it")),
    };
    let estimate = value.map(|value| Estimate { value, interval });
    if estimate.is_none() && entry.n != Some(0) {
        let missing = "value is missing, must be a number, unless n is 0";
        return if diff { Ok(None) } else { Err(missing.into()) };
    }
    let control = if diff && estimate.is_some() {
        Some(entry.diff_to.ok_or("diff_to is missing, must name the arm of the difference")?)
    } else {
        None
    };
    let row = Row {
        category: entry.category.unwrap_or_else(|| "all".into()),
        arm: entry.arm,
        estimate,
        n: entry.n,
        failed: entry.failed.unwrap_or_default(),
    };
    Ok(Some((row, control)))
}

fn of(mut groups: Vec<Group>, arms: &[String], args: &EvalArgs) -> Outcome<String> {
    let is_wanted = |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
    for group in &mut groups {
        group.rows.retain(|row| is_wanted(&args.category, &row.category));
        group.rows = by_category(std::mem::take(&mut group.rows));
    }
    groups.retain(|group| is_wanted(&args.metric, &group.metric) && !group.rows.is_empty());
    if groups.is_empty() {
        let what = if args.diff { "a difference" } else { "a value" };
        return Err(Failure::Failed(format!("no row of the results has {what} for what was asked")));
    }
    let title = if args.diff { "Differences to the control" } else { "Results" };
    let height = 130 + groups.iter().map(|group| HEADING + lines(group) * ROW + AXIS).sum::<i32>();
    picture::draw((1800, height as u32), title, |area| {
        let names = groups.iter().flat_map(|group| &group.rows).flat_map(|row| [&row.category, &row.arm]);
        let left = 60 + names.map(|name| width(area, name, TEXT_SIZE)).max().unwrap_or_default();
        let mut rest = titled(area, title)?;
        for group in &groups {
            let (upper, lower) = rest.split_vertically(HEADING + lines(group) * ROW + AXIS);
            paint(&upper, group, arms, left)?;
            rest = lower;
        }
        Ok(())
    })
}

/// The rows of a category together, categories in the order in which they came.
fn by_category(rows: Vec<Row>) -> Vec<Row> {
    let mut sorted: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        let after = sorted.iter().rposition(|other| other.category == row.category);
        sorted.insert(after.map_or(sorted.len(), |i| i + 1), row);
    }
    sorted
}

/// Whether a row is the first of a category, which then gets a line of its own for its name.
fn heads(group: &Group, i: usize) -> bool {
    let is_one = group.rows.iter().all(|row| row.category == "all");
    !is_one && (i == 0 || group.rows[i - 1].category != group.rows[i].category)
}

/// Lines that a group takes.
fn lines(group: &Group) -> i32 {
    (group.rows.len() + (0..group.rows.len()).filter(|&i| heads(group, i)).count()) as i32
}

fn paint(area: &Area, group: &Group, arms: &[String], left: i32) -> Drawn {
    area.draw_text(&group.heading, &text(TEXT_SIZE, INK, HPos::Left), (16, HEADING / 2))?;
    let area = area.margin(HEADING - SMALL_SIZE / 2, 30, 0, FIGURES);
    let estimates = group.rows.iter().filter_map(|row| row.estimate);
    let ends = estimates.flat_map(|estimate| {
        let (low, high) = estimate.interval.unwrap_or((estimate.value, estimate.value));
        [low.min(estimate.value), high.max(estimate.value)]
    });
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), end| (a.min(end), b.max(end)));
    // Without any value, an empty axis shows that there is none.
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let is_signed = low < 0.0 || group.control.is_some();
    let control =
        group.control.iter().map(|control| format!(": difference to {control}")).collect::<String>();
    let label = format!("{}{control}, {:.0} % interval", group.metric, group.percent);
    let (low, high) = if is_signed { (low.min(0.0), high.max(0.0)) } else { (low, high) };
    let pad = ((high - low) * 0.08).max(0.005);
    let range = low - pad..high + pad;
    let digits = if high - low < 0.05 { 3 } else { 2 };
    let format = move |value: &f64| {
        let value = if value.abs() < 1e-9 { 0.0 } else { *value };
        format!("{value:.digits$}").replace('-', "\u{2212}")
    };
    let x = Axis { range: range.clone(), label: &label, ticks: 7, format: &format };
    let n = f64::from(lines(group));
    let y = Axis { range: 0.0..n, label: "", ticks: 0, format: &format };
    let panel = panel(&area, &x, &y, left, 88)?;
    if is_signed {
        let zero = [spot(&area, &panel, 0.0, 0.0), spot(&area, &panel, 0.0, n)];
        area.draw(&PathElement::new(zero.to_vec(), MUTED.stroke_width(3)))?;
    }
    let mut line = 0.5;
    for (i, row) in group.rows.iter().enumerate() {
        let (origin, y) = spot(&area, &panel, range.start, n - line);
        if heads(group, i) {
            area.draw_text(&row.category, &text(TEXT_SIZE, MUTED, HPos::Left), (4, y))?;
            line += 1.0;
        }
        let (_, y) = spot(&area, &panel, range.start, n - line);
        line += 1.0;
        area.draw_text(&row.arm, &text(TEXT_SIZE, INK, HPos::Right), (origin - 18, y))?;
        let number = arms.iter().position(|arm| *arm == row.arm).unwrap_or_default();
        let at = |value| spot(&area, &panel, value, 0.0).0;
        let right = at(range.end) + 24;
        area.draw_text(&figures(row), &text(SMALL_SIZE, INK, HPos::Left), (right, y))?;
        let Some(estimate) = row.estimate else { continue };
        if let Some((low, high)) = estimate.interval {
            let whisker = vec![(at(low), y), (at(high), y)];
            area.draw(&PathElement::new(whisker, color(number).stroke_width(LINE_WIDTH)))?;
            for end in [at(low), at(high)] {
                let cap = vec![(end, y - 9), (end, y + 9)];
                area.draw(&PathElement::new(cap, color(number).stroke_width(LINE_WIDTH)))?;
            }
        }
        mark(&area, (at(estimate.value), y), number)?;
    }
    Ok(())
}

/// The row in figures.
fn figures(row: &Row) -> String {
    let mut figures = row.estimate.map_or("no result".to_owned(), |it| format!("{:.3}", it.value));
    if let Some((low, high)) = row.estimate.and_then(|estimate| estimate.interval) {
        figures += &format!(" [{low:.3}, {high:.3}]");
    }
    if let Some(n) = row.n {
        figures += &format!(", n = {n}");
    }
    if row.failed > 0 {
        figures += &format!(", {} failed", row.failed);
    }
    figures.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{count, drawn, refused, texts};

    const RESULTS: &str = r#"{
      "type": "eval", "task": "truthfulqa-mc", "model": "Small", "seed": 7,
      "metrics": [
        {"metric": "mc1", "arm": "instructed", "n": 408, "value": 0.25, "low": 0.21, "high": 0.29},
        {"metric": "mc1", "arm": "sda", "n": 406, "failed": 2, "value": 0.27, "low": 0.23, "high": 0.31,
         "diff_to": "instructed", "diff": 0.02, "diff_low": -0.01, "diff_high": 0.05},
        {"metric": "mc1", "category": "law", "arm": "instructed", "value": 0.2, "low": null, "high": null},
        {"metric": "mc2", "arm": "plain", "n": 0, "failed": 9, "value": null, "diff": null},
        {"metric": "mc2", "arm": "sda", "value": 0.4}
      ]}"#;

    fn args(diff: bool) -> EvalArgs {
        EvalArgs { files: Vec::new(), diff, metric: Vec::new(), category: Vec::new() }
    }

    fn plot(args: &EvalArgs) -> Outcome<String> {
        let mut arms = Vec::new();
        of(parse(&Source::new("e.json", RESULTS), args.diff, &mut arms)?, &arms, args)
    }

    #[test]
    fn every_row_has_its_arm_its_figures_and_its_interval() {
        let svg = drawn(plot(&args(false)));
        let texts = texts(&svg);
        for (label, n) in [
            ("mc1 (truthfulqa-mc, Small)", 1),
            ("mc2 (truthfulqa-mc, Small)", 1),
            ("mc1, 95 % interval", 1),
            ("instructed", 2),
            ("sda", 2),
            ("law", 1),
            ("0.250 [0.210, 0.290], n = 408", 1),
            ("0.270 [0.230, 0.310], n = 406, 2 failed", 1),
            ("0.200", 1),
            ("plain", 1),
            ("no result, n = 0, 9 failed", 1),
        ] {
            assert_eq!(texts.iter().filter(|text| *text == label).count(), n, "{label}: {texts:?}");
        }
        // The marks of the first arm are circles; the second one's are squares.
        assert_eq!(count(&svg, "<circle"), 2);
        assert_eq!(count(&svg, "<polygon"), 2);
    }

    #[test]
    fn differences_leave_out_rows_that_have_none() {
        let texts = texts(&drawn(plot(&args(true))));
        assert!(texts.iter().any(|text| text == "mc1: difference to instructed, 95 % interval"), "{texts:?}");
        assert!(texts.iter().any(|text| text == "0.020 [−0.010, 0.050], n = 406, 2 failed"), "{texts:?}");
        assert!(!texts.iter().any(|text| text == "instructed" || text == "0.400"), "{texts:?}");
        assert!(texts.iter().any(|text| text == "no result, n = 0, 9 failed"), "{texts:?}");
    }

    #[test]
    fn metrics_and_categories_can_be_chosen() {
        let only = EvalArgs { metric: vec!["mc1".into()], category: vec!["law".into()], ..args(false) };
        let texts = texts(&drawn(plot(&only)));
        assert!(texts.iter().any(|text| text == "0.200"), "{texts:?}");
        assert!(!texts.iter().any(|text| text == "sda" || text.starts_with("mc2")), "{texts:?}");
        let none = EvalArgs { metric: vec!["mc3".into()], ..args(false) };
        assert_eq!(refused(plot(&none)), "no row of the results has a value for what was asked");
    }

    #[test]
    fn wrong_results_are_named_by_file_and_entry() {
        let cases = [
            (
                r#""value": 0.4"#,
                r#""valu": 0.4"#,
                "e.json: metrics[4]: value is missing, must be a number, unless n is 0",
            ),
            (r#""low": 0.21, "#, "", "e.json: metrics[0]: low is without its other end"),
            (
                r#""low": 0.21"#,
                r#""low": 0.3"#,
                "e.json: metrics[0]: low is 0.3, must be at most the other end, 0.29",
            ),
            (r#""n": 408"#, r#""n": -1"#, "e.json: metrics[0].n is -1, must be a whole number of at least 0"),
            (r#""arm": "sda", "n""#, r#""n""#, "e.json: metrics[1]: arm is missing"),
            (r#""type": "eval""#, r#""type": "token""#, "e.json: type is `token`, must be eval"),
            ("[\n", "{\n", "e.json: not a JSON object (key must be a string at line 4"),
        ];
        for (from, to, message) in cases {
            assert!(RESULTS.contains(from), "{from}");
            let source = Source::new("e.json", RESULTS.replacen(from, to, 1));
            let text = refused(parse(&source, false, &mut Vec::new()));
            assert!(text.starts_with(message), "{text}");
        }
    }
}
