//! Model files whose names are not UTF-8: llama-cpp-2 takes text only, so they are loaded through links.

use std::borrow::Cow;
use std::ffi::CString;
use std::io;
use std::path::Path;

#[cfg(unix)]
use super::parts::Part;

/// A name for a model's file that is text, as long as the value lives.
pub(super) struct TextPath<'p> {
    path: Cow<'p, Path>,
    /// Holds the links.
    _folder: Option<tempfile::TempDir>,
}

impl<'p> TextPath<'p> {
    /// Makes links in the system's folder for temporary files, if the name is not UTF-8.
    pub(super) fn new(path: &'p Path) -> io::Result<TextPath<'p>> {
        if path.to_str().is_some() {
            return Ok(TextPath { path: Cow::Borrowed(path), _folder: None });
        }
        link(path)
    }

    #[cfg(all(test, unix))]
    fn get(&self) -> &Path {
        &self.path
    }

    /// The name for llama.cpp.
    pub(super) fn c_string(&self) -> io::Result<CString> {
        let name = self.path.to_str().and_then(|name| CString::new(name).ok());
        name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has a NUL"))
    }
}

#[cfg(unix)]
fn link<'p>(path: &Path) -> io::Result<TextPath<'p>> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir()?;
    let whole = std::path::absolute(path)?;
    let name = whole.file_name().unwrap_or_default().as_bytes();
    // llama.cpp finds the other parts of a model by the name of its first.
    let Some(Part { prefix, number: 1, of }) = Part::of_name(name) else {
        let link = folder.path().join("model.gguf");
        symlink(&whole, &link)?;
        return Ok(TextPath { path: link.into(), _folder: Some(folder) });
    };
    for part in 1..=of {
        let ending = Part::ending(part, of);
        let file = [prefix, ending.as_bytes()].concat();
        symlink(
            whole.with_file_name(OsStr::from_bytes(&file)),
            folder.path().join(format!("model{ending}")),
        )?;
    }
    let first = folder.path().join(format!("model{}", Part::ending(1, of)));
    Ok(TextPath { path: first.into(), _folder: Some(folder) })
}

#[cfg(not(unix))]
fn link<'p>(_: &Path) -> io::Result<TextPath<'p>> {
    Err(io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_name_of_any_bytes_gets_one_that_is_text_and_leads_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        std::fs::write(at(b"caf\xe9.gguf"), "one").unwrap();
        for part in ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"] {
            std::fs::write(at(&[b"\xe9", part.as_bytes()].concat()), part).unwrap();
        }
        let whole = at(b"caf\xe9.gguf");
        let text = TextPath::new(&whole).unwrap();
        assert!(text.get().to_str().is_some());
        assert_eq!(std::fs::read_to_string(text.get()).unwrap(), "one");
        let first = at(b"\xe9a-00001-of-00002.gguf");
        let text = TextPath::new(&first).unwrap();
        let name = text.get().to_str().unwrap();
        for part in ["00001", "00002"] {
            let read = std::fs::read_to_string(name.replace("00001", part)).unwrap();
            assert_eq!(read, format!("a-{part}-of-00002.gguf"));
        }
        let plain = at(b"plain.gguf");
        assert_eq!(TextPath::new(&plain).unwrap().get(), plain, "text stays as it is");
    }
}
