//! What makes a model say something else than its file alone would.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap_lex::OsStrExt;
use sda::llama::{Adapter, KvOverride, ModelOptions, Rope, RopeScaling};

/// Options of the model of -m. A judge in a file has none of them.
#[derive(Args, Clone)]
#[command(next_help_heading = "Changes to the model")]
pub struct AdaptArgs {
    /// LoRA adapter in a GGUF file; several with commas between them.
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    lora: Vec<PathBuf>,
    /// The same with a strength for each; 1 is as --lora.
    #[arg(long, value_name = "FILE:SCALE,...", value_delimiter = ',', value_parser = scaled())]
    lora_scaled: Vec<Adapter>,
    /// Control vector in a GGUF file; several with commas between them are added up.
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    control_vector: Vec<PathBuf>,
    /// The same with a strength for each; 1 is as --control-vector.
    #[arg(long, value_name = "FILE:SCALE,...", value_delimiter = ',', value_parser = scaled())]
    control_vector_scaled: Vec<Adapter>,
    /// The layers that control vectors are added to, the first and the last, counted from 1. [default: all]
    #[arg(long, num_args = 2, value_names = ["START", "END"])]
    control_vector_layer_range: Vec<u32>,
    /// Values in place of those of the model's file, with a type int, float, bool or str.
    #[arg(long, value_name = "KEY=TYPE:VALUE,...", value_delimiter = ',')]
    override_kv: Vec<KvOverride>,
    /// How positions are scaled for longer texts: none, linear or yarn. [default: as the model says]
    #[arg(long, value_name = "METHOD")]
    rope_scaling: Option<RopeScaling>,
    /// Factor by which the context is longer than the model was trained for.
    #[arg(long, value_name = "N", value_parser = more_than_0, conflicts_with = "rope_freq_scale")]
    rope_scale: Option<f32>,
    /// Base of the positions' frequencies. [default: the model's]
    #[arg(long, value_name = "N", value_parser = more_than_0)]
    rope_freq_base: Option<f32>,
    /// Factor of the positions' frequencies: 1/N for a context N times as long.
    #[arg(long, value_name = "N", value_parser = more_than_0)]
    rope_freq_scale: Option<f32>,
    /// YaRN: length that the model was trained for. [default: as the model says]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    yarn_orig_ctx: u32,
    /// YaRN: share of extrapolation, 0 to 1. [default: the model's]
    #[arg(long, value_name = "X", default_value_t = -1.0, hide_default_value = true, allow_negative_numbers = true)]
    yarn_ext_factor: f32,
    /// YaRN: factor of the attention. [default: the model's]
    #[arg(long, value_name = "X", default_value_t = -1.0, hide_default_value = true, allow_negative_numbers = true)]
    yarn_attn_factor: f32,
    /// YaRN: where interpolation begins. [default: the model's]
    #[arg(long, value_name = "X", default_value_t = -1.0, hide_default_value = true, allow_negative_numbers = true)]
    yarn_beta_slow: f32,
    /// YaRN: where extrapolation begins. [default: the model's]
    #[arg(long, value_name = "X", default_value_t = -1.0, hide_default_value = true, allow_negative_numbers = true)]
    yarn_beta_fast: f32,
}

impl AdaptArgs {
    /// Puts the settings into those of a model.
    pub fn apply(&self, options: &mut ModelOptions) {
        options.lora = all(&self.lora, &self.lora_scaled);
        options.control_vectors = all(&self.control_vector, &self.control_vector_scaled);
        options.control_layers = match self.control_vector_layer_range[..] {
            [first, last] => Some((first, last)),
            _ => None,
        };
        options.kv_overrides = self.override_kv.clone();
    }

    /// How positions are scaled.
    pub fn rope(&self) -> Rope {
        let scale = self.rope_scale.map(|n| 1.0 / n);
        Rope {
            scaling: self.rope_scaling,
            freq_base: self.rope_freq_base.unwrap_or(0.0),
            freq_scale: scale.or(self.rope_freq_scale).unwrap_or(0.0),
            yarn_orig_ctx: self.yarn_orig_ctx,
            yarn_ext_factor: self.yarn_ext_factor,
            yarn_attn_factor: self.yarn_attn_factor,
            yarn_beta_fast: self.yarn_beta_fast,
            yarn_beta_slow: self.yarn_beta_slow,
        }
    }
}

/// Parses a factor, for clap.
fn more_than_0(text: &str) -> Result<f32, String> {
    let factor = text.parse().ok().filter(|&x: &f32| x > 0.0 && x.is_finite());
    factor.ok_or_else(|| "must be more than 0 and finite".to_owned())
}

fn all(plain: &[PathBuf], scaled: &[Adapter]) -> Vec<Adapter> {
    let plain = plain.iter().map(|path| Adapter { path: path.clone(), scale: 1.0 });
    plain.chain(scaled.iter().cloned()).collect()
}

/// Parses FILE:SCALE, for clap. A file's name may hold colons of its own.
fn scaled() -> impl TypedValueParser<Value = Adapter> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let wrong = "must be a file, a colon and a number, as in adapter.gguf:0.5";
        let end = text.to_str().and_then(|text| text.rfind(':'));
        // Of a name that is not UTF-8 the last colon is looked for in what can be read.
        let (path, scale) = match (end, text.to_str()) {
            (Some(end), Some(text)) => (OsString::from(&text[..end]), text[end + 1..].to_owned()),
            _ => {
                let (path, scale) = text.split_once(":").ok_or(wrong)?;
                (path.to_owned(), scale.to_str().ok_or(wrong)?.to_owned())
            }
        };
        let scale = scale.trim().parse().ok().filter(|scale: &f32| scale.is_finite());
        match scale {
            Some(scale) if !path.is_empty() => Ok(Adapter { path: path.into(), scale }),
            _ => Err(wrong),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_stands_behind_the_last_colon() {
        let read = |text: &str| {
            let command = clap::Command::new("c").arg(clap::Arg::new("a").value_parser(scaled()));
            let matches = command.try_get_matches_from(["c", "--", text]).map_err(|e| e.to_string())?;
            Ok::<_, String>(matches.get_one::<Adapter>("a").unwrap().clone())
        };
        let adapter = |path: &str, scale| Ok(Adapter { path: path.into(), scale });
        assert_eq!(read("a.gguf:0.5"), adapter("a.gguf", 0.5));
        assert_eq!(read("a:b.gguf:-2"), adapter("a:b.gguf", -2.0));
        for wrong in ["a.gguf", "a.gguf:", ":1", "a.gguf:x", "a.gguf:inf"] {
            assert!(read(wrong).unwrap_err().contains("must be a file, a colon and a number"), "{wrong}");
        }
    }
}
