//! What all plots look like: colours, sizes, axes, legends.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::TextStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{Area, Drawn, FONT, spell_out};

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
/// What matters less.
pub const MUTED: RGBColor = RGBColor(0x6b, 0x72, 0x80);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);

/// Okabe and Ito's colours, which stay apart for colour-blind eyes; yellow is too pale on white.
pub const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The branches have the same colours in every plot and in the viewer.
pub const PLAIN: RGBColor = RGBColor(0x8a, 0x93, 0x9e);
pub const INSTRUCTED: RGBColor = PALETTE[0];
pub const STEERED: RGBColor = PALETTE[1];

pub const TITLE_SIZE: i32 = 38;
pub const TEXT_SIZE: i32 = 30;
pub const SMALL_SIZE: i32 = 26;

pub const LINE_WIDTH: u32 = 4;

/// Space between the edge and everything.
pub const MARGIN: i32 = 32;

/// The labels of an axis.
pub struct Axis<'a> {
    pub range: Range<f64>,
    /// Name and unit.
    pub label: &'a str,
    /// About how many numbers it has; 0 is none.
    pub ticks: usize,
    pub format: &'a dyn Fn(&f64) -> String,
}

/// Axes on an area, ready for curves.
pub type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Text of a size and colour. The point that is given when drawing is its left end, middle or right end
/// at half its height.
pub fn text(size: i32, color: RGBColor, anchor: HPos) -> TextStyle<'static> {
    TextStyle {
        font: FontDesc::new(FontFamily::Name(FONT), size.into(), FontStyle::Normal),
        color: color.to_backend_color(),
        pos: Pos::new(anchor, VPos::Center),
    }
}

/// Width of a text, in SVG or PNG.
pub fn width(area: &Area, shown: &str, size: i32) -> i32 {
    let shown = &spell_out(shown);
    area.estimate_text_size(shown, &text(size, INK, HPos::Left)).map_or(0, |(width, _)| width as i32)
}

/// A title at the top, and what is left of the area below it.
pub fn titled<'a>(area: &Area<'a>, title: &str) -> Drawn<Area<'a>> {
    area.draw_text(title, &text(TITLE_SIZE, INK, HPos::Left), (MARGIN, MARGIN + TITLE_SIZE / 2))?;
    Ok(area.margin(MARGIN + TITLE_SIZE + 14, MARGIN / 2, MARGIN / 2, MARGIN))
}

/// Draws axes that fill the area. `bottom` is the room for what stands below the horizontal one.
pub fn panel<'a, 'b>(area: &'a Area<'b>, x: &Axis, y: &Axis, left: i32, bottom: i32) -> Drawn<Panel<'a, 'b>> {
    let mut panel = ChartBuilder::on(area)
        .margin_top(SMALL_SIZE / 2)
        .margin_right(SMALL_SIZE)
        .x_label_area_size(bottom)
        .y_label_area_size(left)
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;
    panel
        .configure_mesh()
        .x_labels(x.ticks)
        .y_labels(y.ticks)
        .x_desc(x.label)
        .y_desc(y.label)
        .x_label_formatter(x.format)
        .y_label_formatter(y.format)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(MUTED.stroke_width(2))
        .label_style(text(SMALL_SIZE, INK, HPos::Left))
        .axis_desc_style(text(TEXT_SIZE, INK, HPos::Left))
        .set_all_tick_mark_size(8)
        .draw()?;
    Ok(panel)
}

/// Where a point of the panel is on the area that the panel was drawn on.
pub fn spot(area: &Area, panel: &Panel, x: f64, y: f64) -> (i32, i32) {
    let (x, y) = panel.backend_coord(&(x, y));
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

/// A curve, with a mark at every so many points (0 is none) that identifies it without its colour.
pub fn curve(
    area: &Area,
    panel: &mut Panel,
    points: &[(f64, f64)],
    number: usize,
    mark_every: usize,
) -> Drawn {
    let color = color(number);
    panel.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(LINE_WIDTH)))?;
    if mark_every > 0 {
        // Not at the same places as other curves, which may run close by.
        let first = mark_every * (1 + number % PALETTE.len()) / (1 + PALETTE.len());
        for &(x, y) in points.iter().skip(first).step_by(mark_every) {
            mark(area, spot(area, panel, x, y), number)?;
        }
    }
    Ok(())
}

/// Colour of the curve with this number.
pub fn color(number: usize) -> RGBColor {
    PALETTE[number % PALETTE.len()]
}

/// A mark of the curve's own shape and colour.
pub fn mark(area: &Area, (x, y): (i32, i32), number: usize) -> Drawn {
    let fill = color(number).filled();
    let polygon = |points: &[(i32, i32)]| {
        Polygon::new(points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), fill)
    };
    match number % PALETTE.len() {
        0 => area.draw(&Circle::new((x, y), 9, fill))?,
        1 => area.draw(&polygon(&[(-9, -9), (9, -9), (9, 9), (-9, 9)]))?,
        2 => area.draw(&polygon(&[(0, -11), (11, 9), (-11, 9)]))?,
        3 => area.draw(&polygon(&[(0, -13), (11, 0), (0, 13), (-11, 0)]))?,
        4 => area.draw(&polygon(&[(0, 11), (11, -9), (-11, -9)]))?,
        5 => area.draw(&polygon(&[(-12, -5), (12, -5), (12, 5), (-12, 5)]))?,
        _ => area.draw(&polygon(&[(-5, -12), (5, -12), (5, 12), (-5, 12)]))?,
    }
    Ok(())
}

/// How something is drawn that a legend explains.
pub enum Key {
    /// The curve with this number.
    Curve(usize),
    /// Bars of this colour.
    Bar(RGBColor),
}

/// Rows of keys with names, filled from the left; returns the room they take.
pub fn legend(area: &Area, entries: &[(String, Key)]) -> Drawn<i32> {
    const ROW: i32 = TEXT_SIZE + 14;
    let right = area.dim_in_pixel().0 as i32;
    let left = MARGIN / 2;
    let (mut x, mut y) = (left, ROW / 2);
    for (name, key) in entries {
        let needed = 60 + width(area, name, TEXT_SIZE) + 36;
        if x > left && x + needed > right {
            (x, y) = (left, y + ROW);
        }
        match *key {
            Key::Curve(number) => {
                let line = vec![(x, y), (x + 48, y)];
                area.draw(&PathElement::new(line, color(number).stroke_width(LINE_WIDTH)))?;
                mark(area, (x + 24, y), number)?;
            }
            Key::Bar(color) => {
                area.draw(&Rectangle::new([(x, y - 12), (x + 48, y + 12)], color.filled()))?;
            }
        }
        area.draw_text(name, &text(TEXT_SIZE, INK, HPos::Left), (x + 60, y))?;
        x += needed;
    }
    Ok(y + ROW / 2 + 8)
}

/// Up to two decimals, and no more than needed.
pub fn short(value: &f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.replace('-', "\u{2212}") }
}
