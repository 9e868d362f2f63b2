//! Words, sentences and languages, as the checks count them.

use std::sync::OnceLock;

use fancy_regex::Regex;
use unicode_segmentation::UnicodeSegmentation;
use whatlang::Lang;

use super::python;

/// Number of words: runs of letters, digits and underscores.
pub(super) fn count_words(text: &str) -> usize {
    static WORD: OnceLock<Regex> = OnceLock::new();
    python::count(WORD.get_or_init(|| python::nltk_regex(r"\w+")), text)
}

/// After these a full stop does not end a sentence.
const ABBREVIATIONS: [&str; 30] = [
    "mr.", "mrs.", "ms.", "dr.", "prof.", "rev.", "gen.", "col.", "capt.", "lt.", "sen.", "rep.", "gov.",
    "st.", "jr.", "sr.", "vs.", "e.g.", "i.e.", "inc.", "ltd.", "co.", "corp.", "u.s.", "u.k.", "ph.d.",
    "fig.", "vol.", "jan.", "sept.",
];

/// Number of sentences. A line end alone does not end one, as in the published check.
pub(super) fn count_sentences(text: &str) -> usize {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut count = 0;
    let mut open = false;
    for sentence in line.unicode_sentences() {
        open = true;
        let last = sentence.split_whitespace().next_back().unwrap_or_default().to_lowercase();
        let last = last.trim_start_matches(['(', '"', '\'', '[']);
        // A single letter with a full stop is an initial.
        let is_initial =
            last.len() == 2 && last.ends_with('.') && last.starts_with(char::is_alphabetic) && last != "i.";
        if !is_initial && !ABBREVIATIONS.contains(&last) {
            count += 1;
            open = false;
        }
    }
    count + usize::from(open)
}

/// A language that can be detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language(Lang);

/// ISO 639-1 codes, which records use, and the 639-3 codes of the detector.
const CODES: [(&str, &str); 52] = [
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ka", "kat"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("pa", "pan"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("th", "tha"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("vi", "vie"),
    ("zh", "cmn"),
];

impl Language {
    /// English.
    pub const ENGLISH: Language = Language(Lang::Eng);

    /// The language of an ISO 639-1 code, if it can be detected.
    pub fn from_code(code: &str) -> Option<Language> {
        let (_, long) = CODES.iter().find(|(short, _)| *short == code)?;
        Lang::from_code(*long).map(Language)
    }

    /// Its English name.
    pub fn name(self) -> &'static str {
        self.0.eng_name()
    }

    /// True if the text is in this language, or in none that can be told, such as figures only.
    pub fn is_of(self, text: &str) -> bool {
        whatlang::detect_lang(text).is_none_or(|language| language == self.0)
    }

    /// True unless the text is surely in another language: for checks that mainly ask for something else,
    /// and that short texts should not fail because their language was guessed wrong.
    pub fn may_be_of(self, text: &str) -> bool {
        whatlang::detect(text).is_none_or(|info| info.lang() == self.0 || !info.is_reliable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(count_words("It's well-kept, isn't it? über 3.5"), 10);
        assert_eq!(count_words(" \n"), 0);
    }

    #[test]
    fn sentences_end_at_their_marks_but_not_after_abbreviations() {
        let cases = [
            ("One. Two! Three?", 3),
            ("Dr. Smith met Mr. J. Doe. They left.", 2),
            ("no mark at all", 1),
            ("A heading\nwithout a mark\ngoes on. Then ends.", 2),
            ("It costs 3.50 dollars, e.g. Here.", 1),
            ("", 0),
        ];
        for (text, count) in cases {
            assert_eq!(count_sentences(text), count, "{text}");
        }
    }

    #[test]
    fn every_code_is_a_language_of_the_detector() {
        for (code, _) in CODES {
            assert!(Language::from_code(code).is_some(), "{code}");
        }
        assert_eq!(Language::from_code("sw"), None);
        assert_eq!(Language::from_code("de").unwrap().name(), "German");
    }

    #[test]
    fn languages_are_told_apart() {
        let german = Language::from_code("de").unwrap();
        assert!(german.is_of("Der schnelle braune Fuchs springt über den faulen Hund."));
        assert!(!german.is_of("The quick brown fox jumps over the lazy dog again."));
        assert!(german.is_of("12345"), "figures are in no language");
        assert!(Language::ENGLISH.may_be_of("an old tree written in lowercase"), "short texts are guesses");
    }
}
