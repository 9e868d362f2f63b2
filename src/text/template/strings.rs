//! Python's methods of strings that minijinja's are not, or are not quite.

use minijinja::{Error, ErrorKind, State, Value};

use super::args::{bind_method, charge, integer, invalid, required, text, truth};
use super::print::python_str;

/// White space as `str.isspace` has it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Calls a method; `UnknownMethod` for those that are left to minijinja.
pub(super) fn call(state: &State, s: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    charge(state, s.len())?;
    Ok(match method {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = bind_method(args, ["chars"])?;
            Value::from(strip(s, chars.as_ref(), method)?)
        }
        "split" | "rsplit" => {
            let [sep, limit] = bind_method(args, ["sep", "maxsplit"])?;
            split(s, sep.as_ref(), integer(limit.as_ref(), -1, "maxsplit")?, method == "rsplit")?
        }
        "splitlines" => {
            let [keep] = bind_method(args, ["keepends"])?;
            lines(s)
                .map(|(line, end)| {
                    Value::from(if truth(keep.as_ref()) { &s[line.start..end] } else { &s[line] })
                })
                .collect()
        }
        "partition" | "rpartition" => {
            let [sep] = bind_method(args, ["sep"])?;
            let sep = required(sep, "sep")?;
            partition(s, text(&sep, "sep")?, method == "rpartition")?
        }
        "find" | "rfind" | "index" | "rindex" | "count" => search(s, method, args)?,
        "startswith" | "endswith" => {
            let [what, start, end] = bind_method(args, ["prefix", "start", "end"])?;
            let what = required(what, "prefix")?;
            let whats = if what.is_tuple() { what.try_iter()?.collect() } else { vec![what] };
            let Some((_, part)) = window(s, start.as_ref(), end.as_ref())? else {
                return Ok(Value::from(false));
            };
            let mut found = false;
            for what in &whats {
                let what = text(what, "prefix")?;
                found |= if method == "startswith" { part.starts_with(what) } else { part.ends_with(what) };
            }
            Value::from(found)
        }
        "removeprefix" | "removesuffix" => {
            let [what] = bind_method(args, ["prefix"])?;
            let what = required(what, "prefix")?;
            let what = text(&what, "prefix")?;
            let cut = if method == "removeprefix" { s.strip_prefix(what) } else { s.strip_suffix(what) };
            Value::from(cut.unwrap_or(s))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = bind_method(args, ["width", "fillchar"])?;
            let width = integer(Some(&required(width, "width")?), 0, "width")?;
            let fill = match &fill {
                Some(fill) => text(fill, "fillchar")?,
                None if method == "zfill" => "0",
                None => " ",
            };
            if fill.chars().count() != 1 {
                return Err(invalid("fillchar must be one character"));
            }
            Value::from(pad(state, s, method, width, fill)?)
        }
        "expandtabs" => {
            let [size] = bind_method(args, ["tabsize"])?;
            let size = usize::try_from(integer(size.as_ref(), 8, "tabsize")?).unwrap_or(0);
            charge(state, size.saturating_mul(s.matches('\t').count()))?;
            Value::from(expand_tabs(s, size))
        }
        "join" => {
            let [items] = bind_method(args, ["iterable"])?;
            let mut out = String::new();
            for (i, item) in required(items, "iterable")?.try_iter()?.enumerate() {
                let item_text = text(&item, "an item")?;
                charge(state, 64 + s.len() + item_text.len())?;
                if i > 0 {
                    out.push_str(s);
                }
                out.push_str(item_text);
            }
            Value::from(out)
        }
        "format" => {
            check_format(state, s, '{', args)?;
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        _ => return simple(s, method, args),
    })
}

/// Methods without arguments.
fn simple(s: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let all = |test: fn(char) -> bool| Value::from(!s.is_empty() && s.chars().all(test));
    let value = match method {
        "title" => Value::from(words_titled(s)),
        "capitalize" => {
            let mut chars = s.chars();
            let first: String = chars.next().map(title_case).unwrap_or_default();
            Value::from(first + &chars.as_str().to_lowercase())
        }
        "swapcase" => {
            s.chars()
                .map(|c| {
                    if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
                })
                .collect::<String>()
                .into()
        }
        // Full case folding for what it does beyond lower case in texts that are written.
        "casefold" => Value::from(s.to_lowercase().replace('ß', "ss").replace('ς', "σ")),
        "isspace" => all(is_space),
        "isdecimal" => all(|c| c.is_ascii_digit()),
        "isdigit" => all(|c| c.is_ascii_digit() || matches!(c, '²' | '³' | '¹' | '\u{2070}'..='\u{2089}')),
        "istitle" => Value::from(s.chars().any(char::is_alphabetic) && words_titled(s) == s),
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    };
    let [] = bind_method(args, [])?;
    Ok(value)
}

/// `strip`, `lstrip` or `rstrip`.
pub(super) fn strip<'s>(s: &'s str, chars: Option<&Value>, method: &str) -> Result<&'s str, Error> {
    let chars = match chars {
        Some(chars) if !chars.is_none() => Some(text(chars, "chars")?),
        _ => None,
    };
    let drop = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    Ok(match method {
        "lstrip" => s.trim_start_matches(drop),
        "rstrip" => s.trim_end_matches(drop),
        _ => s.trim_matches(drop),
    })
}

fn split(s: &str, sep: Option<&Value>, limit: i64, from_right: bool) -> Result<Value, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
    let mut parts: Vec<&str> = Vec::new();
    match sep.filter(|sep| !sep.is_none()) {
        Some(sep) => {
            let sep = text(sep, "sep")?;
            match (sep.is_empty(), from_right) {
                (true, _) => return Err(invalid("empty separator")),
                (_, false) => parts.extend(s.splitn(limit + 1, sep)),
                (_, true) => parts.extend(s.rsplitn(limit + 1, sep)),
            }
        }
        None if from_right => {
            let mut rest = s.trim_end_matches(is_space);
            while !rest.is_empty() {
                match rest.rfind(is_space).filter(|_| parts.len() < limit) {
                    Some(at) => {
                        parts.push(&rest[at + rest[at..].chars().next().map_or(1, char::len_utf8)..]);
                        rest = rest[..at].trim_end_matches(is_space);
                    }
                    None => parts.push(std::mem::take(&mut rest)),
                }
            }
        }
        None => {
            let mut rest = s.trim_start_matches(is_space);
            while !rest.is_empty() {
                match rest.find(is_space).filter(|_| parts.len() < limit) {
                    Some(at) => {
                        parts.push(&rest[..at]);
                        rest = rest[at..].trim_start_matches(is_space);
                    }
                    None => parts.push(std::mem::take(&mut rest)),
                }
            }
        }
    }
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

fn partition(s: &str, sep: &str, from_right: bool) -> Result<Value, Error> {
    if sep.is_empty() {
        return Err(invalid("empty separator"));
    }
    let at = if from_right { s.rfind(sep) } else { s.find(sep) };
    let parts = match at {
        Some(at) => [&s[..at], sep, &s[at + sep.len()..]],
        None if from_right => ["", "", s],
        None => [s, "", ""],
    };
    Ok(Value::from(minijinja::value::Tuple::from(parts.map(Value::from))))
}

/// The part of a text between two indices, which may be missing, and how many characters are before it; None
/// where it begins behind the end.
fn window<'s>(
    s: &'s str,
    start: Option<&Value>,
    end: Option<&Value>,
) -> Result<Option<(usize, &'s str)>, Error> {
    if start.is_none() && end.is_none() {
        return Ok(Some((0, s)));
    }
    let count = s.chars().count() as i64;
    let place = |value, default, name| -> Result<i64, Error> {
        let index = integer(value, default, name)?;
        Ok(if index < 0 { (index + count).max(0) } else { index })
    };
    let (start, end) = (place(start, 0, "start")?, place(end, count, "end")?.min(count));
    if start > end {
        return Ok(None);
    }
    let byte = |index: i64| s.char_indices().nth(index as usize).map_or(s.len(), |(at, _)| at);
    Ok(Some((start as usize, &s[byte(start)..byte(end)])))
}

fn search(s: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let [what, start, end] = bind_method(args, ["sub", "start", "end"])?;
    let what = required(what, "sub")?;
    let what = text(&what, "sub")?;
    let part = window(s, start.as_ref(), end.as_ref())?;
    if method == "count" {
        return Ok(Value::from(part.map_or(0, |(_, part)| part.matches(what).count())));
    }
    let found = part.and_then(|(before, part)| {
        let at = if method.starts_with('r') { part.rfind(what) } else { part.find(what) };
        at.map(|at| before + part[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if method.ends_with("index") => Err(invalid("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

fn pad(state: &State, s: &str, method: &str, width: i64, fill: &str) -> Result<String, Error> {
    let length = s.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    charge(state, missing.saturating_mul(fill.len()))?;
    let left = match method {
        "ljust" => 0,
        "rjust" | "zfill" => missing,
        // The odd one goes to the left where the width is odd, as in CPython.
        _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
    };
    let (sign, digits) = match method {
        "zfill" if s.starts_with(['+', '-']) => s.split_at(1),
        _ => ("", s),
    };
    Ok([sign, &fill.repeat(left), digits, &fill.repeat(missing - left)].concat())
}

/// As the `center` filter and method do it.
pub(super) fn center(state: &State, s: &str, width: i64) -> Result<String, Error> {
    pad(state, s, "center", width, " ")
}

fn expand_tabs(s: &str, size: usize) -> String {
    let mut out = String::with_capacity(s.len());
    let mut column = 0;
    for c in s.chars() {
        match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                out.extend(std::iter::repeat_n(' ', n));
                column += n;
            }
            '\t' => {}
            _ => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    out
}

/// The lines of a text, and where each one's end is past its line end.
pub(super) fn lines(s: &str) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == s.len() {
            return None;
        }
        let from = start;
        let line_end = s[from..].find(is_end).map_or(s.len(), |at| from + at);
        let rest = &s[line_end..];
        let end_length =
            if rest.starts_with("\r\n") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) };
        start = line_end + end_length;
        Some((from..line_end, start))
    })
}

/// One character at the beginning of a title. Ligatures and the like: the first letter only.
fn title_case(c: char) -> String {
    let digraph = match c {
        'ǅ' | 'Ǆ' | 'ǆ' => Some('ǅ'),
        'ǈ' | 'Ǉ' | 'ǉ' => Some('ǈ'),
        'ǋ' | 'Ǌ' | 'ǌ' => Some('ǋ'),
        'ǲ' | 'Ǳ' | 'ǳ' => Some('ǲ'),
        _ => None,
    };
    if let Some(c) = digraph {
        return c.to_string();
    }
    let mut upper = c.to_uppercase();
    let first = upper.next().into_iter();
    first.chain(upper.flat_map(char::to_lowercase)).collect()
}

/// `str.title`: every letter behind something that is no letter is the first of a word.
fn words_titled(s: &str) -> String {
    let mut inside = false;
    s.chars()
        .map(|c| {
            let cased = c.is_lowercase() || c.is_uppercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ');
            let was_inside = std::mem::replace(&mut inside, cased);
            if was_inside { c.to_lowercase().to_string() } else { title_case(c) }
        })
        .collect()
}

/// Refuses widths that only fill memory, and pays for each argument in the place of each field, which `field` begins;
/// minijinja formats first and pays later.
pub(super) fn check_format(state: &State, format: &str, field: char, args: &[Value]) -> Result<(), Error> {
    let long = format.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() > 4);
    if let Some(digits) = long {
        return Err(invalid(format!("a format has the number {digits}, must be at most 9999")));
    }
    let mut bytes = 0;
    for arg in args {
        bytes += python_str(state, arg)?.len();
    }
    charge(state, bytes.saturating_mul(format.matches(field).count()))
}
