//! Checks a grammar before llama.cpp reads it.
//!
//! llama.cpp's parser writes its complaints to standard error, where a caller cannot read them. It also has no limits:
//! deep nesting overflows the stack, `{3,1}` never ends, a recursion through a rule that may be empty is not found, and
//! its search for left recursion can take time that doubles with every rule. What passes here does none of this. The
//! parser follows `llama_grammar_parser` of llama.cpp step by step.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rules::{Element, MAX_EMPTY_REPETITIONS, Rules};

/// The rule that an answer begins with, as in llama.cpp's programs.
pub(super) const ROOT: &str = "root";

/// Largest grammar in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Most parentheses inside one another.
const MAX_NESTING: usize = 100;
/// llama.cpp's limit of repetitions, and of the rules that they make.
const MAX_REPETITIONS: u64 = 2000;
/// Most elements of all rules, repetitions written out.
const MAX_ELEMENTS: usize = 200_000;

/// Checks a grammar, and returns the tokens that it names. An error says what is wrong and where.
pub(super) fn check(text: &str) -> Result<Tokens, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it is {} bytes long, more than {MAX_BYTES}", text.len()));
    }
    if text.contains('\0') {
        return Err("it holds a NUL character".into());
    }
    let mut parser = Parser { text, ..Parser::default() };
    parser.grammar().map_err(|reason| {
        let before = &text[..parser.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}: {reason}")
    })?;
    if let Some(name) = parser.rules.missing() {
        return Err(format!("there is no rule {name}"));
    }
    if !parser.ids.contains_key(ROOT) {
        return Err(format!("there is no rule {ROOT}, which an answer begins with"));
    }
    parser.rules.check()?;
    Ok(parser.tokens)
}

/// Tokens that a grammar names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tokens {
    /// By their text, angle brackets included.
    pub(super) texts: Vec<String>,
    /// It names one, by its text or its id.
    pub(super) any: bool,
}

#[derive(Default)]
struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
    ids: HashMap<&'a str, usize>,
    rules: Rules<'a>,
    n_elements: usize,
    tokens: Tokens,
}

type Parsed<T = ()> = Result<T, String>;

impl<'a> Parser<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        self.text.as_bytes()[self.at..].starts_with(bytes)
    }

    fn expect(&mut self, byte: u8) -> Parsed {
        if self.peek() != byte {
            return Err(format!("expected {}", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes by white space and comments.
    fn space(&mut self, newlines: bool) {
        let (mut rest, mut in_comment) = (&self.text.as_bytes()[self.at..], false);
        while let [byte, behind @ ..] = rest {
            match byte {
                b'\n' | b'\r' if newlines => in_comment = false,
                b'\n' | b'\r' => break,
                b' ' | b'\t' => {}
                b'#' => in_comment = true,
                _ if in_comment => {}
                _ => break,
            }
            rest = behind;
        }
        self.at = self.text.len() - rest.len();
    }

    /// The bytes from here on that are of a kind.
    fn take(&mut self, is_one: impl Fn(u8) -> bool, what: &str) -> Parsed<&'a str> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().position(|byte| !is_one(byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(format!("expected {what}"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn name(&mut self) -> Parsed<&'a str> {
        self.take(is_word, "a name")
    }

    fn number(&mut self) -> Parsed<u64> {
        let digits = self.take(|byte| byte.is_ascii_digit(), "a number")?;
        digits.parse().map_err(|_| format!("{digits} is too large"))
    }

    /// A character of a literal or a set.
    fn character(&mut self) -> Parsed {
        let hex = match self.text.as_bytes()[self.at..] {
            [] => return Err("it ends in the middle of a literal or a set".into()),
            [b'\\', b'x', ..] => 2,
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            [b'\\', b't' | b'r' | b'n' | b'\\' | b'"' | b'[' | b']' | b'-', ..] => 0,
            [b'\\', ..] => return Err("unknown escape".into()),
            _ => {
                self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
                return Ok(());
            }
        };
        let digits = self.text.as_bytes()[self.at + 2..].iter().take(hex);
        if digits.filter(|byte| byte.is_ascii_hexdigit()).count() < hex {
            return Err(format!("expected {hex} hexadecimal digits"));
        }
        self.at += 2 + hex;
        Ok(())
    }

    /// `<[id]>` or `<text>`.
    fn token(&mut self) -> Parsed {
        let start = self.at;
        self.expect(b'<')?;
        self.tokens.any = true;
        if self.peek() == b'[' {
            self.at += 1;
            let id = self.number()?;
            u32::try_from(id).map_err(|_| format!("{id} is too large for a token id"))?;
            self.expect(b']')?;
            return self.expect(b'>');
        }
        let len = self.text[self.at..].find('>').ok_or("expected > after a token")?;
        self.at += len + 1;
        self.tokens.texts.push(self.text[start..self.at].to_owned());
        Ok(())
    }

    fn rule_of(&mut self, name: &'a str) -> usize {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.rules.add(name);
        self.ids.insert(name, id);
        id
    }

    fn count(&mut self, more: usize) -> Parsed {
        self.n_elements += more;
        if self.n_elements > MAX_ELEMENTS {
            return Err(format!("with its repetitions it has more than {MAX_ELEMENTS} elements"));
        }
        Ok(())
    }

    fn grammar(&mut self) -> Parsed {
        self.space(true);
        while self.at < self.text.len() {
            let name = self.name()?;
            self.space(false);
            let id = self.rule_of(name);
            if !self.is_at(b"::=") {
                return Err("expected ::=".into());
            }
            self.at += 3;
            self.space(true);
            let rule = self.alternatives(name)?;
            self.rules.define(id, rule);
            if self.at < self.text.len() && !matches!(self.peek(), b'\r' | b'\n') {
                return Err("expected the end of the line, or more of the rule".into());
            }
            self.space(true);
        }
        Ok(())
    }

    fn alternatives(&mut self, name: &'a str) -> Parsed<Vec<Element>> {
        let mut rule = Vec::new();
        self.sequence(name, &mut rule)?;
        while self.peek() == b'|' {
            self.at += 1;
            rule.push(Element::Alternative);
            self.space(true);
            self.sequence(name, &mut rule)?;
        }
        Ok(rule)
    }

    fn sequence(&mut self, name: &'a str, rule: &mut Vec<Element>) -> Parsed {
        let is_nested = self.nesting > 0;
        // What a repetition repeats, and how many rules that has made.
        let (mut last, mut n_made) = (rule.len(), 1_u64);
        loop {
            let before = rule.len();
            let mut made = 1;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    while self.peek() != b'"' {
                        self.character()?;
                        rule.push(Element::Terminal);
                    }
                    self.at += 1;
                }
                b'[' => {
                    self.at += if self.is_at(b"[^") { 2 } else { 1 };
                    while self.peek() != b']' {
                        self.character()?;
                    }
                    if self.text.as_bytes()[self.at - 1] == b'[' || self.text[..self.at].ends_with("[^") {
                        return Err("expected a character in the set".into());
                    }
                    self.at += 1;
                    rule.push(Element::Terminal);
                }
                b'<' | b'!' => {
                    self.at += usize::from(self.peek() == b'!');
                    self.token()?;
                    rule.push(Element::Terminal);
                }
                b'.' => {
                    self.at += 1;
                    rule.push(Element::Terminal);
                }
                byte if is_word(byte) => {
                    let other = self.name()?;
                    let other = self.rule_of(other);
                    rule.push(Element::Rule(other));
                }
                b'(' => {
                    if self.nesting == MAX_NESTING {
                        return Err(format!("more than {MAX_NESTING} parentheses inside one another"));
                    }
                    self.at += 1;
                    self.nesting += 1;
                    self.space(true);
                    let n_rules = self.rules.len();
                    let group = self.rules.add(name);
                    let inner = self.alternatives(name)?;
                    self.rules.define(group, inner);
                    made = (self.rules.len() - n_rules) as u64;
                    self.nesting -= 1;
                    self.expect(b')')?;
                    rule.push(Element::Rule(group));
                }
                b'*' | b'+' | b'?' | b'{' => {
                    let times = self.times(is_nested)?;
                    self.repeat(name, rule, last, &mut n_made, times)?;
                    self.space(is_nested);
                    continue;
                }
                _ => return Ok(()),
            }
            self.count(rule.len() - before)?;
            (last, n_made) = (before, made);
            self.space(is_nested);
        }
    }

    /// How often something is repeated, at least and at most.
    fn times(&mut self, is_nested: bool) -> Parsed<(u64, Option<u64>)> {
        let sign = self.peek();
        self.at += 1;
        match sign {
            b'*' => return Ok((0, None)),
            b'+' => return Ok((1, None)),
            b'?' => return Ok((0, Some(1))),
            _ => self.space(is_nested),
        }
        let least = self.number()?;
        self.space(is_nested);
        let mut most = Some(least);
        if self.peek() == b',' {
            self.at += 1;
            self.space(is_nested);
            most = if self.peek().is_ascii_digit() { Some(self.number()?) } else { None };
            self.space(is_nested);
        }
        if most.is_some_and(|most| most < least) {
            return Err("the second number of a repetition is less than the first".into());
        }
        if least > MAX_REPETITIONS {
            return Err(format!("{least} repetitions, more than {MAX_REPETITIONS}"));
        }
        self.expect(b'}')?;
        // As llama.cpp takes it.
        Ok((least, most.filter(|&most| most <= MAX_REPETITIONS)))
    }

    /// Writes out the repetition of what a rule holds from `last` on.
    fn repeat(
        &mut self,
        name: &'a str,
        rule: &mut Vec<Element>,
        last: usize,
        n_made: &mut u64,
        (least, most): (u64, Option<u64>),
    ) -> Parsed {
        let repeated = rule[last..].to_vec();
        if repeated.is_empty() {
            return Err("nothing to repeat".into());
        }
        *n_made *= most.unwrap_or(least).max(1);
        if *n_made > MAX_REPETITIONS {
            return Err(format!("a repetition makes more than {MAX_REPETITIONS} rules"));
        }
        let optional = most.map_or(1, |most| most - least);
        self.count(repeated.len().saturating_mul((least + optional) as usize))?;
        if most.unwrap_or(least) > MAX_EMPTY_REPETITIONS {
            self.rules.note_repeated(name, &repeated);
        }
        rule.truncate(last);
        rule.extend((0..least).flat_map(|_| &repeated));
        let mut inner = None;
        for _ in 0..optional {
            let id = self.rules.add(name);
            let next = if most.is_none() { Some(id) } else { inner };
            let mut again = repeated.clone();
            again.extend(next.map(Element::Rule));
            again.push(Element::Alternative);
            self.rules.define(id, again);
            inner = Some(id);
        }
        rule.extend(inner.map(Element::Rule));
        Ok(())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
