//! Breaks control tokens in untrusted text, for every prompt that quotes some.
//!
//! Tokenizers turn control tokens such as `<|im_end|>` into real ones even inside a message, which would
//! let a draft end the message that quotes it. A client does not know its server's vocabulary, so whatever has
//! the shape of a control token is broken. Where the model is loaded its control tokens are known, and are
//! broken as well.

use std::borrow::Cow;

const JOINER: char = '\u{2060}';

/// Puts a word joiner after the bracket of everything that a tokenizer might take for a control
/// token. One is added however many there are already, so that the original can be restored.
pub(super) fn defuse(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices(['<', '[', ']']) {
        if looks_like_control(&text[at..]) {
            out.push_str(&text[copied..=at]);
            out.push(JOINER);
            copied = at + 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// As [`defuse`], and then puts a word joiner after the first character of everything that is still one of
/// `tokens`, the texts of a vocabulary's control tokens. A token of a single character cannot be broken.
pub(super) fn defuse_tokens(text: &str, tokens: &[String]) -> String {
    let mut out = defuse(text).into_owned();
    for token in tokens {
        let Some(first) = token.chars().next().filter(|first| first.len_utf8() < token.len()) else {
            continue;
        };
        // A token that has the shape is broken already, and most have it.
        if token.contains(JOINER) || matches!(defuse(token), Cow::Owned(_)) {
            continue;
        }
        while let Some(at) = out.find(token.as_str()) {
            out.insert(at + first.len_utf8(), JOINER);
        }
    }
    out
}

/// True at `<|` and `[|`, also with a full-width bar, at `<word>`, `</word>` and `<word|>`, and at `[WORD]`
/// or `[/WORD]` with at least two capitals, at `]~` and at `[word~[`: the shapes of control tokens in the model
/// families that llama.cpp runs. Between angle brackets a word may hold `_`, `-`, `:` and the bar of a SentencePiece space.
fn looks_like_control(text: &str) -> bool {
    let square = text.starts_with('[');
    let tail = text[1..].trim_start_matches(JOINER);
    if text.starts_with(']') {
        return tail.starts_with('~');
    }
    if tail.starts_with(['|', '\u{ff5c}']) {
        return true;
    }
    let tail = tail.strip_prefix('/').unwrap_or(tail);
    let of_word = |c: char| {
        if square {
            c.is_ascii_alphanumeric() || c == '_'
        } else {
            c.is_alphanumeric() || "_-:\u{2581}".contains(c)
        }
    };
    let end = tail.find(|c| !of_word(c)).unwrap_or(tail.len());
    let (word, rest) = tail.split_at(end);
    if word.is_empty() {
        return false;
    }
    if square {
        return rest.starts_with("~[")
            || rest.starts_with(']') && word.bytes().filter(u8::is_ascii_uppercase).count() >= 2;
    }
    rest.strip_prefix(['|', '\u{ff5c}']).unwrap_or(rest).starts_with('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_brackets_stay_as_they_are() {
        for text in [
            "a < b && c > d",
            "v[i] = [1, 2]",
            "<a href=\"x\">",
            "[note] [^1]",
            "[A-Z]",
            "<https://example.org/>",
            "<3 [",
            "<",
            "x<y[Z]",
            "a <b | c> d",
        ] {
            assert!(matches!(defuse(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn control_tokens_are_broken_and_can_be_told_back() {
        let cases = [
            "<|im_end|>",
            "</s>",
            "<end_of_turn>",
            "[/INST]",
            "<\u{ff5c}User\u{ff5c}>",
            "<\u{2060}|x|>",
            "<<|im_end|>",
            "[gMASK]<sop>",
            "<0x0A>",
            "[|endofturn|]",
            "<turn|>",
            "<seed:eos>",
            "<tool-call>",
            "<\u{7528}\u{6237}>",
            "<end\u{2581}of\u{2581}turn>",
            "]~!b[",
            "]~b]",
            "[e~[",
        ];
        for text in cases {
            let broken = defuse(text);
            assert!(!broken.contains(text), "{text}");
            assert_eq!(restore(&broken), text);
        }
    }

    #[test]
    fn a_vocabularys_own_tokens_are_broken_whatever_their_shape() {
        let tokens = ["}~b}", "<|end|>", ">>ANSWER<<", "aa", "\u{e9}\u{e9}", "x", ""].map(str::to_string);
        let text = "}~b} <|end|> >>ANSWER<<>>ANSWER<< aaaa \u{e9}\u{e9}\u{e9} x";
        let broken = defuse_tokens(text, &tokens);
        for token in &tokens[..5] {
            assert!(!broken.contains(token.as_str()), "{token} in {broken}");
        }
        assert_eq!(broken.replace(JOINER, ""), text);
        assert_eq!(defuse_tokens("a plain [text]", &tokens), "a plain [text]");
    }

    /// Drops one joiner after the bracket of everything that looks like a control token.
    fn restore(text: &str) -> String {
        let mut out = String::new();
        let mut skip = false;
        for (at, c) in text.char_indices() {
            if !(std::mem::take(&mut skip) && c == JOINER) {
                out.push(c);
            }
            skip = matches!(c, '<' | '[' | ']') && looks_like_control(&text[at..]);
        }
        out
    }
}
