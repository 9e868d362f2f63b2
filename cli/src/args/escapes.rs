//! Escape sequences in texts of the command line, as llama.cpp reads them.

use clap::Args;

use crate::failure::{Failure, Outcome};

#[derive(Args)]
pub struct EscapeArgs {
    /// Read \n, \r, \t, \', \", \\ and \xHH in -p, -i, -sys, -r and --negative-prompt as what they stand for. Texts
    /// in files are taken as they are. This is the default.
    #[arg(short, long, overrides_with = "no_escape")]
    escape: bool,
    /// Take those texts as they are.
    #[arg(long, overrides_with = "escape")]
    no_escape: bool,
}

impl EscapeArgs {
    /// A text that `option` brought, as it is meant.
    pub fn read(&self, option: &str, text: &str) -> Outcome<String> {
        if self.no_escape {
            return Ok(text.to_owned());
        }
        String::from_utf8(unescape(text.as_bytes())).map_err(|_| {
            Failure::Usage(format!(
                "{option} is {text:?}, must be UTF-8 once its \\x escapes are read (or --no-escape)"
            ))
        })
    }

    /// The same for an option that may be given several times.
    pub fn read_all(&self, option: &str, texts: &[String]) -> Outcome<Vec<String>> {
        texts.iter().map(|text| self.read(option, text)).collect()
    }
}

/// llama.cpp's `string_process_escapes`, byte for byte: what is no escape sequence stays as it is.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (bytes, after): (&[u8], &[u8]) = match (byte, after) {
            (b'\\', [b'n', after @ ..]) => (b"\n", after),
            (b'\\', [b'r', after @ ..]) => (b"\r", after),
            (b'\\', [b't', after @ ..]) => (b"\t", after),
            (b'\\', [quoted @ (b'\'' | b'"' | b'\\'), after @ ..]) => (&[*quoted], after),
            (b'\\', [b'x', a, b, after @ ..]) if hex(*a, *b).is_some() => {
                (&[hex(*a, *b).unwrap_or_default()], after)
            }
            (b'\\', [other, after @ ..]) => (&[b'\\', *other], after),
            _ => (&[byte], after),
        };
        plain.extend_from_slice(bytes);
        rest = after;
    }
    plain
}

/// Two characters as `strtol` reads them to base 16, if it reads both: white space and a sign are digits to it.
fn hex(a: u8, b: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match a {
        b'-' => digit(b).map(u8::wrapping_neg),
        b'+' | b' ' | b'\t'..=b'\r' => digit(b),
        _ => Some(digit(a)? << 4 | digit(b)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::message;

    #[test]
    fn escapes_are_those_of_llama_cpp_and_all_else_stays() {
        let cases: [(&str, &[u8]); 12] = [
            (r"a\nb\rc\td", b"a\nb\rc\td"),
            (r#"\'\"\\"#, br#"'"\"#),
            (r"\\n", br"\n"),
            (r"\x41\x0a\xc3\xa9", "A\né".as_bytes()),
            (r"\xFf", b"\xff"),
            (r"\a\0\u00e9", br"\a\0\u00e9"),
            (r"\x4", br"\x4"),
            (r"\x4g", br"\x4g"),
            (r"\x0x", br"\x0x"),
            (r"\x 5\x-1\x+a", b"\x05\xff\x0a"),
            ("é\\", "é\\".as_bytes()),
            ("", b""),
        ];
        for (text, plain) in cases {
            assert_eq!(unescape(text.as_bytes()), plain, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_and_no_escape_reads_none() {
        let args = EscapeArgs { escape: false, no_escape: false };
        let refused = args.read("--prompt", r"a\xff").unwrap_err();
        assert!(message(&refused).starts_with("--prompt is \"a\\\\xff\", must be UTF-8"), "{refused:?}");
        let args = EscapeArgs { escape: false, no_escape: true };
        assert_eq!(args.read("--prompt", r"a\xff\n").unwrap(), r"a\xff\n");
    }
}
