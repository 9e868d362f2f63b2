//! The API key, kept out of everything that is printed.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

const REDACTED: &str = "[redacted]";

/// Key files hold one line; this bounds what a wrong path can load.
const MAX_FILE: u64 = 64 << 10;

/// An API key from an environment variable or a file.
///
/// It cannot be made from text, so that no program is tempted to take it from the command line,
/// where every user of the machine can read it. `Debug` and `Display` print `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Reads the key from the environment variable `name`.
    ///
    /// # Errors
    /// [`Error::Param`] when it is not set, blank, or holds what no HTTP header can. The value is
    /// never shown, nor is a name that might be a key given by mistake.
    pub fn from_env(name: &str) -> Result<Self> {
        let value = if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(name) };
        let value = value.ok_or_else(|| {
            Error::param(
                "judge key variable",
                shown_name(name),
                "the name of an environment variable that is set",
            )
        })?;
        let text = value.into_string().map_err(|_| unusable())?;
        ApiKey::check(&text)
    }

    /// Reads the key from a file. White space around it is dropped.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read or is larger than 64 KiB, [`Error::Param`] when it
    /// does not hold one key. The content is never shown.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = crate::judge::read_bounded(path, MAX_FILE)
            .map_err(|e| Error::Io { path: shown_path(path), reason: e.to_string() })?;
        let text = String::from_utf8(bytes).map_err(|_| unusable())?;
        ApiKey::check(text.strip_prefix('\u{feff}').unwrap_or(&text))
    }

    fn check(text: &str) -> Result<Self> {
        let key = text.trim();
        // What may stand in an HTTP header; a line break would start another header.
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(unusable());
        }
        Ok(ApiKey(key.to_string()))
    }

    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// `text` without the key, also where a server echoed it JSON-escaped.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        let text = text.replace(&self.0, REDACTED).replace(&escaped, REDACTED);
        text.replace(&escaped.replace('/', "\\/"), REDACTED)
    }
}

fn unusable() -> Error {
    Error::param("judge key", "[not shown]", "one line of visible ASCII characters without spaces")
}

/// A variable's name is printed only when it cannot well be a key.
fn shown_name(name: &str) -> String {
    let usual = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let plain = (1..=64).contains(&name.len()) && name.bytes().all(usual);
    if plain { name.to_string() } else { "[not shown]".to_string() }
}

/// A path is printed unless it might be a key given by mistake: long, and without a folder.
fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let named = text.len() <= 20 || text.contains(std::path::is_separator);
    if named { text } else { "key file [name not shown]".to_string() }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({REDACTED})")
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_trimmed_and_never_printed() {
        let key = ApiKey::check(" sk-s3cret\r\n").unwrap();
        assert_eq!(key.bearer(), "Bearer sk-s3cret");
        assert!(!format!("{key} {key:?} {:?}", Some(&key)).contains("s3cret"));
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused_without_showing_it() {
        for bad in ["", " \n", "s3cret\r\nX-Evil: 1", "s3cret two", "s3cret\u{e9}", "s3cret\0"] {
            let e = ApiKey::check(bad).unwrap_err().to_string();
            assert!(!e.contains("s3cret"), "{e}");
        }
    }

    #[test]
    fn a_missing_variable_is_named_unless_it_may_be_the_key_itself() {
        let e = ApiKey::from_env("SDA_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(e.contains("SDA_NO_SUCH_VARIABLE"), "{e}");
        for key in ["sk-proj-s3cret", "gsk_s3cret", "s3cret", "", "A=s3cret"] {
            let e = ApiKey::from_env(key).unwrap_err().to_string();
            assert!(!e.contains("s3cret"), "{e}");
        }
    }

    #[test]
    fn a_missing_file_is_named_unless_it_may_be_the_key_itself() {
        let e = ApiKey::from_file(Path::new("/no/such/folder/key.txt")).unwrap_err().to_string();
        assert!(e.contains("/no/such/folder/key.txt"), "{e}");
        let e = ApiKey::from_file(Path::new("sk-proj-s3cretabcdefghijklmnop")).unwrap_err().to_string();
        assert!(!e.contains("s3cret"), "{e}");
    }

    #[test]
    fn an_echoed_key_is_scrubbed_plain_and_escaped() {
        let key = ApiKey::check("a\"b\\c/d").unwrap();
        for echo in ["a\"b\\c/d", "a\\\"b\\\\c/d", "a\\\"b\\\\c\\/d"] {
            assert_eq!(key.scrub(&format!("bad key {echo}, {echo}")), "bad key [redacted], [redacted]");
        }
    }
}
