//! What answers are held to: a grammar, and a bias on tokens.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use sda::host::Token;
use sda::llama::Grammar;

use crate::failure::Outcome;
use crate::input::read_text;

#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct ConstraintArgs {
    /// Hold answers to a grammar in llama.cpp's notation, GBNF, such as 'root ::= "yes" | "no"'.
    #[arg(long, value_name = "GBNF", group = "held_to")]
    grammar: Option<String>,
    /// Read the grammar from a file.
    #[arg(long, value_name = "FILE", group = "held_to")]
    grammar_file: Option<PathBuf>,
    /// Hold answers to a JSON schema; {} is any JSON.
    #[arg(short, long, value_name = "SCHEMA", group = "held_to")]
    json_schema: Option<String>,
    /// Read the JSON schema from a file. [also -jf]
    #[arg(long, value_name = "FILE", group = "held_to")]
    json_schema_file: Option<PathBuf>,
    /// Make a token likelier (15043+1) or less likely (15043-1), in nats before the temperature; 15043-inf bans it. May
    /// be given several times.
    #[arg(short, long, value_name = "TOKEN_ID(+/-)BIAS")]
    logit_bias: Vec<LogitBias>,
}

impl ConstraintArgs {
    /// The grammar that answers keep to, if there is one.
    pub fn grammar(&self) -> Outcome<Option<Grammar>> {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| read_text(path)).transpose();
        let (grammar, schema) = (file(&self.grammar_file)?, file(&self.json_schema_file)?);
        let grammar = grammar.as_ref().or(self.grammar.as_ref()).map(|text| Grammar::new(text));
        let schema =
            schema.as_ref().or(self.json_schema.as_ref()).map(|text| Grammar::from_json_schema(text));
        Ok(grammar.or(schema).transpose()?)
    }

    /// The bias of each token that has one.
    pub fn logit_bias(&self) -> Vec<(Token, f32)> {
        self.logit_bias.iter().map(|&LogitBias(token, bias)| (token, bias)).collect()
    }

    /// The option that holds answers to something, if one was given.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("--grammar", self.grammar.is_some()),
            ("--grammar-file", self.grammar_file.is_some()),
            ("--json-schema", self.json_schema.is_some()),
            ("--json-schema-file", self.json_schema_file.is_some()),
            ("--logit-bias", !self.logit_bias.is_empty()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}

/// A token and its bias.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LogitBias(Token, f32);

impl FromStr for LogitBias {
    type Err = String;

    /// As llama.cpp reads it.
    fn from_str(text: &str) -> Result<LogitBias, String> {
        let wrong = || "must be a token id, + or -, and a number, as in 15043+1".to_owned();
        let at = text.find(['+', '-']).filter(|&at| at > 0).ok_or_else(wrong)?;
        let (id, bias) = text.split_at(at);
        let token = id.trim().parse().map_err(|_| wrong())?;
        let number: f32 = bias[1..].trim().parse().map_err(|_| wrong())?;
        let bias = if bias.starts_with('-') { -number } else { number };
        if bias.is_nan() || bias == f32::INFINITY {
            return Err("its number must be finite, or -inf".into());
        }
        Ok(LogitBias(token, bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_is_written_as_for_llama_cpp() {
        let read = |text: &str| text.parse::<LogitBias>().map(|LogitBias(token, bias)| (token, bias));
        assert_eq!(read("15043+1"), Ok((15043, 1.0)));
        assert_eq!(read("7-0.5"), Ok((7, -0.5)));
        assert_eq!(read("0-inf"), Ok((0, f32::NEG_INFINITY)));
        assert_eq!(read("3 + 2e1"), Ok((3, 20.0)));
        assert_eq!(read("3+-2"), Ok((3, -2.0)));
        for wrong in ["", "7", "+1", "-1+1", "a+1", "7+", "7+x", "7*2"] {
            assert!(read(wrong).unwrap_err().starts_with("must be a token id"), "{wrong}");
        }
        for wrong in ["7+inf", "7+nan", "7--inf"] {
            assert!(read(wrong).unwrap_err().starts_with("its number must be finite"), "{wrong}");
        }
    }
}
