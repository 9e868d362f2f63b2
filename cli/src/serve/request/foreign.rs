//! Fields of other servers that would change the answer and that this one cannot carry out. Clients send many of them
//! with the value that is off, which is welcome.

use serde::Deserialize;
use serde_json::Value;

use crate::serve::error::ApiError;

#[derive(Debug, Default, Deserialize)]
pub struct Foreign {
    tfs_z: Option<Value>,
    adaptive_target: Option<Value>,
    n_indent: Option<Value>,
    t_max_predict_ms: Option<Value>,
    lora: Option<Value>,
    tools: Option<Value>,
    functions: Option<Value>,
    tool_choice: Option<Value>,
    audio: Option<Value>,
    best_of: Option<Value>,
    echo: Option<Value>,
    suffix: Option<Value>,
    response_fields: Option<Value>,
}

/// What a value says when it asks for nothing.
enum Off {
    /// This number, or less.
    UpTo(f64),
    /// Any number below 0.
    Negative,
    /// This number, or more.
    From(f64),
    /// This number.
    Number(f64),
    False,
    /// An empty text, list or object.
    Empty,
    /// The texts `none` and `auto`, which choose among no tools.
    NoTool,
}

impl Foreign {
    pub fn check(&self) -> Result<(), ApiError> {
        use Off::{Empty, False, From, Negative, NoTool, Number, UpTo};
        for (field, value, off) in [
            ("tfs_z", &self.tfs_z, From(1.0)),
            ("adaptive_target", &self.adaptive_target, Negative),
            ("n_indent", &self.n_indent, UpTo(0.0)),
            ("t_max_predict_ms", &self.t_max_predict_ms, UpTo(0.0)),
            ("lora", &self.lora, Empty),
            ("tools", &self.tools, Empty),
            ("functions", &self.functions, Empty),
            ("tool_choice", &self.tool_choice, NoTool),
            ("audio", &self.audio, Empty),
            ("best_of", &self.best_of, Number(1.0)),
            ("echo", &self.echo, False),
            ("suffix", &self.suffix, Empty),
            ("response_fields", &self.response_fields, Empty),
        ] {
            if let Some(value) = value.as_ref().filter(|value| !off.is(value)) {
                let allowed = format!("{}: nothing else is supported", off.name());
                return Err(ApiError::field(field, value, &allowed));
            }
        }
        Ok(())
    }
}

impl Off {
    fn is(&self, value: &Value) -> bool {
        let number = value.as_f64();
        match self {
            Off::UpTo(most) => number.is_some_and(|n| n <= *most),
            Off::Negative => number.is_some_and(|n| n < 0.0),
            Off::From(least) => number.is_some_and(|n| n >= *least),
            Off::Number(off) => number == Some(*off),
            Off::False => *value == Value::Bool(false),
            Off::Empty => match value {
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            },
            Off::NoTool => matches!(value.as_str(), Some("none" | "auto")),
        }
    }

    fn name(&self) -> String {
        match self {
            Off::UpTo(n) | Off::From(n) | Off::Number(n) => n.to_string(),
            Off::Negative => "negative".to_owned(),
            Off::False => "false".to_owned(),
            Off::Empty => "empty".to_owned(),
            Off::NoTool => "none or auto".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_something_is_refused_by_name_and_what_is_off_is_welcome() {
        for (field, off, on) in [
            ("tfs_z", "1.0", "0.9"),
            ("adaptive_target", "-0.01", "0.5"),
            ("n_indent", "0", "2"),
            ("echo", "false", "true"),
            ("lora", "[]", "[{\"id\":0}]"),
            ("tools", "[]", "[{}]"),
            ("tool_choice", "\"auto\"", "\"required\""),
            ("best_of", "1", "2"),
            ("suffix", "\"\"", "\"x\""),
        ] {
            let check = |value: &str| {
                let body = format!("{{\"{field}\":{value}}}");
                crate::serve::request::parse::<Foreign>(&body).and_then(|foreign| foreign.check())
            };
            assert_eq!(check(off), Ok(()), "{field}");
            assert_eq!(check("null"), Ok(()), "{field}");
            let error = check(on).unwrap_err().body()["error"].clone();
            assert_eq!(error["param"], field);
        }
    }
}
