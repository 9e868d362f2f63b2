//! `sda plot temperature`: how the divergence of the branches cools the temperature.

use clap::Args;
use sda::Params;

use super::picture;
use super::style::{Axis, Key, curve, legend, panel, short, titled};
use crate::failure::{Failure, Outcome};

/// More curves than there are marks cannot be distinguished.
const MOST_CURVES: usize = 7;

#[derive(Args)]
pub struct TemperatureArgs {
    /// Base temperatures T0, one curve each.
    #[arg(long, value_name = "T", value_delimiter = ',', default_value = "0.6")]
    pub temp: Vec<f32>,
    /// Divergences in nats that halve the temperature, one curve each; inf keeps it fixed.
    #[arg(long, value_delimiter = ',', default_values_t = [0.25, 0.5, Params::default().sigma, f32::INFINITY])]
    pub sigma: Vec<f32>,
    /// Floors of the temperature, one curve each.
    #[arg(long, value_delimiter = ',', default_values_t = [Params::default().t_min])]
    pub t_min: Vec<f32>,
}

impl TemperatureArgs {
    /// Every combination.
    fn curves(&self) -> Outcome<Vec<Params>> {
        let mut curves = Vec::new();
        for &temperature in &self.temp {
            for &sigma in &self.sigma {
                for &t_min in &self.t_min {
                    let params = Params { temperature, sigma, t_min, ..Params::default() };
                    params.validate()?;
                    curves.push(params);
                }
            }
        }
        if curves.len() > MOST_CURVES {
            return Err(Failure::Usage(format!(
                "--temp, --sigma and --t-min make {} curves together, must make at most {MOST_CURVES}",
                curves.len()
            )));
        }
        Ok(curves)
    }
}

/// The picture as SVG.
pub fn svg(args: &TemperatureArgs) -> Outcome<String> {
    let curves = args.curves()?;
    let (same, names) = names(&curves);
    let same = if same.is_empty() { same } else { format!(" ({same})") };
    let title = format!("Temperature by the divergence of the branches{same}");
    picture::draw((1600, 1000), &title, |area| {
        let area = titled(area, &title)?;
        let entries: Vec<(String, Key)> =
            names.into_iter().enumerate().map(|(number, name)| (name, Key::Curve(number))).collect();
        let used = if entries.len() > 1 { legend(&area, &entries)? } else { 0 };
        let area = area.margin(used, 0, 0, 0);
        let most = curves.iter().map(|params| params.temperature_at(0.0)).fold(0.1, f64::max);
        let label = "Jensen\u{2013}Shannon divergence JS in nats (at most ln 2)";
        let x = Axis { range: 0.0..std::f64::consts::LN_2, label, ticks: 8, format: &short };
        let y = Axis { range: 0.0..most * 1.05, label: "temperature T", ticks: 7, format: &short };
        let mut panel = panel(&area, &x, &y, 130, 88)?;
        for (number, params) in curves.iter().enumerate() {
            curve(&area, &mut panel, &points(params), number, 14)?;
        }
        Ok(())
    })
}

/// What all curves have in common, and what each has for itself.
fn names(curves: &[Params]) -> (String, Vec<String>) {
    let settings = |params: &Params| {
        let sigma = match params.sigma {
            sigma if sigma == Params::default().sigma => "2 ln 2".to_owned(),
            sigma if sigma.is_infinite() => "\u{221e}".to_owned(),
            sigma => sigma.to_string(),
        };
        [
            format!("T0 = {}", params.temperature),
            format!("\u{3c3} = {sigma}"),
            format!("T_min = {}", params.t_min),
        ]
    };
    let all: Vec<[String; 3]> = curves.iter().map(settings).collect();
    let is_same = |i: usize| all.len() == 1 || all.iter().all(|curve| curve[i] == all[0][i]);
    let part = |curve: &[String; 3], same: bool| {
        let parts = (0..3).filter(|&i| is_same(i) == same).map(|i| curve[i].clone());
        parts.collect::<Vec<_>>().join(", ")
    };
    let same = all.first().map(|curve| part(curve, true)).unwrap_or_default();
    let names = all.iter().map(|curve| part(curve, false)).collect();
    (same, names)
}

fn points(params: &Params) -> Vec<(f64, f64)> {
    let at = |step: u32| f64::from(step) / 60.0 * std::f64::consts::LN_2;
    (0..=60).map(|step| (at(step), params.temperature_at(at(step)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{drawn, texts};

    fn args(temp: &[f32], sigma: &[f32], t_min: &[f32]) -> TemperatureArgs {
        TemperatureArgs { temp: temp.to_vec(), sigma: sigma.to_vec(), t_min: t_min.to_vec() }
    }

    #[test]
    fn every_combination_is_a_curve_with_a_name() {
        let svg = drawn(svg(&args(&[0.6, 1.0], &[Params::default().sigma, f32::INFINITY], &[0.25])));
        let texts = texts(&svg);
        for name in ["T0 = 0.6, σ = 2 ln 2", "T0 = 1, σ = ∞", "temperature T"] {
            assert!(texts.iter().any(|text| text == name), "{name}: {texts:?}");
        }
        assert_eq!(texts[0], "Temperature by the divergence of the branches (T_min = 0.25)");
        let long = |line: &&str| line.contains("<polyline") && line.matches(',').count() == 61;
        assert_eq!(svg.lines().filter(long).count(), 4);
    }

    #[test]
    fn a_curve_ends_where_the_largest_divergence_leads() {
        let end = |params: &Params| points(params).pop().unwrap().1;
        let halved = Params { temperature: 1.0, sigma: std::f32::consts::LN_2, ..Params::default() };
        assert!((end(&halved) - 0.5).abs() < 1e-6);
        assert!((end(&Params { t_min: 0.75, ..halved }) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn too_many_curves_and_settings_out_of_range_are_refused() {
        let message = |args| match svg(&args) {
            Err(Failure::Usage(message)) => message,
            _ => panic!("not refused"),
        };
        let many = message(args(&[0.6, 0.7], &[1.0, 2.0], &[0.0, 0.1]));
        assert_eq!(many, "--temp, --sigma and --t-min make 8 curves together, must make at most 7");
        assert!(message(args(&[0.6], &[0.0], &[0.0])).starts_with("sigma is 0, must be greater than 0"));
    }
}
