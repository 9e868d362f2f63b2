//! `sda plot trace`: divergence, temperature and guidance along an answer.

use std::path::PathBuf;

use clap::Args;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::picture::{self, Area, Drawn};
use super::records::{Answer, Step, Trace};
use super::style::{
    Axis, INK, LINE_WIDTH, MUTED, PALETTE, Panel, STEERED, TEXT_SIZE, panel, short, spot, text, titled, width,
};
use crate::failure::{Failure, Outcome};

/// Answers of more tokens than this get numbers in place of the tokens' texts.
const MOST_TEXTS: usize = 160;

/// Room for a token's text, and the size of that text.
const SLOT: usize = 30;
const TOKEN_SIZE: i32 = 25;

/// The most room for texts below the panels; longer ones are cut off.
const MOST_ROOM: i32 = 320;

const LEFT: i32 = 140;

#[derive(Args)]
pub struct TraceArgs {
    /// A trace (sda generate --trace FILE); - is standard input.
    #[arg(value_name = "FILE")]
    pub trace: PathBuf,
    /// Which answer of the trace, from 1. [default: the last steered one]
    #[arg(long, value_name = "N")]
    pub answer: Option<usize>,
}

/// The picture as SVG.
pub fn svg(args: &TraceArgs) -> Outcome<String> {
    of(&Trace::read(&args.trace)?, args.answer)
}

pub(super) fn of(trace: &Trace, number: Option<usize>) -> Outcome<String> {
    let answer = trace.answer(number)?;
    let steps = steps(answer)?;
    let has_texts = steps.len() <= MOST_TEXTS;
    let wanted = if has_texts { LEFT as usize + 120 + SLOT * steps.len() } else { 3200 };
    let mean = steps.iter().map(|step| step.js).sum::<f64>() / steps.len() as f64;
    let title = format!("{} tokens, mean divergence {mean:.3} nats", steps.len());
    picture::draw((wanted.max(1600) as u32, if has_texts { 1400 } else { 1200 }), &title, |area| {
        paint(&titled(area, &title)?, &steps, answer.guidance(), has_texts)
    })
}

/// What is drawn of a step.
struct Point<'a> {
    step: &'a Step,
    js: f64,
    guidance: f64,
}

fn steps<'a>(answer: &'a Answer) -> Outcome<Vec<Point<'a>>> {
    let point = |step: &'a Step| match (step.record.divergence, step.record.guidance) {
        (Some(js), Some(guidance)) => Ok(Point { step, js, guidance }),
        _ => Err(Failure::Failed(format!(
            "{}: js or guidance is null, must be a number: this answer ({}) was not steered",
            step.place,
            answer.arm.name()
        ))),
    };
    answer.steps.iter().map(point).collect()
}

/// `whole` is the guidance that the answer has where no budget weakens it.
fn paint(area: &Area, steps: &[Point], whole: Option<f64>, has_texts: bool) -> Drawn {
    let values = |of: fn(&Point) -> f64| steps.iter().map(of).collect::<Vec<f64>>();
    let js = values(|point| point.js);
    let temperature = values(|point| point.step.record.temperature);
    let guidance = values(|point| point.guidance);

    let (upper, lower) = area.split_vertically(400);
    let (middle, lower) = lower.split_vertically(300);
    panel_of(&upper, "JS in nats", 0.0..most(&js, 0.05), steps.len(), |panel| bars(&upper, panel, &js))?;
    panel_of(&middle, "temperature T", 0.0..most(&temperature, 0.05), steps.len(), |panel| {
        dots(panel, &temperature, PALETTE[0])
    })?;
    let ends: Vec<f64> = guidance.iter().copied().chain(whole).collect();
    let least = ends.iter().copied().fold(0.0, f64::min) * 1.1;
    let longest = steps.iter().map(|point| width(area, &point.step.shown(), TOKEN_SIZE)).max();
    let longest = longest.unwrap_or_default().min(MOST_ROOM);
    let room = if has_texts { longest } else { TEXT_SIZE } + 2 * TEXT_SIZE + 16;
    let (last, below) = lower.split_vertically(lower.dim_in_pixel().1 as i32 - room);
    panel_of(&last, "guidance \u{3b3}", least..most(&ends, 1.0), steps.len(), |panel| {
        if let Some(whole) = whole {
            let line = [(-0.5, whole), (steps.len() as f64 - 0.5, whole)];
            panel.draw_series(LineSeries::new(line, MUTED.stroke_width(LINE_WIDTH)))?;
        }
        dots(panel, &guidance, PALETTE[2])?;
        names(&below, panel, steps, has_texts)
    })
}

/// The end of an axis that begins at 0, for values of which the largest may be 0.
fn most(values: &[f64], at_least: f64) -> f64 {
    values.iter().copied().fold(at_least, f64::max) * 1.1
}

fn panel_of(
    area: &Area,
    label: &str,
    range: std::ops::Range<f64>,
    n: usize,
    paint: impl FnOnce(&mut Panel) -> Drawn,
) -> Drawn {
    let x = Axis { range: -0.5..n as f64 - 0.5, label: "", ticks: 0, format: &short };
    let y = Axis { range, label, ticks: 5, format: &short };
    paint(&mut panel(area, &x, &y, LEFT, 16)?)
}

fn bars(area: &Area, panel: &Panel, values: &[f64]) -> Drawn {
    for (n, &value) in values.iter().enumerate() {
        let (left, top) = spot(area, panel, n as f64 - 0.4, value);
        let (right, bottom) = spot(area, panel, n as f64 + 0.4, 0.0);
        area.draw(&Rectangle::new([(left, top), (right.max(left + 1), bottom)], STEERED.filled()))?;
    }
    Ok(())
}

fn dots(panel: &mut Panel, values: &[f64], color: RGBColor) -> Drawn {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(n, &value)| (n as f64, value)).collect();
    panel.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(LINE_WIDTH)))?;
    if points.len() <= MOST_TEXTS {
        panel.draw_series(points.into_iter().map(|point| Circle::new(point, 7, color.filled())))?;
    }
    Ok(())
}

/// The tokens' texts below the last panel, or the numbers of some.
fn names(below: &Area, panel: &Panel, steps: &[Point], has_texts: bool) -> Drawn {
    let upright = text(TEXT_SIZE, INK, HPos::Center);
    let turned = text(TOKEN_SIZE, INK, HPos::Right).transform(FontTransform::Rotate270);
    let every = if has_texts { 1 } else { steps.len().div_ceil(20).next_multiple_of(10) };
    for (n, point) in steps.iter().enumerate().step_by(every) {
        let (x, _) = spot(below, panel, n as f64, 0.0);
        if has_texts {
            below.draw_text(&point.step.shown(), &turned, (x, 8))?;
        } else {
            below.draw_text(&point.step.record.step.to_string(), &upright, (x, 14))?;
        }
    }
    let (width, height) = below.dim_in_pixel();
    let label = if has_texts { "token" } else { "token (step)" };
    below.draw_text(
        label,
        &text(TEXT_SIZE, INK, HPos::Center),
        (width as i32 / 2, height as i32 - TEXT_SIZE),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{answer, count, drawn, parse, refused, texts, token};

    fn trace(n: usize) -> Trace {
        let lines: Vec<String> = (0..n).map(|step| token("steered", step, &format!(" t{step}"))).collect();
        drawn(parse(&lines))
    }

    #[test]
    fn three_panels_have_a_bar_or_a_point_for_every_token_and_its_text_once() {
        let svg = drawn(of(&trace(12), None));
        let texts = texts(&svg);
        assert_eq!(texts[0], "12 tokens, mean divergence 0.155 nats");
        for label in ["JS in nats", "temperature T", "guidance γ", "token", "␣t0", "␣t11"] {
            assert_eq!(texts.iter().filter(|text| *text == label).count(), 1, "{label}: {texts:?}");
        }
        assert_eq!(count(&svg, "<rect"), 12 + 1, "a bar a token, and the background");
        assert_eq!(count(&svg, "<circle"), 2 * 12);
    }

    #[test]
    fn the_guidance_that_no_budget_weakens_is_a_line() {
        let without = drawn(of(&trace(1), None));
        let lines = [token("steered", 0, "a"), answer("steered").replacen('{', r#"{"guidance":1.5,"#, 1)];
        let with = drawn(of(&drawn(parse(&lines)), None));
        assert_eq!(count(&with, "<polyline") - count(&without, "<polyline"), 1);
    }

    #[test]
    fn a_long_answer_has_numbers_instead_of_texts() {
        let svg = drawn(of(&trace(400), None));
        let texts = texts(&svg);
        assert!(texts.iter().any(|text| text == "380") && !texts.iter().any(|text| text.contains("␣t")));
        assert_eq!(count(&svg, "<rect"), 400 + 1);
    }

    #[test]
    fn an_answer_that_was_not_steered_is_refused_by_its_line() {
        let line = token("plain", 0, "x").replace(r#""js":0.1"#, r#""js":null"#);
        let trace = drawn(parse(&[line]));
        let message = refused(of(&trace, Some(1)));
        assert!(
            message.starts_with("t.jsonl: line 1: js or guidance is null, must be a number"),
            "{message}"
        );
    }
}
