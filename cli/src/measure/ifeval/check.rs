//! Is an instruction followed? One check a kind.

use std::sync::OnceLock;

use fancy_regex::Regex;

use super::instruction::{CONSTRAINED, Instruction};
use super::python::{self, is_lower, is_upper, strip};
use super::text::{Language, count_sentences, count_words};
use super::treebank::count_capital_words;

/// A regular expression that is part of this program.
fn regex(cell: &'static OnceLock<Regex>, pattern: &str) -> &'static Regex {
    cell.get_or_init(|| python::regex(pattern, false))
}

impl Instruction {
    /// True if a text follows the instruction.
    pub fn is_followed(&self, text: &str) -> bool {
        match self {
            Instruction::KeywordsExistence { keywords } => {
                keywords.iter().all(|keyword| python::is_match(&pattern(keyword), text))
            }
            Instruction::KeywordFrequency { keyword, relation, frequency } => {
                relation.holds(python::count(&pattern(keyword), text), *frequency)
            }
            Instruction::ForbiddenWords { words } => {
                !words.iter().any(|word| python::is_match(&pattern(&format!(r"\b{word}\b")), text))
            }
            Instruction::LetterFrequency { letter, relation, frequency } => {
                relation.holds(text.to_lowercase().matches(letter.as_str()).count(), *frequency)
            }
            Instruction::ResponseLanguage { language } => language.is_of(text),
            Instruction::NumberSentences { relation, sentences } => {
                relation.holds(count_sentences(text), *sentences)
            }
            Instruction::NumberParagraphs { paragraphs } => count_divided(text) == Some(*paragraphs),
            Instruction::NumberWords { relation, words } => relation.holds(count_words(text), *words),
            Instruction::NthParagraphFirstWord { paragraphs, nth, first_word } => {
                nth_paragraph(text, *paragraphs, *nth)
                    .is_some_and(|paragraph| starts_with(paragraph, first_word))
            }
            Instruction::NumberPlaceholders { placeholders } => {
                static BRACKETS: OnceLock<Regex> = OnceLock::new();
                python::count(regex(&BRACKETS, r"\[.*?\]"), text) >= *placeholders
            }
            Instruction::Postscript { marker } => has_postscript(text, marker),
            Instruction::NumberBulletLists { bullets } => {
                static STAR: OnceLock<Regex> = OnceLock::new();
                static DASH: OnceLock<Regex> = OnceLock::new();
                let stars = python::count(regex(&STAR, r"(?m)^\s*\*[^\*].*$"), text);
                let dashes = python::count(regex(&DASH, r"(?m)^\s*-.*$"), text);
                stars + dashes == *bullets
            }
            Instruction::ConstrainedResponse {} => CONSTRAINED.iter().any(|option| text.contains(option)),
            Instruction::NumberHighlightedSections { highlights } => count_highlights(text) >= *highlights,
            Instruction::MultipleSections { splitter, sections } => {
                python::count(&python::regex(&format!(r"\s?{splitter}\s?\d+\s?"), false), text) >= *sections
            }
            Instruction::JsonFormat {} => is_json(text),
            Instruction::Title {} => {
                static TITLE: OnceLock<Regex> = OnceLock::new();
                let titles = python::matches(regex(&TITLE, r"<<[^\n]+>>"), text);
                titles
                    .iter()
                    .any(|title| !strip(title.trim_start_matches('<').trim_end_matches('>')).is_empty())
            }
            Instruction::TwoResponses {} => is_two_responses(text),
            Instruction::RepeatPrompt { prompt } => {
                strip(text).to_lowercase().starts_with(&prompt.to_lowercase())
            }
            Instruction::EndChecker { phrase } => {
                strip(text).trim_matches('"').to_lowercase().ends_with(&phrase.to_lowercase())
            }
            Instruction::CapitalWordFrequency { relation, frequency } => {
                relation.holds(count_capital_words(text), *frequency)
            }
            Instruction::EnglishCapital {} => is_upper(text) && Language::ENGLISH.may_be_of(text),
            Instruction::EnglishLowercase {} => is_lower(text) && Language::ENGLISH.may_be_of(text),
            Instruction::NoComma {} => !text.contains(','),
            Instruction::Quotation {} => {
                let text = strip(text);
                text.len() > 1 && text.starts_with('"') && text.ends_with('"')
            }
        }
    }
}

/// A keyword as the published checks take it: a regular expression. One that is not valid is matched literally.
pub(super) fn pattern(keyword: &str) -> Regex {
    python::regex(keyword, true)
}

/// Number of paragraphs between dividers `***`; None if one between two others is empty.
fn count_divided(text: &str) -> Option<usize> {
    static DIVIDER: OnceLock<Regex> = OnceLock::new();
    let parts = python::parts(regex(&DIVIDER, r"\s?\*\*\*\s?"), text);
    let last = parts.len() - 1;
    let is_empty = |part: &&str| strip(part).is_empty();
    if parts.iter().enumerate().any(|(i, part)| is_empty(part) && i != 0 && i != last) {
        return None;
    }
    Some(parts.len() - parts.iter().filter(|part| is_empty(part)).count())
}

/// The paragraph `nth`, from 1, if there are as many as asked for. Empty ones do not count towards the number,
/// but shift the place of others; both as published.
fn nth_paragraph(text: &str, paragraphs: usize, nth: usize) -> Option<&str> {
    let parts: Vec<&str> = text.split("\n\n").collect();
    let count = parts.iter().filter(|part| !strip(part).is_empty()).count();
    let paragraph = strip(parts.get(nth.checked_sub(1)?)?);
    (count == paragraphs && nth <= count && !paragraph.is_empty()).then_some(paragraph)
}

/// True if the first word, without quotation marks before and punctuation after it, is this one.
fn starts_with(paragraph: &str, word: &str) -> bool {
    let first = python::split(paragraph).next().unwrap_or_default();
    let first = first.trim_start_matches('\'').trim_start_matches('"');
    let end = first.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(first.len());
    // Letter by letter, so that no sigma is a final one.
    first[..end].chars().flat_map(char::to_lowercase).collect::<String>() == word
}

fn has_postscript(text: &str, marker: &str) -> bool {
    let text = text.to_lowercase();
    let expression = match marker {
        "P.P.S" => r"(?m)\s*p\.\s?p\.\s?s.*$".to_owned(),
        "P.S." => r"(?m)\s*p\.\s?s\..*$".to_owned(),
        other => format!(r"(?m)\s*{}.*$", other.to_lowercase()),
    };
    python::is_match(&python::regex(&expression, false), &text)
}

/// Parts between single and between double asterisks; the latter count in both ways, as published.
fn count_highlights(text: &str) -> usize {
    static SINGLE: OnceLock<Regex> = OnceLock::new();
    static DOUBLE: OnceLock<Regex> = OnceLock::new();
    let filled = |pattern| {
        let found = python::matches(pattern, text);
        found.iter().filter(|found| !strip(found.trim_matches('*')).is_empty()).count()
    };
    filled(regex(&SINGLE, r"\*[^\n\*]*\*")) + filled(regex(&DOUBLE, r"\*\*[^\n\*]*\*\*"))
}

fn is_json(text: &str) -> bool {
    let mut text = strip(text);
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    python::is_json(strip(text.strip_suffix("```").unwrap_or(text)))
}

fn is_two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let last = parts.len() - 1;
    let mut filled = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        match strip(part) {
            "" if i != 0 && i != last => return false,
            "" => {}
            text => filled.push(text),
        }
    }
    filled.len() == 2 && filled[0] != filled[1]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// For every kind of instruction texts that follow it and texts that do not.
    fn cases() -> Vec<(&'static str, Value, &'static [&'static str], &'static [&'static str])> {
        vec![
            (
                "keywords:existence",
                json!({"keywords": ["river", "Bank"]}),
                &["A RIVER has a bank.", "riverbank"],
                &["A river.", "bank"],
            ),
            (
                "keywords:frequency",
                json!({"keyword": "cat", "relation": "at least", "frequency": 2}),
                &["Cat and cat.", "catcat"],
                &["One cat."],
            ),
            (
                "keywords:frequency",
                json!({"keyword": "cat", "relation": "less than", "frequency": 2}),
                &["One cat.", "None."],
                &["Cat and cat."],
            ),
            (
                "keywords:forbidden_words",
                json!({"forbidden_words": ["rock", "roll"]}),
                &["A rocky road.", "Stones."],
                &["It ROCKs not: rock.", "Roll!"],
            ),
            (
                "keywords:letter_frequency",
                json!({"letter": "Z", "let_relation": "at least", "let_frequency": 2}),
                &["Zigzag", "zz"],
                &["zig"],
            ),
            (
                "keywords:letter_frequency",
                json!({"letter": "#", "let_relation": "less than", "let_frequency": 2}),
                &["# one", "none"],
                &["##"],
            ),
            (
                "language:response_language",
                json!({"language": "fr"}),
                &["Le chat est assis sur la table et il regarde par la fenêtre.", "123"],
                &["The cat is sitting on the table and looks out of the window."],
            ),
            (
                "length_constraints:number_sentences",
                json!({"relation": "at least", "num_sentences": 3}),
                &["One. Two. Three."],
                &["One. Two."],
            ),
            (
                "length_constraints:number_sentences",
                json!({"relation": "less than", "num_sentences": 3}),
                &["One. Two."],
                &["One. Two. Three."],
            ),
            (
                "length_constraints:number_paragraphs",
                json!({"num_paragraphs": 2}),
                &["a\n***\nb", "***\na\n***\nb\n***", "a *** b"],
                &["a", "a\n***\n***\nb", "a\n***\nb\n***\nc"],
            ),
            (
                "length_constraints:number_words",
                json!({"relation": "at least", "num_words": 3.0}),
                &["one two three", "it's two"],
                &["one two"],
            ),
            (
                "length_constraints:nth_paragraph_first_word",
                json!({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"}),
                &["First.\n\nThen, second.", "First.\n\n\"THEN\" it was."],
                &["First.\n\nNow second.", "First.\n\nThen.\n\nThird.", "Then."],
            ),
            (
                "detectable_content:number_placeholders",
                json!({"num_placeholders": 2}),
                &["[name] lives in [town]"],
                &["[name] lives in town", "[a\nb] [c]"],
            ),
            (
                "detectable_content:postscript",
                json!({"postscript_marker": "P.S."}),
                &["Bye.\nP.S. One more", "bye p. s. more"],
                &["Bye.", "PS: no"],
            ),
            (
                "detectable_content:postscript",
                json!({"postscript_marker": "P.P.S"}),
                &["Bye.\nP.P.S One more", "p. p. s more"],
                &["P.S. One"],
            ),
            (
                "detectable_format:number_bullet_lists",
                json!({"num_bullets": 2}),
                &["* a\n* b", "Text\n - a\n  - b\nend", "* a\n- b"],
                &["* a", "* a\n* b\n* c", "**a**\n**b**"],
            ),
            (
                "detectable_format:constrained_response",
                json!({}),
                &["My answer is yes.", " So: My answer is maybe. "],
                &["My answer is perhaps.", "Yes."],
            ),
            (
                "detectable_format:number_highlighted_sections",
                json!({"num_highlights": 2}),
                &["*a* and *b*", "**a** and *b*", "*a* text *b* text"],
                &["*a*", "* *", "*a\nb* *c*"],
            ),
            (
                "detectable_format:multiple_sections",
                json!({"section_spliter": "Section", "num_sections": 2}),
                &["Section 1\na\nSection 2\nb", "Section1 Section 2 Section 3"],
                &["Section 1\na", "SECTION 1 SECTION 2"],
            ),
            (
                "detectable_format:json_format",
                json!({}),
                &["{\"a\": [1, 2]}", "```json\n{\"a\": 1}\n```", "```\n[]```", "3"],
                &["{a: 1}", "Here: {\"a\": 1}", "```"],
            ),
            (
                "detectable_format:title",
                json!({}),
                &["<<A title>>\nText"],
                &["<A title>", "<< >>", "<<a\nb>>"],
            ),
            (
                "combination:two_responses",
                json!({}),
                &["One\n******\nTwo", "******One******Two******"],
                &["One", "One******One", "One******Two******Three", "One************Two"],
            ),
            (
                "combination:repeat_prompt",
                json!({"prompt_to_repeat": "What is it?"}),
                &["what is it? A cat."],
                &["A cat. What is it?", "What it is"],
            ),
            (
                "startend:end_checker",
                json!({"end_phrase": "That is all."}),
                &["Text. that is all.", "\"Text. That is all.\"\n"],
                &["That is all. Bye."],
            ),
            (
                "change_case:capital_word_frequency",
                json!({"capital_relation": "at least", "capital_frequency": 2}),
                &["NASA and ESA", "I AM"],
                &["NASA alone"],
            ),
            (
                "change_case:english_capital",
                json!({}),
                &["THE CAT SITS ON THE TABLE AND LOOKS OUT OF THE WINDOW."],
                &["The cat sits.", "DIE KATZE SITZT AUF DEM TISCH UND SCHAUT AUS DEM FENSTER IN DEN GARTEN."],
            ),
            (
                "change_case:english_lowercase",
                json!({}),
                &["the cat sits on the table and looks out of the window."],
                &["The cat sits.", "die katze sitzt auf dem tisch und schaut aus dem fenster in den garten."],
            ),
            ("punctuation:no_comma", json!({}), &["No comma."], &["One, two."]),
            (
                "startend:quotation",
                json!({}),
                &["\"All of it.\"\n", "\"\""],
                &["\"Half of it", "\"", "'All.'"],
            ),
        ]
    }

    #[test]
    fn every_check_passes_what_follows_and_fails_what_does_not() {
        for (id, kwargs, followed, not) in cases() {
            let instruction = Instruction::read(id, kwargs.as_object().unwrap()).unwrap();
            for text in followed {
                assert!(instruction.is_followed(text), "{id} {kwargs} is followed by {text:?}");
            }
            for text in not {
                assert!(!instruction.is_followed(text), "{id} {kwargs} is not followed by {text:?}");
            }
            assert!(instruction.describe().len() > 15, "{id}");
        }
    }

    #[test]
    fn all_twenty_five_kinds_have_cases() {
        let mut ids: Vec<&str> = cases().iter().map(|case| case.0).collect();
        ids.dedup();
        assert_eq!(ids.len(), 25);
    }

    #[test]
    fn a_keyword_that_is_no_expression_is_taken_as_it_is() {
        let keywords = json!({"keywords": ["(c"]});
        let instruction = Instruction::read("keywords:existence", keywords.as_object().unwrap()).unwrap();
        assert!(instruction.is_followed("(c) 2026") && !instruction.is_followed("c"));
    }
}
