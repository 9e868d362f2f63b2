//! A template's source on its way to minijinja: what jinja2 does with it before it parses, the one tag of Hugging
//! Face's that minijinja lacks, and limits on what its parser recurses into.

use std::borrow::Cow;

/// Bytes of a template. The longest that models bring have some tens of thousands.
const MAX_BYTES: usize = 1 << 20;
/// Characters of one tag, without white space and what strings hold. Each may be a level of the parser's recursion.
const MAX_TAG: usize = 16_384;
/// The same for branches of `if`, each of which is nested into the one before.
const MAX_ELIF: usize = 4_096;

/// The source as minijinja has to see it, with the same lines, or what is wrong with it.
pub(super) fn prepare(source: &str) -> Result<String, String> {
    if source.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, must have at most {MAX_BYTES}", source.len()));
    }
    let source = newlines(source);
    let mut out = String::with_capacity(source.len());
    let mut rest = &*source;
    let mut elifs = 0;
    let mut blocks = Blocks::default();
    while let Some(at) = next_tag(rest) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{#") {
            let end = rest[2..].find("#}").map_or(rest.len(), |end| end + 4);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        if let Some(length) = raw_tag(rest) {
            let (tag, text) = rest.split_at(length);
            // minijinja drops a line end behind it, jinja2 does not.
            match tag.strip_suffix("%}").filter(|tag| !tag.ends_with('-')) {
                Some(tag) => out.extend([tag, "+%}"]),
                None => out.push_str(tag),
            }
            let end = text.find("endraw").unwrap_or(text.len());
            out.push_str(&text[..end]);
            rest = &text[end..];
            continue;
        }
        let tag = Tag::read(rest)?;
        blocks.pass(&tag)?;
        elifs += usize::from(tag.name == "elif");
        if elifs > MAX_ELIF {
            return Err(format!("it has more than {MAX_ELIF} elif"));
        }
        out.push_str(&tag.text);
        rest = &rest[tag.length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// With every line end as jinja2 sees it, also those inside strings.
fn newlines(source: &str) -> Cow<'_, str> {
    if source.contains('\r') {
        source.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        source.into()
    }
}

/// Where the next `{{`, `{%` or `{#` is.
fn next_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1))
        .find(|&i| bytes[i] == b'{' && matches!(bytes[i + 1], b'{' | b'%' | b'#'))
}

/// Length of the `{% raw %}` that the text begins with.
fn raw_tag(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("{%")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner).trim_start();
    let inner = inner.strip_prefix("raw")?.trim_start();
    let inner = inner.strip_prefix('-').unwrap_or(inner).strip_prefix("%}")?;
    Some(text.len() - inner.len())
}

/// The blocks around a tag.
#[derive(Default)]
struct Blocks(Vec<&'static str>);

impl Blocks {
    /// Goes past a tag. minijinja loses the output from a `break` or `continue` in a block that it collects, in a loop,
    /// or fails.
    fn pass(&mut self, tag: &Tag<'_>) -> Result<(), String> {
        const OPEN: [&str; 7] = ["for", "filter", "call", "macro", "with", "generation", "set"];
        if matches!(tag.name, "break" | "continue") {
            return match self.0.last() {
                Some(&"for") => Ok(()),
                Some(block) => Err(format!("{} in a block of {block} is not supported", tag.name)),
                None => Err(format!("{} is in no loop", tag.name)),
            };
        }
        if let Some(open) = OPEN.iter().find(|open| **open == tag.name && !tag.assigns) {
            self.0.push(open);
        } else if tag.name.strip_prefix("end").is_some_and(|name| OPEN.contains(&name)) {
            self.0.pop();
        }
        Ok(())
    }
}

/// A `{{ }}` or `{% %}`.
struct Tag<'a> {
    /// Its first word, empty for an expression.
    name: &'a str,
    /// Whether it is a `set` that has no end tag.
    assigns: bool,
    /// Bytes of the source that it takes.
    length: usize,
    /// What stands in their place.
    text: String,
}

impl<'a> Tag<'a> {
    fn read(source: &'a str) -> Result<Tag<'a>, String> {
        let statement = source.starts_with("{%");
        let close = if statement { "%}" } else { "}}" };
        let mut tag = Tag { name: "", assigns: false, length: 0, text: source[..2].to_owned() };
        let mut rest = &source[2..];
        if statement {
            let body = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start();
            let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
            tag.name = &body[..end];
            let after = &body[end..];
            if let Some(name) = without_generation(tag.name, after) {
                tag.text.push_str(&rest[..rest.len() - body.len()]);
                tag.text.push_str(name);
                rest = after;
            }
        }
        let (mut weight, mut open) = (0, 0_usize);
        while let Some(c) = rest.chars().next() {
            // Inside brackets `}}` closes two of them.
            if open == 0 && rest.starts_with(close) {
                tag.text.push_str(close);
                rest = &rest[2..];
                break;
            }
            if matches!(c, '"' | '\'') {
                let length = string_length(rest, c);
                push_string(&mut tag.text, &rest[..length]);
                rest = &rest[length..];
                continue;
            }
            match c {
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open = open.saturating_sub(1),
                '=' => tag.assigns |= open == 0 && tag.name == "set",
                _ => {}
            }
            weight += usize::from(!c.is_whitespace());
            tag.text.push(c);
            rest = &rest[c.len_utf8()..];
        }
        if weight > MAX_TAG {
            return Err(format!(
                "a tag has {weight} characters outside strings, must have at most {MAX_TAG}"
            ));
        }
        tag.length = source.len() - rest.len();
        Ok(tag)
    }
}

/// Hugging Face's `{% generation %}` marks what the assistant says, for training. It prints its body and keeps the
/// variables that are set in it, as `{% with %}` does.
fn without_generation(name: &str, after: &str) -> Option<&'static str> {
    let after = after.trim_start();
    let alone = after.strip_prefix(['-', '+']).unwrap_or(after).starts_with("%}");
    match name {
        "generation" if alone => Some("with"),
        "endgeneration" if alone => Some("endwith"),
        _ => None,
    }
}

/// Bytes of the string literal that the text begins with, all of the text if it does not end.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Writes a string literal with the escapes of Python that minijinja does not know or reads in another way.
fn push_string(out: &mut String, literal: &str) {
    let mut chars = literal.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('\n') => {}
            Some('a') => out.push('\u{7}'),
            Some('v') => out.push('\u{b}'),
            Some('/') => out.push_str("\\\\/"),
            Some('U') => {
                let digits: String = chars.clone().take(8).collect();
                let long = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 8);
                match long.and_then(char::from_u32).filter(|c| !c.is_ascii()) {
                    Some(c) => {
                        out.push(c);
                        chars.nth(7);
                    }
                    None => out.push_str("\\U"),
                }
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_one_kind_and_other_text_is_left_alone() {
        assert_eq!(prepare("a\r\nb\rc\n{{ 'x\r\ny' }}\r").unwrap(), "a\nb\nc\n{{ 'x\ny' }}\n");
        for text in [
            "",
            "{",
            "{ {x} }",
            "{{ {'a': {'b': 1}} }}{% if '%}' %}x{% endif %}{# {% generation %} #}",
            "{{ 'open",
        ] {
            assert_eq!(prepare(text).unwrap(), text);
        }
    }

    #[test]
    fn generation_is_with_but_not_in_text_or_strings() {
        assert_eq!(
            prepare("{%- generation -%}a{% endgeneration+%}{{ '{% generation %}' }}{% generation x %}")
                .unwrap(),
            "{%- with -%}a{% endwith+%}{{ '{% generation %}' }}{% generation x %}"
        );
        let raw = "{%- raw -%}{% generation %}{% endraw %}{% generation %}";
        assert_eq!(prepare(raw).unwrap(), "{%- raw -%}{% generation %}{% endraw %}{% with %}");
    }

    #[test]
    fn break_and_continue_must_be_where_minijinja_can_leave_a_loop() {
        for inside in ["set x", "filter upper", "call m()", "with", "generation"] {
            let source = format!("{{% for x in y %}}{{% {inside} %}}{{% if x %}}{{% continue %}}");
            let error = prepare(&source).unwrap_err();
            assert!(error.starts_with("continue in a block of "), "{error}");
        }
        assert_eq!(prepare("{% break %}").unwrap_err(), "break is in no loop");
        for before in [
            "{% set x = 1 %}",
            "{% set x %}{% endset %}",
            "{% with %}{% for a in b %}{% break %}{% endfor %}{% endwith %}",
        ] {
            assert!(
                prepare(&format!("{{% for x in y %}}{before}{{% if x %}}{{% continue %}}")).is_ok(),
                "{before}"
            );
        }
    }

    #[test]
    fn pythons_escapes_are_written_as_minijinja_reads_them() {
        let source = "{{ '\\a\\v\\/\\U0001F980\\U0000\\n\\'\\\\a\\\nb' }}";
        assert_eq!(prepare(source).unwrap(), "{{ '\u{7}\u{b}\\\\/\u{1f980}\\U0000\\n\\'\\\\ab' }}");
    }

    #[test]
    fn what_the_parser_would_recurse_into_is_limited() {
        let long = |part: &str, n: usize| format!("{{{{ {}1 }}}}", part.repeat(n));
        assert!(prepare(&long("'a' ~ ", MAX_TAG - 1)).is_ok());
        assert!(prepare(&long("-", MAX_TAG)).unwrap_err().contains("a tag has 16385 characters"));
        assert!(prepare(&format!("{{% if x %}}{}", "{% elif x %}".repeat(MAX_ELIF + 1))).is_err());
        assert!(prepare(&" ".repeat(MAX_BYTES + 1)).unwrap_err().starts_with("it has 1048577 bytes"));
    }
}
