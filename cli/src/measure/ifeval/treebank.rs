//! Words as NLTK's `word_tokenize` cuts them, by the rules of its `NLTKWordTokenizer`, in their order. That of a whole
//! text instead of each of its sentences makes no difference to words in capital letters.

use std::sync::OnceLock;

use fancy_regex::Regex;

use super::python;

/// Patterns and what they are replaced by.
const RULES: [(&str, &str); 25] = [
    // Opening quotation marks.
    ("([«“‘„]|[`]+)", " $1 "),
    (r#"^""#, "``"),
    ("(``)", " $1 "),
    (r#"([ \(\[{<])("|'{2})"#, "$1 `` "),
    (r"(?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "$1 "),
    // Punctuation.
    (r#"([^\.])(\.)([\]\)}>"'»”’ ]*+)\s*$"#, "$1 $2 $3 "),
    (r"([:,])([^\d])", " $1 $2"),
    ("([:,])$", " $1 "),
    (r"\.{2,}", " $0 "),
    ("[;@#$%&]", " $0 "),
    ("[\u{2012}-\u{2015}]", " $0 "),
    (r#"([^\.])(\.)([\]\)}>"']*)\s*$"#, "$1 $2$3 "),
    ("[?!]", " $0 "),
    ("([^'])' ", "$1 ' "),
    ("[*]", " $0 "),
    (r"[\]\[\(\)\{\}\<\>]", " $0 "),
    ("--", " -- "),
    // Closing ones, on text with a blank at both ends.
    ("^", " "),
    (r"\z", " "),
    ("([»”’])", " $1 "),
    ("''", " '' "),
    (r#"""#, " '' "),
    (r"\s+", " "),
    ("([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
];

/// Contractions, the last rules, which NLTK reads with another module.
const CONTRACTIONS: [(&str, &str); 10] = [
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na)(?=\s)", " $1 $2 "),
    (r"(?i) ('t)(is)\b", " $1 $2 "),
    (r"(?i) ('t)(was)\b", " $1 $2 "),
];

/// The text with a blank between any two words.
fn cut(text: &str) -> String {
    static COMPILED: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let rules = RULES.iter().map(|(pattern, by)| (python::nltk_regex(pattern), *by));
        let contractions = CONTRACTIONS.iter().map(|(pattern, by)| (python::regex(pattern, false), *by));
        rules.chain(contractions).collect()
    });
    let mut text = text.to_owned();
    for (pattern, replacement) in compiled {
        // A search that takes too long changes nothing.
        if let Ok(replaced) = pattern.try_replacen(&text, 0, *replacement) {
            text = replaced.into_owned();
        }
    }
    text
}

/// Number of words in capital letters only.
pub(super) fn count_capital_words(text: &str) -> usize {
    python::split(&cut(text)).filter(|word| python::is_upper(word)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_nltk_cuts_them() {
        // What nltk 3.10 says.
        let cases: [(&str, &[&str]); 6] = [
            ("NASA's rockets are big.", &["NASA", "'s", "rockets", "are", "big", "."]),
            ("DON'T I'LL, \"UK\" (USA)", &["DO", "N'T", "I", "'LL", ",", "``", "UK", "''", "(", "USA", ")"]),
            (
                "Good muffins cost $3.88\nin New York.",
                &["Good", "muffins", "cost", "$", "3.88", "in", "New", "York", "."],
            ),
            (
                "'TIS A--B 10:30 1,000; CANNOT",
                &["'", "TIS", "A", "--", "B", "10:30", "1,000", ";", "CAN", "NOT"],
            ),
            ("“OK” — ‘A’...", &["“", "OK", "”", "—", "‘", "A", "’", "..."]),
            ("", &[]),
        ];
        for (text, words) in cases {
            assert_eq!(python::split(&cut(text)).collect::<Vec<_>>(), words, "{text}");
        }
    }

    #[test]
    fn capital_words_are_counted_as_a_treebank_cuts_them() {
        let cases = [
            ("I AM here, NASA.", 3),
            ("NASA's rockets are big.", 1),
            ("DON'T", 2),
            ("WELL-KNOWN and/OR A/B", 2),
            ("(USA) [EU] \"UK\"", 3),
            ("none at all 12", 0),
        ];
        for (text, count) in cases {
            assert_eq!(count_capital_words(text), count, "{text}");
        }
    }
}
