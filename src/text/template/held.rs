//! Whether a rendered prompt holds its messages.
//!
//! A template may trim a message, change its case, or escape it for JSON or HTML; it may take out what switches the
//! thinking of a model, and the reasoning of earlier answers. Nothing else of a message may be missing.

use std::borrow::Cow;

use super::strings::is_space;
use super::{Message, Role};

/// Words that templates take for switches and leave out.
const SWITCHES: [&str; 3] = ["/think", "/no_think", "/system_override"];
/// What ends a model's reasoning in the text of an answer.
const REASONING_ENDS: [&str; 3] = ["</think>", "</thought>", "[/THINK]"];

/// The first message that the prompt lacks.
pub(super) fn missing<'m>(prompt: &str, messages: &'m [Message]) -> Option<&'m Message> {
    let mut folded = None;
    messages.iter().find(|message| {
        let text = kept(message);
        if prompt.contains(text.trim_matches(is_space)) {
            return false;
        }
        let prompt = folded.get_or_insert_with(|| fold(prompt));
        !forms(text).iter().any(|form| prompt.contains(fold(form).as_str()))
    })
}

/// The messages, each with a word of its own at its end: a prompt that is rendered from them shows which of them
/// it depends on, whatever other text it has.
pub(super) fn marked(messages: &[Message]) -> (Vec<Message>, Vec<String>) {
    let marks: Vec<String> = (0..messages.len()).map(|i| mark(i, messages)).collect();
    let with_mark = |(message, mark): (&Message, &String)| {
        Message::new(message.role, format!("{} {mark}", message.content))
    };
    (messages.iter().zip(&marks).map(with_mark).collect(), marks)
}

/// A word of letters that no message holds.
fn mark(index: usize, messages: &[Message]) -> String {
    let digits = index.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>();
    let mut mark = format!("qzx{digits}xzq");
    while messages.iter().any(|message| message.content.contains(&mark)) {
        mark.push('q');
    }
    mark
}

/// The first of the messages whose mark the prompt lacks.
pub(super) fn unmarked<'m>(prompt: &str, messages: &'m [Message], marks: &[String]) -> Option<&'m Message> {
    let prompt = prompt.to_lowercase();
    messages.iter().zip(marks).find(|(_, mark)| !prompt.contains(mark.as_str())).map(|(message, _)| message)
}

/// What of a message has to be in the prompt.
fn kept(message: &Message) -> &str {
    let text = message.content.as_str();
    if message.role != Role::Assistant {
        return text;
    }
    let end = REASONING_ENDS.iter().filter_map(|tag| Some(text.rfind(tag)? + tag.len())).max();
    &text[end.unwrap_or(0)..]
}

/// The ways to write a text, from which only white space and case differ.
fn forms(text: &str) -> [Cow<'_, str>; 4] {
    let quoted = |ascii| {
        let json = serde_json::to_string(text.trim_matches(is_space)).unwrap_or_default();
        let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
        let unit = |c: char| {
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
        };
        if ascii {
            inner.chars().map(|c| if c.is_ascii() { c.to_string() } else { unit(c) }).collect()
        } else {
            inner.to_owned()
        }
    };
    let html = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;");
    [text.into(), quoted(false).into(), quoted(true).into(), html.into()]
}

/// A text without what a template may change: case, white space between words, switches.
fn fold(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(is_space).map(|word| {
        let switch = SWITCHES.iter().find(|switch| word == **switch);
        if switch.is_some() { "" } else { word }
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(prompt: &str, role: Role, text: &str) -> bool {
        missing(prompt, &[Message::new(role, text)]).is_none()
    }

    #[test]
    fn trimmed_folded_and_escaped_texts_are_held() {
        let text = " Say \"hi\" to <Ann>\n & É \u{1f}";
        for prompt in [
            "<u>Say \"hi\" to <Ann>\n & É</u>",
            "say \"hi\" to <ann>\n & é",
            "SAY \"HI\" TO <ANN> & É",
            "{\"content\": \"Say \\\"hi\\\" to <Ann>\\n & É \"}",
            "{\"content\": \"Say \\\"hi\\\" to <Ann>\\n & \\u00c9 \"}",
            "Say &#34;hi&#34; to &lt;Ann&gt; &amp; É",
        ] {
            assert!(holds(prompt, Role::User, text), "{prompt}");
        }
        for prompt in ["", "Say \"hi\" to <Ann>", "Say hi to Ann & É"] {
            assert!(!holds(prompt, Role::User, text), "{prompt}");
        }
    }

    #[test]
    fn switches_and_earlier_reasoning_may_be_missing() {
        assert!(holds("<sys>Be brief.</sys>", Role::System, "Be brief. /no_think"));
        assert!(!holds("<sys>Be brief.</sys>", Role::System, "Be brief. /no_thinking"));
        assert!(holds("<a>Yes.</a>", Role::Assistant, "<think>\nHm.\n</think>\n\nYes."));
        assert!(!holds("<a></a>", Role::Assistant, "<think>\nHm.\n</think>\n\nYes."));
        assert!(!holds("<u>Yes.</u>", Role::User, "<think>\nHm.\n</think>\n\nYes."));
    }

    #[test]
    fn a_mark_tells_a_message_from_the_same_words_in_the_template() {
        let messages = [Message::new(Role::System, "qzxaxzq"), Message::new(Role::User, "user")];
        let (with, marks) = marked(&messages);
        assert_eq!(marks, ["qzxaxzqq", "qzxbxzq"]);
        assert_eq!(with[1].content, "user qzxbxzq");
        assert_eq!(unmarked("user QZXBXZQ", &messages, &marks), Some(&messages[0]));
        assert_eq!(unmarked("qzxaxzqq user qzxbxzq", &messages, &marks), None);
    }
}
