//! Models in several files, `NAME-00001-of-00003.gguf` and so on: llama.cpp gets the first and finds the others by its
//! name.

use std::path::Path;

/// What a file's name says of its place among the parts of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'n> {
    /// What stands before the numbers.
    pub(super) prefix: &'n [u8],
    /// From 1.
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Part<'_> {
    /// Reads a file's name; None for that of a whole model.
    pub(super) fn of_name(name: &[u8]) -> Option<Part<'_>> {
        let (name, of) = last_number(name.strip_suffix(b".gguf")?)?;
        let (name, number) = last_number(name.strip_suffix(b"-of-")?)?;
        let prefix = name.strip_suffix(b"-")?;
        (1..=of).contains(&number).then_some(Part { prefix, number, of })
    }

    /// The end of the name of a part.
    pub(super) fn ending(number: usize, of: usize) -> String {
        format!("-{number:05}-of-{of:05}.gguf")
    }
}

/// Splits five digits off the end.
fn last_number(name: &[u8]) -> Option<(&[u8], usize)> {
    let (rest, digits) = name.split_at(name.len().checked_sub(5)?);
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    Some((rest, digits.parse().ok()?))
}

/// Why a model whose file has this name could not be loaded: it is not the first part, or another one is missing.
pub(super) fn complaint(path: &Path) -> Option<String> {
    let Part { prefix, number, of } = Part::of_name(path.file_name()?.to_str()?.as_bytes())?;
    let prefix = String::from_utf8_lossy(prefix);
    let part = |number| path.with_file_name(format!("{prefix}{}", Part::ending(number, of)));
    if number > 1 {
        let (shown, first) = (path.display(), part(1));
        return Some(format!("{shown} is part {number} of {of}, must be the first: {}", first.display()));
    }
    let missing = (2..=of).map(part).find(|part| !part.exists())?;
    Some(format!("{} is missing, one of the {of} parts of {}", missing.display(), path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_both_numbers_is_that_of_a_part() {
        let part = |name: &'static str| Part::of_name(name.as_bytes()).map(|part| (part.number, part.of));
        assert_eq!(part("a-00002-of-00004.gguf"), Some((2, 4)));
        assert_eq!(part("-00001-of-00001.gguf"), Some((1, 1)));
        for name in
            ["a.gguf", "a-00005-of-00004.gguf", "a-00000-of-00004.gguf", "a-0001-of-0004.gguf", "gguf", ""]
        {
            assert_eq!(part(name), None, "{name}");
        }
        assert_eq!(part("a-00001-of-00002"), None);
        assert_eq!(part("a00001-of-00002.gguf"), None);
        assert_eq!(part("a-0000x-of-00002.gguf"), None);
    }

    #[test]
    fn a_complaint_names_the_first_part_or_the_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf"] {
            std::fs::write(at(name), "").unwrap();
        }
        let second = complaint(&at("m-00002-of-00003.gguf")).unwrap();
        assert!(second.contains("is part 2 of 3") && second.ends_with("m-00001-of-00003.gguf"), "{second}");
        let first = complaint(&at("m-00001-of-00003.gguf")).unwrap();
        assert!(first.contains("m-00003-of-00003.gguf is missing"), "{first}");
        std::fs::write(at("m-00003-of-00003.gguf"), "").unwrap();
        assert_eq!(complaint(&at("m-00001-of-00003.gguf")), None);
        assert_eq!(complaint(&at("whole.gguf")), None);
    }
}
