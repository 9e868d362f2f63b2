//! The prompt pair: one conversation, rendered without and with the instruction.

use super::template::{ChatTemplate, Message, Role};
use super::think::{ends_open, is_left_open};
use crate::error::{Error, Result, excerpt};

/// Where the instruction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstructionPlacement {
    /// After the query in the user turn, as in the paper's code. The branches then share all tokens up
    /// to the end of the query.
    #[default]
    After,
    /// Before the query in the user turn.
    Before,
    /// At the end of the system message.
    System,
}

/// An earlier turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the user asked, without the instruction. Empty for an answer that nobody asked for, such as a greeting.
    pub query: String,
    /// What the model answered.
    pub answer: String,
}

/// Both prompts as text, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptPair {
    /// The query alone.
    pub plain: String,
    /// The query and the instruction.
    pub instructed: String,
    /// The chat template has opened a `<think>` block for the answer, or raw text ends with one: the answer begins in
    /// it. What a user's texts hold of such tags does not count.
    pub thinking: bool,
}

/// What a prompt pair is made of.
#[derive(Clone, Copy, Default)]
pub struct PairBuilder<'a> {
    /// The model's chat template; None gives raw text, for base models.
    pub template: Option<&'a ChatTemplate>,
    /// System message, the same in both branches.
    pub system: Option<&'a str>,
    /// Earlier turns. Their user messages get the instruction too, exactly as they had it when they
    /// were asked, so that the cached beginning of both branches stays valid.
    pub history: &'a [Turn],
    /// What the user asks now.
    pub query: &'a str,
    /// What the answer should be like. Empty makes both branches the same.
    pub instruction: &'a str,
    /// What the answer should not be like: stands in the plain branch where the instruction stands in
    /// the other. Usually empty.
    pub negative: &'a str,
    /// Where both stand.
    pub placement: InstructionPlacement,
}

impl PairBuilder<'_> {
    /// Renders both prompts. Each holds the system message, the turns, the query and its instruction.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an empty query, what [`ChatTemplate::render`] refuses, and an instruction that makes no
    /// difference.
    pub fn build(&self) -> Result<PromptPair> {
        if self.query.trim().is_empty() {
            return Err(Error::Prompt {
                reason: "the query is empty, must hold at least one character".into(),
            });
        }
        let (plain, instructed) = (self.branch(self.negative)?, self.branch(self.instruction)?);
        if !self.instruction.is_empty() && plain == instructed {
            return Err(Error::Prompt {
                reason: format!(
                    "the instruction \"{}\" makes no difference to it, must hold at least one character and be no \
                     negative prompt",
                    excerpt(self.instruction)
                ),
            });
        }
        let thinking = self.leaves_think_open(&instructed);
        Ok(PromptPair { plain, instructed, thinking })
    }

    fn leaves_think_open(&self, instructed: &str) -> bool {
        let Some(template) = self.template else { return ends_open(instructed) };
        // What the template puts behind the last message is what the prompt has in common with those whose last message
        // is another letter. Two letters: what is left of the message when the template has trimmed it may be one.
        let mut messages = self.messages(self.instruction);
        let mut behind = instructed.len();
        for letter in ["a", "b"] {
            if let Some(last) = messages.last_mut() {
                last.content = letter.to_owned();
            }
            let Ok(other) = template.render(&messages, true) else { return false };
            let common = instructed.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b);
            behind = behind.min(common.map(|(c, _)| c.len_utf8()).sum());
        }
        is_left_open(&instructed[instructed.len() - behind..])
    }

    fn branch(&self, instruction: &str) -> Result<String> {
        match self.template {
            Some(template) => template.render(&self.messages(instruction), true),
            None => Ok(self.raw(instruction)),
        }
    }

    fn messages(&self, instruction: &str) -> Vec<Message> {
        let mut messages = Vec::with_capacity(2 * self.history.len() + 2);
        let system = match self.placement {
            InstructionPlacement::System => join(self.system.unwrap_or_default(), instruction),
            _ => self.system.unwrap_or_default().to_owned(),
        };
        if !system.is_empty() {
            messages.push(Message::new(Role::System, system));
        }
        for turn in self.history {
            if !turn.query.is_empty() {
                messages.push(Message::new(Role::User, self.user(&turn.query, instruction)));
            }
            messages.push(Message::new(Role::Assistant, turn.answer.as_str()));
        }
        messages.push(Message::new(Role::User, self.user(self.query, instruction)));
        messages
    }

    fn user(&self, query: &str, instruction: &str) -> String {
        match self.placement {
            InstructionPlacement::After => join(query, instruction),
            InstructionPlacement::Before => join(instruction, query),
            InstructionPlacement::System => query.to_owned(),
        }
    }

    /// Paragraphs one after another. The model continues right after the last one, so for a text that is to be
    /// continued the instruction goes first.
    fn raw(&self, instruction: &str) -> String {
        let paragraphs: Vec<String> =
            self.messages(instruction).into_iter().map(|message| message.content).collect();
        paragraphs.join("\n\n")
    }
}

/// Two paragraphs, or the one that is not empty.
fn join(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (false, false) => format!("{first}\n\n{second}"),
        _ => format!("{first}{second}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> ChatTemplate {
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
        ChatTemplate::compile(source, "", "").unwrap()
    }

    fn turns() -> Vec<Turn> {
        vec![Turn { query: "Q1".into(), answer: "A1".into() }]
    }

    #[test]
    fn the_instruction_follows_every_query_by_default() {
        let (template, history) = (template(), turns());
        let pair = PairBuilder {
            template: Some(&template),
            system: Some("S"),
            history: &history,
            query: "Q2",
            instruction: "I",
            ..PairBuilder::default()
        };
        let pair = pair.build().unwrap();
        assert_eq!(pair.plain, "<system>S<user>Q1<assistant>A1<user>Q2<assistant>");
        assert_eq!(pair.instructed, "<system>S<user>Q1\n\nI<assistant>A1<user>Q2\n\nI<assistant>");
    }

    #[test]
    fn a_turn_that_was_answered_stays_a_beginning_of_the_next_prompt() {
        let (template, history) = (template(), turns());
        let base = PairBuilder { template: Some(&template), instruction: "I", ..PairBuilder::default() };
        let first = PairBuilder { query: "Q1", ..base }.build().unwrap();
        let second = PairBuilder { query: "Q2", history: &history, ..base }.build().unwrap();
        assert!(second.plain.starts_with(&format!("{}A1", first.plain)));
        assert!(second.instructed.starts_with(&format!("{}A1", first.instructed)));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_stands_by_itself() {
        let (template, history) = (template(), [Turn { query: String::new(), answer: "Welcome".into() }]);
        let base = PairBuilder { template: Some(&template), history: &history, ..PairBuilder::default() };
        let pair = PairBuilder { query: "Q", instruction: "I", ..base }.build().unwrap();
        assert_eq!(pair.instructed, "<assistant>Welcome<user>Q\n\nI<assistant>");
    }

    #[test]
    fn it_may_stand_before_the_query_or_in_the_system_message() {
        let template = template();
        let base =
            PairBuilder { template: Some(&template), query: "Q", instruction: "I", ..PairBuilder::default() };
        let before = PairBuilder { placement: InstructionPlacement::Before, ..base }.build().unwrap();
        assert_eq!(before.instructed, "<user>I\n\nQ<assistant>");
        let system = PairBuilder { placement: InstructionPlacement::System, ..base }.build().unwrap();
        assert_eq!(system.instructed, "<system>I<user>Q<assistant>");
        assert_eq!(system.plain, "<user>Q<assistant>");
    }

    #[test]
    fn only_the_template_opens_a_think_block_in_a_prompt() {
        let body = "{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}</s>{% endfor %}";
        let thinking = |end: &str, query: &str, instruction: &str| {
            let template = ChatTemplate::compile(&format!("{body}{end}"), "", "").unwrap();
            let history = [Turn { query: "<think>".into(), answer: "<think>so".into() }];
            let system = Some("Use <think>.");
            let base = PairBuilder {
                template: Some(&template),
                system,
                history: &history,
                ..PairBuilder::default()
            };
            PairBuilder { query, instruction, ..base }.build().unwrap().thinking
        };
        for (query, instruction) in [
            ("Q", "I"),
            ("What is <think>", "I"),
            ("Q", "End with <think>\n"),
            ("Q", "a"),
            // Space to Python, but not to Rust.
            ("a\u{1f}", ""),
            ("b\u{1f}", ""),
        ] {
            assert!(!thinking("<assistant>", query, instruction), "{query} {instruction}");
            assert!(!thinking("<assistant><think>\n\n</think>\n\n", query, instruction));
            assert!(thinking("<assistant><think>\n", query, instruction));
        }
        let raw = |query| PairBuilder { query, instruction: "<think>", ..PairBuilder::default() };
        let raw =
            |query| PairBuilder { placement: InstructionPlacement::Before, ..raw(query) }.build().unwrap();
        assert!(!raw("What is <think> in HTML?").thinking && raw("A: <think>\n").thinking);
    }

    #[test]
    fn the_negative_text_stands_in_the_plain_branch() {
        let pair = PairBuilder { query: "Q", instruction: "I", negative: "N", ..PairBuilder::default() };
        let pair = pair.build().unwrap();
        assert_eq!((pair.plain.as_str(), pair.instructed.as_str()), ("Q\n\nN", "Q\n\nI"));
    }

    #[test]
    fn an_empty_query_is_refused_and_an_empty_instruction_changes_nothing() {
        let error =
            PairBuilder { query: " \n", instruction: "I", ..PairBuilder::default() }.build().unwrap_err();
        assert_eq!(error.code(), -8);
        let pair = PairBuilder { query: "Q", ..PairBuilder::default() }.build().unwrap();
        assert_eq!(pair.plain, pair.instructed);
    }

    #[test]
    fn an_instruction_that_makes_no_difference_is_refused() {
        let template =
            ChatTemplate::compile("{% for m in messages %}{{ m.content|trim }}{% endfor %}", "", "").unwrap();
        for (template, instruction, negative) in [(Some(&template), " \n", ""), (None, "I", "I")] {
            let error = PairBuilder { template, query: "Q", instruction, negative, ..PairBuilder::default() };
            let error = error.build().unwrap_err().to_string();
            assert!(error.contains("makes no difference"), "{error}");
        }
    }

    #[test]
    fn no_turn_system_message_or_instruction_is_lost_in_the_template() {
        let history = turns();
        for source in [
            "Hello",
            "{{ messages[-1].content }}",
            "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
            "{% for m in messages if m.role == 'assistant' %}{{ m.content }}{% endfor %}",
            "{% for m in messages %}{{ m.content[:2] }}{% endfor %}",
            "{% for m in messages %}{{ m.content|truncate(5, leeway=0) }}{% endfor %}",
            "{% for m in messages %}{{ m.content.split('\n')[0] }}{% endfor %}",
        ] {
            let template = ChatTemplate::compile(source, "", "").unwrap();
            let pair = PairBuilder {
                template: Some(&template),
                history: &history,
                query: "Query two",
                instruction: "Instruction",
                ..PairBuilder::default()
            };
            let error = pair.build().unwrap_err().to_string();
            assert!(error.contains("the chat template drops the"), "{source}: {error}");
        }
    }
}
