//! Models that llama.cpp loads, but that cannot continue a text token by token.

use crate::error::{Error, Result};

/// llama.cpp gives these no memory, or wants an encoder's or another model's output with them: it would return rows that
/// are no prediction, or abort the process.
const OTHERS: [&str; 20] = [
    // Encoders, for embeddings.
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "gemma-embedding",
    "t5encoder",
    // An encoder and a decoder.
    "t5",
    // Diffusion.
    "dream",
    "llada",
    "llada-moe",
    "rnd1",
    // Parts of other models.
    "clef",
    "wavtokenizer-dec",
    "eagle3",
    "dflash",
    "gemma4-assistant",
];

/// Refuses such a model. `metadata` looks up a value of its file.
///
/// # Errors
/// [`Error::Model`], with the name of the architecture.
pub(super) fn check(shown: &str, metadata: impl Fn(&str) -> Option<String>) -> Result<()> {
    let Some(name) = metadata("general.architecture") else { return Ok(()) };
    let is_causal = metadata(&format!("{name}.attention.causal")).is_none_or(|value| value != "false");
    if is_causal && !OTHERS.contains(&name.as_str()) {
        return Ok(());
    }
    let reason = format!(
        "{shown} has the architecture {name}, which does not continue a text token by token (an encoder, a diffusion \
         model, or a part of another model)"
    );
    Err(Error::Model { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_cannot_continue_a_text_is_refused_by_name_or_by_its_attention() {
        let of = |name: &str, causal: &str| {
            let value = |key: &str| match key {
                "general.architecture" => Some(name.to_owned()),
                _ if key == format!("{name}.attention.causal") && !causal.is_empty() => {
                    Some(causal.to_owned())
                }
                _ => None,
            };
            check("file.gguf", value)
        };
        assert_eq!(of("llama", ""), Ok(()));
        assert_eq!(of("llama", "true"), Ok(()));
        for (name, causal) in [("bert", ""), ("t5", "true"), ("llama", "false")] {
            let error = of(name, causal).unwrap_err().to_string();
            assert!(error.contains(&format!("file.gguf has the architecture {name},")), "{error}");
        }
        assert_eq!(check("file.gguf", |_| None), Ok(()));
    }
}
