//! Filters, tests and functions of jinja2 that minijinja's are not, or are not quite.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::args::{bind, charge, integer, invalid, required, text, truth};
use super::print::{python_str, tojson};
use super::strings;

/// Gives an environment what chat templates find in Hugging Face's.
pub(super) fn install(environment: &mut Environment<'_>) {
    for name in ["zip", "chain", "split", "lines", "bool"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_filter("tojson", tojson);
    for name in ["e", "escape", "forceescape"] {
        environment.add_filter(name, escape);
    }
    environment.add_filter("string", |state: &State, value: &Value| python_str(state, value));
    environment.add_filter("trim", trim);
    environment
        .add_filter("capitalize", |state: &mut State, value: &Value| method(state, value, "capitalize"));
    environment.add_filter("center", center);
    environment.add_filter("indent", indent);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("sort", |state: &State, value: Value, args: Rest<Value>, named: Kwargs| {
        filters::sort(state, value, with_names(&args, &named, ["reverse", "case_sensitive", "attribute"])?)
    });
    environment.add_filter("dictsort", |value: &Value, args: Rest<Value>, named: Kwargs| {
        filters::dictsort(value, with_names(&args, &named, ["case_sensitive", "by", "reverse"])?)
    });
    // Slices and the like are lazy in minijinja; they and nothing else count as lists there, too.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::String)
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment.add_filter("wordcount", |state: &State, value: &Value| -> Result<usize, Error> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        Ok(python_str(state, value)?.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count())
    });
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_global("dict", Value::from_object(Dict));
}

/// Calls a method of Python's that the value has not in minijinja.
pub(super) fn unknown_method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match (value.kind(), value.as_str()) {
        (_, Some(s)) => strings::call(state, s, name, args),
        (ValueKind::Seq | ValueKind::Iterable, _) => list_method(state, value, name, args),
        (ValueKind::Map, _) if name == "copy" => {
            let () = from_args(args)?;
            Ok(value.clone())
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    };
    match own {
        Err(error) if matches!(error.kind(), ErrorKind::UnknownMethod) => {
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        done => done,
    }
}

fn method(state: &mut State, value: &Value, name: &str) -> Result<Value, Error> {
    unknown_method(state, &Value::from(python_str(state, value)?), name, &[])
}

fn list_method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match name {
        // Values never change, so a copy is the same.
        "copy" => {
            let () = from_args(args)?;
            Ok(value.clone())
        }
        "index" | "count" => {
            let (what,): (&Value,) = from_args(args)?;
            let mut found = Vec::new();
            for (i, item) in value.try_iter()?.enumerate() {
                state.consume_fuel(1)?;
                if item == *what {
                    found.push(i);
                }
            }
            match found.first() {
                _ if name == "count" => Ok(Value::from(found.len())),
                Some(&i) => Ok(Value::from(i)),
                None => Err(invalid(format!("{what} is not in list"))),
            }
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// Positional arguments of a filter of minijinja that takes names only.
fn with_names<const N: usize>(
    args: &[Value],
    named: &Kwargs,
    names: [&'static str; N],
) -> Result<Kwargs, Error> {
    let bound = bind(args, named, names)?;
    Ok(names.into_iter().zip(bound).filter_map(|(name, value)| Some((name, value?))).collect())
}

/// `dict`, to be called, and its `fromkeys`.
#[derive(Debug)]
struct Dict;

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (from, named): (Option<Value>, Kwargs) = from_args(args)?;
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        if let Some(from) = from {
            let is_map = from.kind() == ValueKind::Map;
            for item in from.try_iter()? {
                state.consume_fuel(2)?;
                if is_map {
                    let value = from.get_item(&item)?;
                    pairs.push((item, value));
                } else {
                    let mut pair = item.try_iter()?;
                    match (pair.next(), pair.next(), pair.next()) {
                        (Some(key), Some(value), None) => pairs.push((key, value)),
                        _ => return Err(invalid("dict of a list needs pairs")),
                    }
                }
            }
        }
        for name in named.args() {
            pairs.push((Value::from(name), named.get(name)?));
        }
        Ok(Value::from_pairs(pairs))
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if name != "fromkeys" {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let (keys, value): (&Value, Option<Value>) = from_args(args)?;
        let value = value.unwrap_or_else(|| Value::from(()));
        let mut pairs = Vec::new();
        for key in keys.try_iter()? {
            state.consume_fuel(2)?;
            pairs.push((key, value.clone()));
        }
        Ok(Value::from_pairs(pairs))
    }
}

/// As markupsafe escapes, which writes quotes by their numbers.
pub(super) fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = python_str(state, value)?;
    charge(state, 4 * text.len())?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

fn trim(state: &State, value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [chars] = bind(&args, &named, ["chars"])?;
    Ok(Value::from(strings::strip(&python_str(state, value)?, chars.as_ref(), "strip")?))
}

fn center(state: &State, value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [width] = bind(&args, &named, ["width"])?;
    Ok(Value::from(strings::center(
        state,
        &python_str(state, value)?,
        integer(width.as_ref(), 80, "width")?,
    )?))
}

fn indent(state: &State, value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [width, first, blank] = bind(&args, &named, ["width", "first", "blank"])?;
    let source = python_str(state, value)? + "\n";
    let width = match width.as_ref().and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => {
            let n = usize::try_from(integer(width.as_ref(), 4, "width")?).unwrap_or(0);
            charge(state, n)?;
            " ".repeat(n)
        }
    };
    let mut out = String::new();
    for (i, (line, _)) in strings::lines(&source).enumerate() {
        charge(state, 64 + line.len() + width.len())?;
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { truth(first.as_ref()) } else { truth(blank.as_ref()) || !line.is_empty() } {
            out.push_str(&width);
        }
        out.push_str(&source[line]);
    }
    Ok(Value::from(out))
}

fn truncate(state: &State, value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [length, killwords, end, leeway] = bind(&args, &named, ["length", "killwords", "end", "leeway"])?;
    let s = python_str(state, value)?;
    let end = match &end {
        Some(end) => text(end, "end")?,
        None => "...",
    };
    let size = |value: Option<&Value>, default, name| -> Result<usize, Error> {
        usize::try_from(integer(value, default, name)?)
            .map_err(|_| invalid(format!("{name} must be at least 0")))
    };
    let (length, leeway) = (size(length.as_ref(), 255, "length")?, size(leeway.as_ref(), 5, "leeway")?);
    if s.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(s));
    }
    let room =
        length.checked_sub(end.chars().count()).ok_or_else(|| invalid("length is shorter than end"))?;
    let cut: String = s.chars().take(room).collect();
    let kept =
        if truth(killwords.as_ref()) { &cut } else { cut.rsplit_once(' ').map_or(&*cut, |(kept, _)| kept) };
    Ok(Value::from(format!("{kept}{end}")))
}

fn urlencode(state: &State, value: &Value) -> Result<Value, Error> {
    let quote = |text: &str, form: bool| -> Result<String, Error> {
        charge(state, 3 * text.len())?;
        let kept = |b: u8| b.is_ascii_alphanumeric() || b"_.-~".contains(&b) || !form && b == b'/';
        let byte = |b: u8| match b {
            b' ' if form => "+".to_owned(),
            _ if kept(b) => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        };
        Ok(text.bytes().map(byte).collect())
    };
    let pair = |key: &Value, value: &Value| -> Result<String, Error> {
        Ok(quote(&python_str(state, key)?, true)? + "=" + &quote(&python_str(state, value)?, true)?)
    };
    let pairs = match value.kind() {
        ValueKind::Map => {
            value.try_iter()?.map(|key| pair(&key, &value.get_item(&key)?)).collect::<Result<Vec<_>, _>>()?
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?;
            items
                .map(|item| pair(&item.get_item_by_index(0)?, &item.get_item_by_index(1)?))
                .collect::<Result<_, _>>()?
        }
        _ => return Ok(Value::from(quote(&python_str(state, value)?, false)?)),
    };
    Ok(Value::from(pairs.join("&")))
}

fn int(value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, base] = bind(&args, &named, ["default", "base"])?;
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = integer(base.as_ref(), 10, "base")?;
    if let Some(text) = value.as_str() {
        let digits = text.trim_matches(strings::is_space).replace('_', "");
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
        };
        let digits = match base {
            16 => digits.trim_start_matches("0x").trim_start_matches("0X"),
            8 => digits.trim_start_matches("0o").trim_start_matches("0O"),
            2 => digits.trim_start_matches("0b").trim_start_matches("0B"),
            _ => digits,
        };
        let radix = u32::try_from(base).ok().filter(|radix| (2..=36).contains(radix));
        let number = radix.and_then(|radix| i128::from_str_radix(digits, radix).ok());
        if let Some(number) = number {
            return Ok(Value::from(if negative { -number } else { number }));
        }
    }
    if value.is_integer() {
        return Ok(value.clone());
    }
    match number(value) {
        Some(number) if number.is_finite() => Ok(Value::from(number.trunc() as i128)),
        _ => Ok(default),
    }
}

fn float(value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default] = bind(&args, &named, ["default"])?;
    Ok(number(value).map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

fn number(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => value.as_str()?.trim_matches(strings::is_space).replace('_', "").parse().ok(),
        _ => None,
    }
}

fn default(value: &Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [default, boolean] = bind(&args, &named, ["default_value", "boolean"])?;
    let missing = value.is_undefined() || truth(boolean.as_ref()) && !value.is_true();
    Ok(if missing { default.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

/// `raise_exception`: how a template refuses a conversation.
pub(super) fn raise_exception(state: &State, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let [message] = bind(&args, &named, ["message"])?;
    Err(invalid(python_str(state, &required(message, "message")?)?))
}

/// `strftime_now`: the time in the machine's zone, by C's `strftime`. What that does not know stays as it is.
pub(super) fn strftime_now(format: &str) -> String {
    let now = jiff::Zoned::now();
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let flags = rest[1..].find(|c: char| !"-_0^#".contains(c)).map_or(rest.len(), |n| n + 1);
        let end = flags + rest[flags..].chars().next().map_or(0, char::len_utf8);
        let directive = &rest[..end];
        match jiff::fmt::strtime::format(directive, &now) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str(directive),
        }
        rest = &rest[end..];
    }
    out + rest
}
