//! Python's notions of white space, words, letters, regular expressions and JSON, which the published checks go by.

use fancy_regex::{Regex, RegexBuilder};

/// What `\s` and `str.strip` take for white space: Unicode's, and four separators among the control characters.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

const SPACE: &str = r"\s\x1c-\x1f";
const WORD: &str = r"\p{L}\p{N}_";
const END: &str = r"(?=\n?\z)";

/// A regular expression as the module `regex` reads it, which NLTK uses: its classes are Rust's.
pub(super) fn nltk_regex(pattern: &str) -> Regex {
    Regex::new(&translated(pattern, false)).expect("the pattern is well-formed")
}

/// A regular expression as Python's `re` reads it. One that is not valid is matched literally.
pub(super) fn regex(pattern: &str, ignore_case: bool) -> Regex {
    let build = |text: &str| RegexBuilder::new(text).case_insensitive(ignore_case).build();
    build(&translated(pattern, true))
        .or_else(|_| build(&fancy_regex::escape(pattern)))
        .expect("an escaped text is an expression, if it is not megabytes long")
}

/// The end, which is also before a last line end, and with `classes` also `\s`, `\w` and `\b` as `re` has them.
fn translated(pattern: &str, classes: bool) -> String {
    let (mut text, mut in_class) = (String::with_capacity(2 * pattern.len()), false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match (chars.next(), in_class) {
                (Some(other), _) if !classes => text.extend(['\\', other]),
                (Some('s'), true) => text.push_str(SPACE),
                (Some('s'), false) => text.push_str(&format!("[{SPACE}]")),
                (Some('S'), false) => text.push_str(&format!("[^{SPACE}]")),
                (Some('w'), true) => text.push_str(WORD),
                (Some('w'), false) => text.push_str(&format!("[{WORD}]")),
                (Some('W'), false) => text.push_str(&format!("[^{WORD}]")),
                (Some('b'), false) => {
                    text.push_str(&format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))"));
                }
                (Some(other), _) => text.extend(['\\', other]),
                (None, _) => text.push('\\'),
            },
            '$' if !in_class && !pattern.starts_with("(?m)") => text.push_str(END),
            _ => {
                in_class = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                text.push(c);
            }
        }
    }
    text
}

/// True if there is a match. A search that takes too long finds none.
pub(super) fn is_match(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

/// Number of matches that do not overlap.
pub(super) fn count(pattern: &Regex, text: &str) -> usize {
    pattern.find_iter(text).take_while(Result::is_ok).count()
}

/// The matches.
pub(super) fn matches<'t>(pattern: &Regex, text: &'t str) -> Vec<&'t str> {
    pattern.find_iter(text).map_while(Result::ok).map(|found| found.as_str()).collect()
}

/// The parts between the matches, as `re.split` cuts them.
pub(super) fn parts<'t>(pattern: &Regex, text: &'t str) -> Vec<&'t str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for found in pattern.find_iter(text).map_while(Result::ok) {
        parts.push(&text[from..found.start()]);
        from = found.end();
    }
    parts.push(&text[from..]);
    parts
}

/// `str.isupper()`: a letter with a case, and none that is not upper case.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title(c))
}

/// `str.islower()`.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title(c))
}

/// One letter for two of which the first is a capital.
fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// True for what `json.loads` reads: NaN, infinities and lone surrogates too.
pub(super) fn is_json(text: &str) -> bool {
    let mut json = Json { rest: text };
    json.value(0).is_some() && json.space().rest.is_empty()
}

/// Nesting at which Python gives up.
const MAX_DEPTH: usize = 990;

/// Digits of a whole number at which Python gives up.
const MAX_DIGITS: usize = 4300;

struct Json<'t> {
    rest: &'t str,
}

impl Json<'_> {
    fn space(&mut self) -> &mut Self {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let depth = (depth < MAX_DEPTH).then_some(depth + 1)?;
        self.space();
        match self.rest.bytes().next()? {
            b'"' => self.text(),
            b'{' => self.list("{", "}", |json| {
                json.space().text()?;
                json.space().take(":")?;
                json.value(depth)
            }),
            b'[' => self.list("[", "]", |json| json.value(depth)),
            _ => {
                let words = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
                words.iter().find_map(|word| self.take(word)).or_else(|| self.number())
            }
        }
    }

    fn list(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.space().take(close).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.space().take(close).is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn text(&mut self) -> Option<()> {
        self.take("\"")?;
        loop {
            let mut chars = self.rest.chars();
            match chars.next()? {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(());
                }
                '\\' => match chars.next()? {
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {}
                    'u' => (0..4).try_for_each(|_| chars.next()?.is_ascii_hexdigit().then_some(()))?,
                    _ => return None,
                },
                '\0'..='\x1f' => return None,
                _ => {}
            }
            self.rest = chars.as_str();
        }
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take("-");
        let whole = if self.take("0").is_some() { 1 } else { self.digits()? };
        let mut is_whole = true;
        let before = self.rest;
        if self.take(".").is_some() {
            match self.digits() {
                Some(_) => is_whole = false,
                None => self.rest = before,
            }
        }
        let before = self.rest;
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            match self.digits() {
                Some(_) => is_whole = false,
                None => self.rest = before,
            }
        }
        (!is_whole || whole <= MAX_DIGITS).then_some(())
    }

    /// At least one digit. Returns how many.
    fn digits(&mut self) -> Option<usize> {
        let n = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        self.rest = &self.rest[n..];
        (n > 0).then_some(n)
    }
}
