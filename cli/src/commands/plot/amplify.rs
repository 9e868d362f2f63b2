//! `sda plot amplify`: how a score becomes an amplification, for every map.

use sda::amplify::{Amplify, amplify};

use super::picture::{self, Drawn};
use super::style::{Axis, Key, curve, legend, panel, short, titled};
use crate::failure::Outcome;

/// The reciprocal goes up to 100; what lies above this is left out.
const TOP: f64 = 2.0;
const BOTTOM: f64 = -1.0;

/// The picture as SVG.
pub fn svg() -> Outcome<String> {
    let title = "Amplification by the score of the plain draft";
    picture::draw((1600, 1040), title, |area| {
        let area = titled(area, title)?;
        let entries = Amplify::ALL.map(|function| {
            let name = match function {
                Amplify::Inverse => format!("{function} (100 at S = 1)"),
                Amplify::Sigmoid => format!("{function} (default)"),
                other => other.to_string(),
            };
            (name, Key::Curve(function as usize))
        });
        let used = legend(&area, &entries)?;
        let area = area.margin(used, 0, 0, 0);
        let x = Axis { range: 0.0..100.0, label: "score S (1 to 100)", ticks: 11, format: &short };
        let y = Axis { range: BOTTOM..TOP, label: "amplification a = F(S)", ticks: 7, format: &short };
        let mut panel = panel(&area, &x, &y, 130, 88)?;
        for (number, function) in Amplify::ALL.into_iter().enumerate() {
            curve(&area, &mut panel, &points(function)?, number, 16)?;
        }
        Ok(())
    })
}

/// The curve from a score of 1 to 100, where it is on the picture.
fn points(function: Amplify) -> Drawn<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for score in 1..=100 {
        let score = f64::from(score);
        let a = amplify(function, score)?;
        if a <= TOP {
            points.push((score, a));
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{count, drawn, texts};

    #[test]
    fn every_map_has_a_curve_and_a_name() {
        let svg = drawn(svg());
        let texts = texts(&svg);
        for function in Amplify::ALL {
            assert!(texts.iter().any(|text| text.starts_with(function.name())), "{function}: {texts:?}");
        }
        for label in ["score S (1 to 100)", "amplification a = F(S)", "100", "\u{2212}1"] {
            assert!(texts.iter().any(|text| text == label), "{label}: {texts:?}");
        }
        // Each curve is one line of many points.
        let long = |line: &&str| line.contains("<polyline") && line.matches(',').count() > 50;
        assert_eq!(svg.lines().filter(long).count(), 7);
        assert!(count(&svg, "<circle") > 6, "the marks of the first curve");
    }

    #[test]
    fn curves_are_the_librarys_own_values() {
        for function in Amplify::ALL {
            let points = points(function).unwrap();
            assert_eq!(points.last(), Some(&(100.0, amplify(function, 100.0).unwrap())));
            assert_eq!(points[0].0, if function == Amplify::Inverse { 50.0 } else { 1.0 });
        }
    }
}
