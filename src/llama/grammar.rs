//! Grammars that answers keep to, by llama.cpp's grammar sampler.

use std::sync::Arc;

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use serde_json::Value;

use super::Model;
use super::gbnf::{self, ROOT};
use crate::error::{Error, Result, excerpt};
use crate::host::Token;

/// The fields that errors name.
const GBNF: &str = "grammar";
const JSON_SCHEMA: &str = "json_schema";

/// Largest JSON schema in bytes.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// Most members of an object in it: the converter's time grows with the third power.
const MAX_MEMBERS: usize = 256;

/// The converter's regular expressions recurse for each character of a name.
const CONVERTER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// A grammar in GBNF, llama.cpp's notation, checked. The answer begins with its rule `root`.
///
/// A token of the answer is allowed as long as the text so far is the beginning of some text that the grammar
/// describes; the answer may end where the text is complete, and has to where nothing can follow. Control tokens are no
/// text, and are allowed only in a grammar that names tokens (`<[42]>`, `<|name|>`).
///
/// Cheap to clone. No grammar makes llama.cpp abort, but one that is made to have very many readings of the
/// same text can take hours for a token, and cannot be stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Grammar {
    text: Arc<str>,
    tokens: gbnf::Tokens,
    /// The option that it came from, for errors.
    field: &'static str,
}

impl Grammar {
    /// Reads GBNF.
    ///
    /// # Errors
    /// [`Error::Param`] with the field `grammar`, that says what is wrong and where: not GBNF, no rule `root`, a rule
    /// that begins with itself, or larger than 256 KiB, 2000 repetitions or 100 nested parentheses.
    pub fn new(gbnf: &str) -> Result<Grammar> {
        Grammar::of(gbnf, GBNF)
    }

    /// The grammar of the JSON values that a schema describes, by llama.cpp's converter. It leaves out what it does not
    /// know; `additionalProperties` is false where the schema does not say. An empty object describes any JSON value.
    ///
    /// # Errors
    /// [`Error::Param`] with the field `json_schema`: not JSON, not a schema for the converter, or larger than 64 KiB,
    /// 256 members of an object or 127 levels.
    pub fn from_json_schema(schema: &str) -> Result<Grammar> {
        let field = JSON_SCHEMA;
        if schema.len() > MAX_SCHEMA_BYTES {
            let allowed = format!("at most {MAX_SCHEMA_BYTES} bytes long");
            return Err(Error::param(field, format!("{} bytes long", schema.len()), allowed));
        }
        let value: Value = serde_json::from_str(schema)
            .map_err(|error| Error::param(field, format!("not JSON: {error}"), "a JSON schema"))?;
        if let Some(members) = most_members(&value).filter(|&members| members > MAX_MEMBERS) {
            let shown = format!("JSON with {members} members in an object");
            return Err(Error::param(field, shown, format!("of objects with at most {MAX_MEMBERS}")));
        }
        let converted = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(CONVERTER_STACK_BYTES);
            let converting = thread.spawn_scoped(scope, || llama_cpp_2::json_schema_to_grammar(schema).ok());
            let no_thread = |error: std::io::Error| Error::Io {
                path: "thread for the JSON schema".to_owned(),
                reason: error.to_string(),
            };
            converting.map_err(no_thread)?.join().map_err(|_| Error::Panic)
        })?;
        let allowed = "a JSON schema that llama.cpp can make a grammar of: its keywords of the right types, its \
                       $refs inside of it, its patterns as ^...$";
        let gbnf = converted.ok_or_else(|| Error::param(field, excerpt(schema), allowed))?;
        Grammar::of(&gbnf, field)
    }

    fn of(gbnf: &str, field: &'static str) -> Result<Grammar> {
        match gbnf::check(gbnf) {
            Ok(tokens) => Ok(Grammar { text: gbnf.into(), tokens, field }),
            Err(reason) => Err(refused(field, &reason)),
        }
    }

    /// Checks that a text that stands for a token of the model is one.
    ///
    /// # Errors
    /// [`Error::Param`].
    pub(crate) fn check(&self, model: &Model) -> Result<()> {
        for text in &self.tokens.texts {
            if model.tokenize(text, true)?.len() != 1 {
                return Err(refused(self.field, &format!("{text} is not one token of this model")));
            }
        }
        Ok(())
    }

    /// The grammar in GBNF.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn refused(field: &'static str, reason: &str) -> Error {
    let allowed = match field {
        GBNF => "GBNF as llama.cpp reads it",
        _ => "a schema whose grammar llama.cpp can use",
    };
    Error::param(field, format!("one that cannot be used ({reason})"), allowed)
}

/// Members of the largest object.
fn most_members(value: &Value) -> Option<usize> {
    match value {
        Value::Object(members) => members.values().filter_map(most_members).max().max(Some(members.len())),
        Value::Array(values) => values.iter().filter_map(most_members).max(),
        _ => None,
    }
}

/// A grammar on its way through one answer. May move between threads.
pub struct GrammarSampler {
    sampler: LlamaSampler,
    candidates: LlamaTokenDataArray,
    grammar: Grammar,
    /// Holds the vocabulary that the sampler points to.
    model: Model,
}

impl GrammarSampler {
    /// At the beginning of an answer.
    ///
    /// # Errors
    /// [`Error::Param`] if the grammar names a text that is no token of the model.
    pub fn new(grammar: &Grammar, model: &Model) -> Result<GrammarSampler> {
        grammar.check(model)?;
        let sampler = LlamaSampler::grammar(model.inner(), &grammar.text, ROOT)
            .map_err(|error| refused(grammar.field, &error.to_string()))?;
        let candidates = LlamaTokenDataArray::new(Vec::new(), false);
        Ok(GrammarSampler { sampler, candidates, grammar: grammar.clone(), model: model.clone() })
    }

    /// True if a token may come next.
    pub fn allows(&mut self, token: Token) -> bool {
        self.apply([token]);
        self.candidates.data.iter().any(is_allowed)
    }

    /// Sets the values of all tokens that may not come next to `-inf`. `row` has a value for each token of the
    /// vocabulary.
    ///
    /// # Errors
    /// [`Error::Param`] if no token is left: no text of this model's tokens is what the grammar describes.
    pub fn mask(&mut self, row: &mut [f32]) -> Result<()> {
        let open = row.iter().enumerate().filter(|(_, value)| **value > f32::NEG_INFINITY);
        self.apply(open.map(|(token, _)| token as Token));
        let mut allowed =
            self.candidates.data.iter().filter(|one| is_allowed(one)).map(|one| one.id().0 as usize);
        let mut next = allowed.next();
        if next.is_none() {
            return Err(refused(self.grammar.field, "no token of the model can continue the answer"));
        }
        for (token, value) in row.iter_mut().enumerate() {
            if next == Some(token) {
                next = allowed.next();
            } else {
                *value = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on behind a token that is allowed.
    ///
    /// # Errors
    /// [`Error::Param`] for one that is not.
    pub fn accept(&mut self, token: Token) -> Result<()> {
        // llama.cpp aborts at an end that comes too early.
        if !self.allows(token) {
            return Err(refused(self.grammar.field, "a token was drawn that it does not allow"));
        }
        let accepted = self.sampler.try_accept(LlamaToken(token));
        accepted.map_err(|error| refused(self.grammar.field, &error.to_string()))
    }

    /// Makes candidates of tokens, ascending, and leaves those allowed with a value above `-inf`.
    fn apply(&mut self, tokens: impl IntoIterator<Item = Token>) {
        let (model, names_tokens) = (&self.model, self.grammar.tokens.any);
        let is_text = |&token: &Token| names_tokens || !model.is_control(token) || model.is_eog(token);
        let data = &mut self.candidates.data;
        data.clear();
        let candidate = |token| LlamaTokenData::new(LlamaToken(token), 0.0, 0.0);
        data.extend(tokens.into_iter().filter(is_text).map(candidate));
        self.sampler.apply(&mut self.candidates);
    }
}

fn is_allowed(candidate: &LlamaTokenData) -> bool {
    candidate.logit() > f32::NEG_INFINITY
}
