//! `sda plot step`: both distributions and the steered one at a step.

use std::path::PathBuf;

use clap::Args;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use sda::host::Token;

use super::picture::{self, Area, Drawn};
use super::records::{BRANCHES, Step, Trace, visible};
use super::style::{
    Axis, INK, INSTRUCTED, Key, MUTED, PLAIN, SMALL_SIZE, STEERED, TEXT_SIZE, legend, panel, short, spot,
    text, titled, width,
};
use crate::failure::{Failure, Outcome};
use crate::record::Ranked;

/// Tokens that are shown; the three lists of a record may name more.
const MOST_TOKENS: usize = 16;

/// Everything below this many nats looks the same.
const FLOOR: f64 = -16.0;

/// Height of one bar, and of a token's three bars with the gap below them.
const BAR: i32 = 26;
const ROW: i32 = 3 * BAR + 22;

const COLORS: [RGBColor; 3] = [PLAIN, INSTRUCTED, STEERED];

#[derive(Args)]
pub struct StepArgs {
    /// A trace (sda generate --trace FILE); - is standard input, also for sda generate --json.
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// The step, from 0.
    #[arg(long, value_name = "N")]
    pub step: usize,
    /// Which answer of the trace, from 1. [default: the last steered one]
    #[arg(long, value_name = "N")]
    pub answer: Option<usize>,
}

/// The picture as SVG.
pub fn svg(args: &StepArgs) -> Outcome<String> {
    of(&Trace::read(&args.trace)?, args.step, args.answer)
}

pub(super) fn of(trace: &Trace, number: usize, answer: Option<usize>) -> Outcome<String> {
    let steps = &trace.answer(answer)?.steps;
    let step = steps.iter().find(|step| step.record.step == number).ok_or_else(|| {
        let [first, last] = [steps.first(), steps.last()].map(|step| step.map_or(0, |step| step.record.step));
        Failure::Usage(format!("--step is {number}, must be between {first} and {last} for {}", trace.name))
    })?;
    let rows = rows(step);
    if rows.is_empty() {
        return Err(Failure::Failed(format!(
            "{}: top_plain, top_instructed and top_steered are missing: write the trace with --trace-top 5",
            step.place
        )));
    }
    let title = title(step);
    let height = 320 + ROW * rows.len() as i32;
    picture::draw((1600, height as u32), &title, |area| paint(&titled(area, &title)?, step, &rows))
}

fn title(step: &Step) -> String {
    let record = &step.record;
    let js = record.divergence.map(|js| format!("JS = {js:.3} nats, ")).unwrap_or_default();
    let guidance = record.guidance.map(|guidance| format!(", \u{3b3} = {guidance:.2}")).unwrap_or_default();
    format!("Step {}, drawn: {} ({js}T = {:.3}{guidance})", record.step, step.shown(), record.temperature)
}

/// A token and what the distributions say about it.
struct Row {
    token: Token,
    text: String,
    /// Of each branch; [`Value::Unknown`] where the branch was not run.
    values: [Value; 3],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Known(f64),
    /// Not among the most likely ones, the last of which is this likely.
    Below(f64),
    Unknown,
}

/// The tokens of all lists, those of the steered one first, as they come; at the end the token that was drawn,
/// if no list has it.
fn rows(step: &Step) -> Vec<Row> {
    let mut tokens: Vec<(Token, String)> = Vec::new();
    for Ranked(token, text, _) in step.top().into_iter().rev().flatten().flatten() {
        if tokens.len() < MOST_TOKENS && tokens.iter().all(|(other, _)| other != token) {
            tokens.push((*token, visible(text)));
        }
    }
    let drawn = step.record.token;
    if !tokens.is_empty() && tokens.iter().all(|(token, _)| *token != drawn) {
        tokens.push((drawn, step.shown()));
    }
    let row = |(token, text)| Row { token, text, values: [0, 1, 2].map(|branch| value(step, branch, token)) };
    tokens.into_iter().map(row).collect()
}

/// What the record says about a token in a branch.
fn value(step: &Step, branch: usize, token: Token) -> Value {
    let Some(list) = step.top()[branch] else { return Value::Unknown };
    // The token that was drawn is known in both branches without being among the top.
    let of_drawn = || step.logprobs().get(branch).copied().flatten().filter(|_| token == step.record.token);
    let known = list.iter().find(|Ranked(other, ..)| *other == token).map(|ranked| ranked.2);
    match (known.or_else(of_drawn), list.last()) {
        (Some(logprob), _) => Value::Known(logprob),
        (None, Some(last)) => Value::Below(last.2),
        (None, None) => Value::Unknown,
    }
}

fn paint(area: &Area, step: &Step, rows: &[Row]) -> Drawn {
    let mut entries = Vec::new();
    for branch in (0..3).filter(|&branch| step.top()[branch].is_some()) {
        entries.push((BRANCHES[branch].to_owned(), Key::Bar(COLORS[branch])));
    }
    let used = legend(area, &entries)?;
    let area = area.margin(used, 0, 0, 130);
    let known = rows.iter().flat_map(|row| row.values).filter_map(|value| match value {
        Value::Known(logprob) | Value::Below(logprob) => Some(logprob),
        Value::Unknown => None,
    });
    let floor = (known.fold(-1.0, f64::min) - 0.5).floor().max(FLOOR);
    let x = Axis {
        range: floor..0.0,
        label: "log-probability in nats, untempered (the figures are probabilities)",
        ticks: 9,
        format: &short,
    };
    let y = Axis { range: 0.0..rows.len() as f64, label: "", ticks: 0, format: &short };
    let widest = rows.iter().map(|row| width(&area, &row.text, TEXT_SIZE)).max().unwrap_or_default();
    let left = 80 + widest;
    let panel = panel(&area, &x, &y, left, 88)?;
    for (n, row) in rows.iter().enumerate() {
        let (origin, middle) = spot(&area, &panel, floor, (rows.len() - n) as f64 - 0.5);
        let name =
            if row.token == step.record.token { format!("\u{2192} {}", row.text) } else { row.text.clone() };
        area.draw_text(&name, &text(TEXT_SIZE, INK, HPos::Right), (origin - 16, middle))?;
        for (branch, value) in row.values.into_iter().enumerate() {
            let top = middle - BAR * 3 / 2 + BAR * branch as i32;
            let (end, note, color) = match value {
                Value::Unknown => continue,
                Value::Known(logprob) => (logprob, percent(logprob), INK),
                Value::Below(logprob) => (floor, format!("< {}", percent(logprob)), MUTED),
            };
            let (end, _) = spot(&area, &panel, end.max(floor), 0.0);
            if end > origin {
                let bar = [(origin, top + 2), (end, top + BAR - 2)];
                area.draw(&Rectangle::new(bar, COLORS[branch].filled()))?;
            }
            area.draw_text(&note, &text(SMALL_SIZE, color, HPos::Left), (end + 10, top + BAR / 2))?;
        }
    }
    Ok(())
}

/// The probability, with as many digits as make sense.
fn percent(logprob: f64) -> String {
    match logprob.exp() * 100.0 {
        p if p >= 10.0 => format!("{p:.0} %"),
        p if p >= 0.1 => format!("{p:.1} %"),
        p if p >= 0.001 => format!("{p:.3} %"),
        p => format!("{p:.0e} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{count, drawn, parse, refused, texts, token};

    fn trace(lines: &[String]) -> Trace {
        drawn(parse(lines))
    }

    #[test]
    fn every_token_of_the_lists_has_a_row_with_a_bar_in_each_branch_that_knows_it() {
        let trace = trace(&[token("steered", 0, "x"), token("steered", 1, "y")]);
        let svg = drawn(of(&trace, 1, None));
        let texts = texts(&svg);
        assert_eq!(texts[0], "Step 1, drawn: y (JS = 0.110 nats, T = 0.500, γ = 1.50)");
        // The drawn token is 5, "a" in the lists.
        for label in ["plain", "instructed", "steered", "→ a", "d", "b", "␣<c>"] {
            assert_eq!(texts.iter().filter(|text| *text == label).count(), 1, "{label}: {texts:?}");
        }
        // "a" is not in the plain list, but it was drawn, and so its log-probability is known there, too.
        let notes: Vec<&String> = texts.iter().filter(|text| text.contains('%')).collect();
        assert_eq!(
            notes,
            [
                "8.2 %", "61 %", "61 %", "< 5.0 %", "< 22 %", "14 %", "78 %", "22 %", "< 14 %", "5.0 %",
                "< 22 %", "< 14 %"
            ]
        );
        let bars = 7 + 3 + 1;
        assert_eq!(count(&svg, "<rect"), bars, "bars, keys of the legend and the background");
    }

    #[test]
    fn the_drawn_token_has_a_row_also_when_no_list_has_it() {
        let line = token("steered", 0, " rare").replace(r#""token":5"#, r#""token":99"#);
        let svg = drawn(of(&trace(&[line]), 0, None));
        let texts = texts(&svg);
        let at = texts.iter().position(|text| text == "→ ␣rare").unwrap();
        assert_eq!(texts[at + 1..at + 4], ["8.2 %", "29 %", "< 14 %"]);
    }

    #[test]
    fn a_step_that_is_not_there_is_refused_with_the_range() {
        let trace = trace(&[token("steered", 0, "x"), token("steered", 1, "y")]);
        assert_eq!(refused(of(&trace, 2, None)), "--step is 2, must be between 0 and 1 for t.jsonl");
    }

    #[test]
    fn a_record_without_top_tokens_says_how_to_get_them() {
        let line = token("steered", 0, "x");
        let (without, _) = line.split_once(r#","top_plain""#).unwrap();
        let message = refused(of(&trace(&[format!("{without}}}")]), 0, None));
        assert!(
            message.starts_with("t.jsonl: line 1: top_plain, ") && message.ends_with("--trace-top 5"),
            "{message}"
        );
    }

    #[test]
    fn probabilities_have_the_digits_they_are_worth() {
        let shown = [0.5_f64, 0.0123, 0.000_05, 1e-9].map(|p| percent(p.ln()));
        assert_eq!(shown, ["50 %", "1.2 %", "0.005 %", "1e-7 %"]);
    }
}
