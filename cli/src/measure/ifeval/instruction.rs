//! The 25 kinds of instructions: read from IFEval's records, and put into words.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::text::Language;
use crate::input::{self, Fields};
use crate::record;

/// How a count is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Relation {
    /// Fewer than the number.
    #[serde(rename = "less than")]
    LessThan,
    /// The number or more.
    #[serde(rename = "at least")]
    AtLeast,
}

impl Relation {
    /// True if `count` is as asked.
    pub fn holds(self, count: usize, bound: usize) -> bool {
        match self {
            Relation::LessThan => count < bound,
            Relation::AtLeast => count >= bound,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Relation::LessThan => "fewer than",
            Relation::AtLeast => "at least",
        }
    }
}

/// A thing to do that a program can check, read from IFEval's id and its arguments.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "id", content = "kwargs")]
pub enum Instruction {
    #[serde(rename = "keywords:existence")]
    KeywordsExistence {
        #[serde(deserialize_with = "texts")]
        keywords: Vec<String>,
    },
    #[serde(rename = "keywords:frequency")]
    KeywordFrequency {
        #[serde(deserialize_with = "text")]
        keyword: String,
        relation: Relation,
        #[serde(deserialize_with = "count")]
        frequency: usize,
    },
    #[serde(rename = "keywords:forbidden_words")]
    ForbiddenWords {
        #[serde(rename = "forbidden_words", deserialize_with = "texts")]
        words: Vec<String>,
    },
    #[serde(rename = "keywords:letter_frequency")]
    LetterFrequency {
        #[serde(deserialize_with = "lowercase")]
        letter: String,
        #[serde(rename = "let_relation")]
        relation: Relation,
        #[serde(rename = "let_frequency", deserialize_with = "count")]
        frequency: usize,
    },
    #[serde(rename = "language:response_language")]
    ResponseLanguage {
        #[serde(deserialize_with = "language")]
        language: Language,
    },
    #[serde(rename = "length_constraints:number_sentences")]
    NumberSentences {
        relation: Relation,
        #[serde(rename = "num_sentences", deserialize_with = "count")]
        sentences: usize,
    },
    #[serde(rename = "length_constraints:number_paragraphs")]
    NumberParagraphs {
        #[serde(rename = "num_paragraphs", deserialize_with = "count")]
        paragraphs: usize,
    },
    #[serde(rename = "length_constraints:number_words")]
    NumberWords {
        relation: Relation,
        #[serde(rename = "num_words", deserialize_with = "count")]
        words: usize,
    },
    #[serde(rename = "length_constraints:nth_paragraph_first_word")]
    NthParagraphFirstWord {
        #[serde(rename = "num_paragraphs", deserialize_with = "count")]
        paragraphs: usize,
        #[serde(rename = "nth_paragraph", deserialize_with = "count")]
        nth: usize,
        #[serde(deserialize_with = "lowercase")]
        first_word: String,
    },
    #[serde(rename = "detectable_content:number_placeholders")]
    NumberPlaceholders {
        #[serde(rename = "num_placeholders", deserialize_with = "count")]
        placeholders: usize,
    },
    #[serde(rename = "detectable_content:postscript")]
    Postscript {
        #[serde(rename = "postscript_marker", deserialize_with = "text")]
        marker: String,
    },
    #[serde(rename = "detectable_format:number_bullet_lists")]
    NumberBulletLists {
        #[serde(rename = "num_bullets", deserialize_with = "count")]
        bullets: usize,
    },
    #[serde(rename = "detectable_format:constrained_response")]
    ConstrainedResponse {},
    #[serde(rename = "detectable_format:number_highlighted_sections")]
    NumberHighlightedSections {
        #[serde(rename = "num_highlights", deserialize_with = "count")]
        highlights: usize,
    },
    #[serde(rename = "detectable_format:multiple_sections")]
    MultipleSections {
        #[serde(rename = "section_spliter", deserialize_with = "text")]
        splitter: String,
        #[serde(rename = "num_sections", deserialize_with = "count")]
        sections: usize,
    },
    #[serde(rename = "detectable_format:json_format")]
    JsonFormat {},
    #[serde(rename = "detectable_format:title")]
    Title {},
    #[serde(rename = "combination:two_responses")]
    TwoResponses {},
    #[serde(rename = "combination:repeat_prompt")]
    RepeatPrompt {
        #[serde(rename = "prompt_to_repeat", deserialize_with = "text")]
        prompt: String,
    },
    #[serde(rename = "startend:end_checker")]
    EndChecker {
        #[serde(rename = "end_phrase", deserialize_with = "text")]
        phrase: String,
    },
    #[serde(rename = "change_case:capital_word_frequency")]
    CapitalWordFrequency {
        #[serde(rename = "capital_relation")]
        relation: Relation,
        #[serde(rename = "capital_frequency", deserialize_with = "count")]
        frequency: usize,
    },
    #[serde(rename = "change_case:english_capital")]
    EnglishCapital {},
    #[serde(rename = "change_case:english_lowercase")]
    EnglishLowercase {},
    #[serde(rename = "punctuation:no_comma")]
    NoComma {},
    #[serde(rename = "startend:quotation")]
    Quotation {},
}

/// The answers among which `detectable_format:constrained_response` lets choose.
pub(super) const CONSTRAINED: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

fn text<'de, D: Deserializer<'de>>(argument: D) -> Result<String, D::Error> {
    let text = String::deserialize(argument)?.trim().to_owned();
    if text.is_empty() { Err(D::Error::custom("an empty text")) } else { Ok(text) }
}

fn lowercase<'de, D: Deserializer<'de>>(argument: D) -> Result<String, D::Error> {
    text(argument).map(|text| text.to_lowercase())
}

fn texts<'de, D: Deserializer<'de>>(argument: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(argument)?;
    if texts.is_empty() { Err(D::Error::custom("an empty list")) } else { Ok(texts) }
}

/// Some records write whole numbers as 3.0.
fn count<'de, D: Deserializer<'de>>(argument: D) -> Result<usize, D::Error> {
    let number = f64::deserialize(argument)?;
    if number.fract() == 0.0 && (0.0..1e9).contains(&number) {
        Ok(number as usize)
    } else {
        Err(D::Error::custom(format!("{number}, must be a whole number of at least 0")))
    }
}

fn language<'de, D: Deserializer<'de>>(argument: D) -> Result<Language, D::Error> {
    let code = text(argument)?;
    Language::from_code(&code)
        .ok_or_else(|| D::Error::custom(format!("language \"{code}\" cannot be detected")))
}

impl Instruction {
    /// Reads an instruction of IFEval from its id and arguments.
    ///
    /// # Errors
    /// A sentence that names the id and what is wrong with it.
    pub fn read(id: &str, arguments: &Fields) -> Result<Instruction, String> {
        #[derive(Serialize)]
        struct Written<'a> {
            id: &'a str,
            kwargs: &'a Fields,
        }
        let written = record::value(&Written { id, kwargs: arguments });
        input::typed(written).map_err(|why| format!("{id}: {why}"))
    }

    /// The instruction in words.
    pub fn describe(&self) -> String {
        match self {
            Instruction::KeywordsExistence { keywords } => {
                format!("Use each of these words: {}.", keywords.join(", "))
            }
            Instruction::KeywordFrequency { keyword, relation, frequency } => {
                format!("Use the word \"{keyword}\" {} {frequency} times.", relation.words())
            }
            Instruction::ForbiddenWords { words } => {
                format!("Do not use any of these words: {}.", words.join(", "))
            }
            Instruction::LetterFrequency { letter, relation, frequency } => {
                format!("The letter \"{letter}\" must appear {} {frequency} times.", relation.words())
            }
            Instruction::ResponseLanguage { language } => {
                format!("Write the whole answer in {}, and in no other language.", language.name())
            }
            Instruction::NumberSentences { relation, sentences } => {
                format!("Write {} {sentences} sentences.", relation.words())
            }
            Instruction::NumberParagraphs { paragraphs } => {
                format!("Write exactly {paragraphs} paragraphs, and put *** between one and the next.")
            }
            Instruction::NumberWords { relation, words } => {
                format!("Write {} {words} words.", relation.words())
            }
            Instruction::NthParagraphFirstWord { paragraphs, nth, first_word } => format!(
                "Write exactly {paragraphs} paragraphs with an empty line between one and the next, and begin \
                 paragraph {nth} with the word \"{first_word}\"."
            ),
            Instruction::NumberPlaceholders { placeholders } => {
                format!("Use at least {placeholders} placeholders in square brackets, such as [name].")
            }
            Instruction::Postscript { marker } => {
                format!("At the end add a postscript that begins with {marker}")
            }
            Instruction::NumberBulletLists { bullets } => format!(
                "Write exactly {bullets} bullet points, each on a line of its own that begins with an asterisk, \
                 such as: * This is a point."
            ),
            Instruction::ConstrainedResponse {} => {
                let options: Vec<String> = CONSTRAINED.iter().map(|option| format!("\"{option}\"")).collect();
                format!("Answer with one of these sentences: {}", options.join(", "))
            }
            Instruction::NumberHighlightedSections { highlights } => format!(
                "Highlight at least {highlights} parts of the answer with asterisks, such as *highlighted part*."
            ),
            Instruction::MultipleSections { splitter, sections } => format!(
                "Write {sections} sections, and begin them with {splitter} 1, {splitter} 2 and so on."
            ),
            Instruction::JsonFormat {} => "Write the whole answer as JSON.".to_owned(),
            Instruction::Title {} => {
                "Give the answer a title in double angular brackets, such as <<title>>.".to_owned()
            }
            Instruction::TwoResponses {} => {
                "Give two different answers, and put six asterisks between them: ******".to_owned()
            }
            Instruction::RepeatPrompt { .. } => {
                "First repeat the request word for word, with nothing before it, and then give the answer."
                    .to_owned()
            }
            Instruction::EndChecker { phrase } => {
                format!("End with exactly these words and nothing after them: {phrase}")
            }
            Instruction::CapitalWordFrequency { relation, frequency } => {
                format!("Write {} {frequency} words in capital letters only.", relation.words())
            }
            Instruction::EnglishCapital {} => "Write in English, and in capital letters only.".to_owned(),
            Instruction::EnglishLowercase {} => {
                "Write in English, and in lowercase letters only, without any capital letter.".to_owned()
            }
            Instruction::NoComma {} => "Do not use any commas.".to_owned(),
            Instruction::Quotation {} => "Put the whole answer in double quotation marks.".to_owned(),
        }
    }
}
