//! Variables of a template that the user sets: llama.cpp's `--chat-template-kwargs`.

use minijinja::value::{Value, ValueKind};

use crate::error::{Error, Result, excerpt};

const FIELD: &str = "chat_template_kwargs";
/// What only the conversation says.
const RESERVED: [&str; 2] = ["messages", "add_generation_prompt"];

/// Variables of a chat template, such as `enable_thinking`. Read from a JSON object; empty by default.
#[derive(Clone, Debug)]
pub struct TemplateVariables {
    value: Value,
    /// The text that they were read from.
    json: String,
}

impl Default for TemplateVariables {
    fn default() -> TemplateVariables {
        TemplateVariables {
            value: Value::from_pairs(std::iter::empty::<(Value, Value)>()),
            json: String::new(),
        }
    }
}

impl TemplateVariables {
    /// Reads a JSON object. Its fields keep their order.
    ///
    /// # Errors
    /// [`Error::Param`] for text that is no JSON object, or has `messages` or `add_generation_prompt`, which the
    /// conversation says.
    pub fn from_json(json: &str) -> Result<TemplateVariables> {
        let refuse = |allowed| Err(Error::param(FIELD, excerpt(json), allowed));
        let value: Value = match serde_json::from_str(json) {
            Ok(value) => value,
            Err(_) => return refuse("a JSON object such as {\"enable_thinking\":false}"),
        };
        if value.kind() != ValueKind::Map {
            return refuse("a JSON object such as {\"enable_thinking\":false}");
        }
        if RESERVED.iter().any(|name| value.get_attr(name).is_ok_and(|value| !value.is_undefined())) {
            return refuse("without messages and add_generation_prompt");
        }
        Ok(TemplateVariables { value, json: json.to_owned() })
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.value.len() == Some(0)
    }

    pub(super) fn value(&self) -> Value {
        self.value.clone()
    }

    /// Bytes of the text that they were read from.
    pub(super) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The error for variables that are not used.
    pub(crate) fn refuse(&self, allowed: &'static str) -> Error {
        Error::param(FIELD, excerpt(&self.json), allowed)
    }
}
