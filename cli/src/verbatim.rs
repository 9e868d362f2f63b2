//! JSON as its author wrote it: what is handed on keeps every digit, and the order of its fields.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::input;

/// Some JSON, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verbatim(String);

impl Verbatim {
    /// An object.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn object(text: &str) -> Result<Verbatim, String> {
        let _: BTreeMap<String, IgnoredAny> = input::object(text)?;
        Ok(Verbatim(on_one_line(text)))
    }

    /// A value of ours.
    pub fn of(value: &impl Serialize) -> Verbatim {
        Verbatim(crate::record::line(value))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The fields of an object, each as it was written.
    pub fn fields(&self) -> BTreeMap<String, Verbatim> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&self.0).unwrap_or_default();
        fields.into_iter().map(|(name, value)| (name, Verbatim(value.get().to_owned()))).collect()
    }

    /// The text in a field of an object.
    pub fn text(&self, field: &str) -> Option<String> {
        serde_json::from_str(self.fields().get(field)?.as_str()).ok()
    }

    /// What a record that has this as its `id` is called: a text, or a number with all of its digits. None for null.
    ///
    /// # Errors
    /// A sentence, if it is neither.
    pub fn name(&self) -> Result<Option<String>, String> {
        match self.0.bytes().next() {
            Some(b'n') => Ok(None),
            Some(b'"') => serde_json::from_str(&self.0).map(Some).map_err(|e| e.to_string()),
            Some(b'-' | b'0'..=b'9') => Ok(Some(self.0.clone())),
            _ => Err("\"id\" is neither a text nor a number".into()),
        }
    }
}

/// JSON without the white space between its values.
fn on_one_line(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let is_kept = |c: &char| {
        let kept = in_text || !matches!(c, ' ' | '\t' | '\n' | '\r');
        if *c == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && *c == '\\' && !escaped;
        kept
    };
    json.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_it_was_written_but_for_the_space_between_values() {
        let text = "{ \"b\": 123456789012345678901234.50 ,\n\"a\\\" }\\\\\" : [ \" x\\\\\", 1e400 ]}";
        assert!(Verbatim::object("[1]").unwrap_err().starts_with("not a JSON object"));
        let json = Verbatim::object(text).unwrap();
        assert_eq!(json.fields()["b"].as_str(), "123456789012345678901234.50");
        assert_eq!(json.as_str(), "{\"b\":123456789012345678901234.50,\"a\\\" }\\\\\":[\" x\\\\\",1e400]}");
    }

    #[test]
    fn a_name_is_a_text_or_a_number_with_all_its_digits() {
        let name = |json: &str| Verbatim(json.to_owned()).name();
        assert_eq!(name("123456789012345678901234"), Ok(Some("123456789012345678901234".into())));
        assert_eq!(name("-1.50"), Ok(Some("-1.50".into())));
        assert_eq!(name("\"a\\n\""), Ok(Some("a\n".into())));
        assert_eq!(name("null"), Ok(None));
        for other in ["[1]", "{}", "true"] {
            assert!(name(other).is_err(), "{other}");
        }
    }
}
