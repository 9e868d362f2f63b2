//! The 25 kinds of instructions: read from IFEval's records, and told in words.

use serde_json::Value;

use super::text::Language;

/// How a count is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Fewer than the number.
    LessThan,
    /// The number or more.
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

/// A thing to do that a program can check. Named after IFEval's ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    KeywordsExistence { keywords: Vec<String> },
    KeywordFrequency { keyword: String, relation: Relation, frequency: usize },
    ForbiddenWords { words: Vec<String> },
    LetterFrequency { letter: String, relation: Relation, frequency: usize },
    ResponseLanguage { language: Language },
    NumberSentences { relation: Relation, sentences: usize },
    NumberParagraphs { paragraphs: usize },
    NumberWords { relation: Relation, words: usize },
    NthParagraphFirstWord { paragraphs: usize, nth: usize, first_word: String },
    NumberPlaceholders { placeholders: usize },
    Postscript { marker: String },
    NumberBulletLists { bullets: usize },
    ConstrainedResponse,
    NumberHighlightedSections { highlights: usize },
    MultipleSections { splitter: String, sections: usize },
    JsonFormat,
    Title,
    TwoResponses,
    RepeatPrompt { prompt: String },
    EndChecker { phrase: String },
    CapitalWordFrequency { relation: Relation, frequency: usize },
    EnglishCapital,
    EnglishLowercase,
    NoComma,
    Quotation,
}

/// The answers among which `detectable_format:constrained_response` lets choose.
pub(super) const CONSTRAINED: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

/// Arguments of one instruction.
struct Arguments<'a> {
    id: &'a str,
    values: &'a Value,
}

impl Arguments<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        let text = self.values[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| format!("{}: \"{name}\" is missing or no text", self.id))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let texts = self.values[name].as_array().filter(|texts| !texts.is_empty());
        let texts: Option<Vec<String>> =
            texts.and_then(|texts| texts.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| format!("{}: \"{name}\" is missing or no list of texts", self.id))
    }

    /// Some records write whole numbers as 3.0.
    fn number(&self, name: &str) -> Result<usize, String> {
        let number = self.values[name].as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e9).contains(x));
        number
            .map(|x| x as usize)
            .ok_or_else(|| format!("{}: \"{name}\" is missing or no whole number", self.id))
    }

    fn relation(&self, name: &str) -> Result<Relation, String> {
        match self.values[name].as_str() {
            Some("less than") => Ok(Relation::LessThan),
            Some("at least") => Ok(Relation::AtLeast),
            _ => Err(format!("{}: \"{name}\" is neither \"less than\" nor \"at least\"", self.id)),
        }
    }
}

impl Instruction {
    /// Reads an instruction of IFEval from its id and arguments.
    ///
    /// # Errors
    /// A sentence that names the id and what is wrong with it.
    pub fn read(id: &str, arguments: &Value) -> Result<Instruction, String> {
        let args = Arguments { id, values: arguments };
        Ok(match id {
            "keywords:existence" => Instruction::KeywordsExistence { keywords: args.texts("keywords")? },
            "keywords:frequency" => Instruction::KeywordFrequency {
                keyword: args.text("keyword")?,
                relation: args.relation("relation")?,
                frequency: args.number("frequency")?,
            },
            "keywords:forbidden_words" => {
                Instruction::ForbiddenWords { words: args.texts("forbidden_words")? }
            }
            "keywords:letter_frequency" => Instruction::LetterFrequency {
                letter: args.text("letter")?.to_lowercase(),
                relation: args.relation("let_relation")?,
                frequency: args.number("let_frequency")?,
            },
            "language:response_language" => {
                let code = args.text("language")?;
                let language = Language::from_code(&code)
                    .ok_or_else(|| format!("{id}: language \"{code}\" cannot be detected"))?;
                Instruction::ResponseLanguage { language }
            }
            "length_constraints:number_sentences" => Instruction::NumberSentences {
                relation: args.relation("relation")?,
                sentences: args.number("num_sentences")?,
            },
            "length_constraints:number_paragraphs" => {
                Instruction::NumberParagraphs { paragraphs: args.number("num_paragraphs")? }
            }
            "length_constraints:number_words" => Instruction::NumberWords {
                relation: args.relation("relation")?,
                words: args.number("num_words")?,
            },
            "length_constraints:nth_paragraph_first_word" => Instruction::NthParagraphFirstWord {
                paragraphs: args.number("num_paragraphs")?,
                nth: args.number("nth_paragraph")?,
                first_word: args.text("first_word")?.to_lowercase(),
            },
            "detectable_content:number_placeholders" => {
                Instruction::NumberPlaceholders { placeholders: args.number("num_placeholders")? }
            }
            "detectable_content:postscript" => {
                Instruction::Postscript { marker: args.text("postscript_marker")? }
            }
            "detectable_format:number_bullet_lists" => {
                Instruction::NumberBulletLists { bullets: args.number("num_bullets")? }
            }
            "detectable_format:constrained_response" => Instruction::ConstrainedResponse,
            "detectable_format:number_highlighted_sections" => {
                Instruction::NumberHighlightedSections { highlights: args.number("num_highlights")? }
            }
            "detectable_format:multiple_sections" => Instruction::MultipleSections {
                splitter: args.text("section_spliter")?,
                sections: args.number("num_sections")?,
            },
            "detectable_format:json_format" => Instruction::JsonFormat,
            "detectable_format:title" => Instruction::Title,
            "combination:two_responses" => Instruction::TwoResponses,
            "combination:repeat_prompt" => {
                Instruction::RepeatPrompt { prompt: args.text("prompt_to_repeat")? }
            }
            "startend:end_checker" => Instruction::EndChecker { phrase: args.text("end_phrase")? },
            "change_case:capital_word_frequency" => Instruction::CapitalWordFrequency {
                relation: args.relation("capital_relation")?,
                frequency: args.number("capital_frequency")?,
            },
            "change_case:english_capital" => Instruction::EnglishCapital,
            "change_case:english_lowercase" => Instruction::EnglishLowercase,
            "punctuation:no_comma" => Instruction::NoComma,
            "startend:quotation" => Instruction::Quotation,
            _ => return Err(format!("instruction \"{id}\" is not known")),
        })
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
            Instruction::ConstrainedResponse => {
                let options: Vec<String> = CONSTRAINED.iter().map(|option| format!("\"{option}\"")).collect();
                format!("Answer with one of these sentences: {}", options.join(", "))
            }
            Instruction::NumberHighlightedSections { highlights } => format!(
                "Highlight at least {highlights} parts of the answer with asterisks, such as *highlighted part*."
            ),
            Instruction::MultipleSections { splitter, sections } => format!(
                "Write {sections} sections, and begin them with {splitter} 1, {splitter} 2 and so on."
            ),
            Instruction::JsonFormat => "Write the whole answer as JSON.".to_owned(),
            Instruction::Title => {
                "Give the answer a title in double angular brackets, such as <<title>>.".to_owned()
            }
            Instruction::TwoResponses => {
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
            Instruction::EnglishCapital => "Write in English, and in capital letters only.".to_owned(),
            Instruction::EnglishLowercase => {
                "Write in English, and in lowercase letters only, without any capital letter.".to_owned()
            }
            Instruction::NoComma => "Do not use any commas.".to_owned(),
            Instruction::Quotation => "Put the whole answer in double quotation marks.".to_owned(),
        }
    }
}
