//! Values as Python prints them: `str`, `repr` and `json.dumps`.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Error, Output, State, Value};

use super::args::{bind, charge, invalid, text, truth};

/// How deeply lists and dicts may be nested where they are printed. Python stops at a thousand.
const MAX_DEPTH: usize = 200;

/// Prints what `{{ }}` holds.
pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let escaped;
    let value = match state.auto_escape() {
        AutoEscape::None => value,
        _ => {
            escaped = super::filters::escape(state, value)?;
            &escaped
        }
    };
    let written = match value.as_str() {
        Some(text) => out.write_str(text),
        None => out.write_str(&python_str(state, value)?),
    };
    written.map_err(|_| invalid("could not print"))
}

/// `str` of a value.
pub(super) fn python_str(state: &State, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => python_repr(state, value),
        ValueKind::Number if !value.is_integer() => Ok(float(value)),
        _ => Ok(value.to_string()),
    }
}

/// `repr` of a value.
fn python_repr(state: &State, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write_repr(state, &mut out, value, 0)?;
    Ok(out)
}

fn write_repr(state: &State, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(invalid("a value is nested too deeply to be printed"));
    }
    // Lists may hold the same list many times, so what is printed may be far more than what was made.
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            charge(state, text.len())?;
            quote(out, text);
        }
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_repr(state, out, &key, depth + 1)?;
                out.push_str(": ");
                write_repr(state, out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter()? {
                out.push_str(if count > 0 { ", " } else { "" });
                write_repr(state, out, &item, depth + 1)?;
                count += 1;
            }
            out.push_str(match (tuple, count) {
                (true, 1) => ",)",
                (true, _) => ")",
                _ => "]",
            });
        }
        _ => out.push_str(&python_str(state, value)?),
    }
    Ok(())
}

fn quote(out: &mut String, s: &str) {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if c == quote => out.extend(['\\', c]),
            ' ' => out.push(' '),
            _ if c.is_control() || is_invisible(c) => {
                let code = u32::from(c);
                let _ = match code {
                    0..0x100 => write!(out, "\\x{code:02x}"),
                    0x100..0x10000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            _ => out.push(c),
        }
    }
    out.push(quote);
}

/// White space other than a space, and the format characters that texts hold.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0001}'..='\u{e007f}')
}

/// `repr` of a float.
fn float(value: &Value) -> String {
    let Ok(number) = f64::try_from(value.clone()) else { return value.to_string() };
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(e) if number != 0.0 && !(-4..16).contains(&e) => {
            format!("{digits}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs())
        }
        _ if number.fract() == 0.0 => format!("{number:.1}"),
        _ => number.to_string(),
    }
}

/// The filter `tojson` as Hugging Face defines it: `json.dumps` that leaves other scripts as they are.
pub(super) fn tojson(state: &State, value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [ascii, indent, separators, sort] =
        bind(&args, &named, ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match indent.filter(|indent| !indent.is_none()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_i64()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(n)) if n <= 64 => " ".repeat(usize::try_from(n).unwrap_or(0)),
            _ => {
                return Err(invalid(format!(
                    "indent is {indent}, must be a string or a whole number of at most 64"
                )));
            }
        }),
    };
    let [item, key] = match separators.filter(|both| !both.is_none()) {
        None => [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
        Some(both) => {
            let both: Vec<Value> = both.try_iter()?.collect();
            match both.as_slice() {
                [item, key] => [text(item, "a separator")?.to_owned(), text(key, "a separator")?.to_owned()],
                _ => return Err(invalid("separators must be two")),
            }
        }
    };
    let style = Json { ascii: truth(ascii.as_ref()), sort: truth(sort.as_ref()), indent, item, key };
    let mut out = String::new();
    style.write(state, &mut out, value, 0)?;
    Ok(Value::from(out))
}

struct Json {
    ascii: bool,
    sort: bool,
    indent: Option<String>,
    item: String,
    key: String,
}

impl Json {
    fn write(&self, state: &State, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("a value is nested too deeply for tojson"));
        }
        state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&self.number(value)),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                charge(state, text.len())?;
                self.string(out, text);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                out.push('[');
                let mut empty = true;
                for item in value.try_iter()? {
                    self.begin(state, out, &mut empty, depth)?;
                    self.write(state, out, &item, depth + 1)?;
                }
                self.end(state, out, empty, depth)?;
                out.push(']');
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                out.push('{');
                let mut empty = true;
                for key in keys {
                    self.begin(state, out, &mut empty, depth)?;
                    let name = match key.kind() {
                        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
                        ValueKind::None => "null".to_owned(),
                        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
                        ValueKind::Number => self.number(&key),
                        other => return Err(invalid(format!("a key is a {other}, must be a string"))),
                    };
                    self.string(out, &name);
                    out.push_str(&self.key);
                    self.write(state, out, &value.get_item(&key)?, depth + 1)?;
                }
                self.end(state, out, empty, depth)?;
                out.push('}');
            }
            other => return Err(invalid(format!("a {other} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn number(&self, value: &Value) -> String {
        let text = if value.is_integer() { value.to_string() } else { float(value) };
        match text.as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            _ => text,
        }
    }

    fn begin(&self, state: &State, out: &mut String, empty: &mut bool, depth: usize) -> Result<(), Error> {
        if !std::mem::replace(empty, false) {
            out.push_str(&self.item);
        }
        self.line(state, out, depth + 1)
    }

    fn end(&self, state: &State, out: &mut String, empty: bool, depth: usize) -> Result<(), Error> {
        if empty { Ok(()) } else { self.line(state, out, depth) }
    }

    fn line(&self, state: &State, out: &mut String, depth: usize) -> Result<(), Error> {
        if let Some(indent) = &self.indent {
            charge(state, self.item.len() + depth * indent.len())?;
            out.push('\n');
            for _ in 0..depth {
                out.push_str(indent);
            }
        }
        Ok(())
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                _ if c < ' ' || self.ascii && c > '~' => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                _ => out.push(c),
            }
        }
        out.push('"');
    }
}
