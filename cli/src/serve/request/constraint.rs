//! What an answer is held to: a grammar, a JSON schema, a bias on tokens.

use sda::engine::Generation;
use sda::host::Token;
use sda::llama::{Grammar, Model};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::serve::error::ApiError;

/// The most biases of a request.
const MOST_BIASES: usize = 4096;

#[derive(Debug, Default, Deserialize)]
pub struct Constraint {
    grammar: Option<String>,
    /// As it was sent: the order of its members is that of the answer's.
    json_schema: Option<Box<RawValue>>,
    response_format: Option<ResponseFormat>,
    logit_bias: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    r#type: String,
    /// As llama-server takes it.
    schema: Option<Box<RawValue>>,
    json_schema: Option<Named>,
}

/// A schema in OpenAI's wrapping.
#[derive(Debug, Deserialize)]
struct Named {
    schema: Option<Box<RawValue>>,
}

impl Constraint {
    /// Holds the answer to what the request asks for, in place of what `settings` say.
    pub fn apply(&self, model: &Model, settings: &mut Generation) -> Result<(), ApiError> {
        let grammar = self.grammar.as_deref().filter(|text| !text.is_empty());
        let format = self.format()?;
        let given = [
            ("grammar", grammar.is_some()),
            ("json_schema", self.json_schema.is_some()),
            ("response_format", format.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(ApiError::field(second, format!("given beside {first}"), "the only one of them"));
        }
        let of_schema = |schema: &str, field: &str| {
            Grammar::from_json_schema(schema).map_err(|error| ApiError::from(error).named(field))
        };
        if let Some(text) = grammar {
            settings.grammar = Some(Grammar::new(text)?);
        } else if let Some(schema) = &self.json_schema {
            settings.grammar = Some(of_schema(schema.get(), "json_schema")?);
        } else if let Some(schema) = format {
            settings.grammar = Some(of_schema(schema, "response_format")?);
        }
        if let Some(bias) = &self.logit_bias {
            settings.logit_bias = biases(bias, model)?;
        }
        Ok(settings.validate(model)?)
    }

    /// The schema of the format; None for a text.
    fn format(&self) -> Result<Option<&str>, ApiError> {
        let Some(ResponseFormat { r#type, schema, json_schema }) = &self.response_format else {
            return Ok(None);
        };
        let named = json_schema.as_ref().and_then(|named| named.schema.as_ref());
        let schema = schema.as_ref().or(named).map(|schema| schema.get());
        match (r#type.as_str(), schema) {
            ("text", _) => Ok(None),
            // Any object: {} alone is any JSON value.
            ("json_object", None) => Ok(Some(r#"{"type":"object"}"#)),
            ("json_object" | "json_schema", Some(schema)) => Ok(Some(schema)),
            ("json_schema", None) => {
                Err(ApiError::field("response_format.json_schema.schema", "missing", "a JSON schema"))
            }
            (other, _) => {
                let allowed = "text, json_object or json_schema";
                Err(ApiError::field("response_format.type", other, allowed))
            }
        }
    }
}

/// OpenAI's object from token to bias, or llama-server's list of pairs.
fn biases(given: &Value, model: &Model) -> Result<Vec<(Token, f32)>, ApiError> {
    let wrong = |value: &dyn std::fmt::Display| {
        let allowed = "an object from token to number, or a list of pairs of a token, by number or text, and a \
                       number, or false to ban it";
        ApiError::field("logit_bias", value, allowed)
    };
    let pairs: Vec<(Value, &Value)> = match given {
        Value::Object(fields) => {
            let token =
                |name: &String| name.parse::<Token>().map_or_else(|_| name.clone().into(), Value::from);
            fields.iter().map(|(name, bias)| (token(name), bias)).collect()
        }
        Value::Array(list) => {
            let mut pairs = Vec::with_capacity(list.len());
            for pair in list {
                match pair.as_array().map(Vec::as_slice) {
                    Some([token, bias]) => pairs.push((token.clone(), bias)),
                    _ => return Err(wrong(pair)),
                }
            }
            pairs
        }
        other => return Err(wrong(other)),
    };
    if pairs.len() > MOST_BIASES {
        let allowed = format!("at most {MOST_BIASES}");
        return Err(ApiError::field("logit_bias", format!("{} of them", pairs.len()), &allowed));
    }
    let mut biases = Vec::with_capacity(pairs.len());
    for (token, bias) in pairs {
        let bias = match bias {
            Value::Bool(false) => f32::NEG_INFINITY,
            bias => bias.as_f64().ok_or_else(|| wrong(bias))? as f32,
        };
        match &token {
            // The text of a control token names that token; llama-server takes it for the letters that it is written with.
            Value::String(text) => {
                biases.extend(model.tokenize(text, true)?.into_iter().map(|token| (token, bias)));
            }
            token => {
                let id = token.as_i64().and_then(|id| Token::try_from(id).ok());
                biases.push((id.ok_or_else(|| wrong(token))?, bias));
            }
        }
    }
    Ok(biases)
}
