//! `/v1/chat/completions`, and what else takes messages.

use sda::text::Turn;
use serde::Deserialize;

use super::within;
use crate::input::Fields;
use crate::serve::error::ApiError;

/// The most messages of a conversation.
const MOST_MESSAGES: usize = 10_000;

#[derive(Debug, Deserialize)]
pub struct Chat {
    messages: Vec<Message>,
    chat_template_kwargs: Option<Fields>,
    reasoning_effort: Option<String>,
    reasoning_format: Option<String>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

/// A text, or a list of parts.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of text parts")]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
pub struct Part {
    r#type: String,
    text: Option<String>,
}

/// A conversation that waits for an answer.
#[derive(Debug, PartialEq)]
pub struct Talk {
    pub system: Option<String>,
    pub history: Vec<Turn>,
    pub query: String,
}

/// Where the reasoning of an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoughts {
    /// Into `reasoning_content`.
    Apart,
    /// It stays in the text.
    Inside,
}

impl Chat {
    /// The conversation. System messages stand before all others, and several are one; so are several messages of one
    /// side in a row.
    pub fn talk(&self) -> Result<Talk, ApiError> {
        if self.messages.is_empty() || self.messages.len() > MOST_MESSAGES {
            let allowed = format!("at least 1 and at most {MOST_MESSAGES} of them");
            return Err(ApiError::field("messages", format!("{} messages", self.messages.len()), &allowed));
        }
        let mut system: Vec<String> = Vec::new();
        let mut history: Vec<Turn> = Vec::new();
        // What the user said since the model's last message.
        let mut asked: Vec<String> = Vec::new();
        for (i, Message { role, content }) in self.messages.iter().enumerate() {
            let text = content.as_ref().map_or(Ok(String::new()), |content| content.text(i))?;
            match role.as_str() {
                "system" | "developer" if history.is_empty() && asked.is_empty() => system.push(text),
                "system" | "developer" => {
                    let allowed =
                        "user or assistant behind the first messages: a system message begins the talk";
                    return Err(ApiError::field(format!("messages[{i}].role"), role, allowed));
                }
                "user" => asked.push(text),
                "assistant" => match history.last_mut() {
                    Some(turn) if asked.is_empty() => {
                        turn.answer = format!("{}\n\n{text}", turn.answer);
                    }
                    _ => {
                        let query = std::mem::take(&mut asked).join("\n\n");
                        history.push(Turn { query, answer: text });
                    }
                },
                _ => {
                    let allowed = "system, developer, user or assistant";
                    return Err(ApiError::field(format!("messages[{i}].role"), role, allowed));
                }
            }
        }
        let last = self.messages.len() - 1;
        if asked.is_empty() {
            let allowed = "user: the last message is the one that is answered";
            return Err(ApiError::field(
                format!("messages[{last}].role"),
                &self.messages[last].role,
                allowed,
            ));
        }
        let query = asked.join("\n\n");
        if query.trim().is_empty() {
            return Err(ApiError::field(format!("messages[{last}].content"), "empty", "a text"));
        }
        let system = Some(system.join("\n\n")).filter(|system| !system.is_empty());
        Ok(Talk { system, history, query })
    }

    /// Variables of the chat template.
    pub fn variables(&self) -> Fields {
        let mut variables = self.chat_template_kwargs.clone().unwrap_or_default();
        if let Some(effort) = &self.reasoning_effort {
            match effort.as_str() {
                "none" => drop(variables.entry("enable_thinking").or_insert(false.into())),
                effort => drop(variables.entry("reasoning_effort").or_insert(effort.into())),
            }
        }
        variables
    }

    pub fn thoughts(&self) -> Result<Thoughts, ApiError> {
        match self.reasoning_format.as_deref() {
            None | Some("auto" | "deepseek") => Ok(Thoughts::Apart),
            Some("none") => Ok(Thoughts::Inside),
            Some(other) => Err(ApiError::field("reasoning_format", other, "auto, deepseek or none")),
        }
    }

    /// How many alternatives each token's log-probability comes with; None without log-probabilities.
    pub fn logprobs(&self) -> Result<Option<usize>, ApiError> {
        let top = within("top_logprobs", self.top_logprobs.unwrap_or(0), 0..=20)?;
        if top > 0 && self.logprobs != Some(true) {
            return Err(ApiError::field("logprobs", "not true", "true where top_logprobs is given"));
        }
        Ok((self.logprobs == Some(true)).then_some(top as usize))
    }
}

impl Content {
    /// The text of the message with this number.
    fn text(&self, message: usize) -> Result<String, ApiError> {
        let parts = match self {
            Content::Text(text) => return Ok(text.clone()),
            Content::Parts(parts) => parts,
        };
        let text = |(i, part): (usize, &Part)| {
            let field = |name| format!("messages[{message}].content[{i}].{name}");
            if part.r#type != "text" {
                return Err(ApiError::field(
                    field("type"),
                    &part.r#type,
                    "text: the model reads nothing else",
                ));
            }
            part.text.clone().ok_or_else(|| ApiError::field(field("text"), "missing", "a text"))
        };
        parts.iter().enumerate().map(text).collect::<Result<Vec<String>, _>>().map(|texts| texts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::request::parse;

    fn talk(messages: &str) -> Result<Talk, ApiError> {
        parse::<Chat>(&format!("{{\"messages\":{messages}}}"))?.talk()
    }

    #[test]
    fn messages_of_one_side_in_a_row_are_one_and_a_greeting_may_come_first() {
        let text = r#"[{"role":"developer","content":"S"},{"role":"assistant","content":"Hi"},
            {"role":"assistant","content":null},{"role":"user","content":"A"},
            {"role":"user","content":[{"type":"text","text":"B"},{"type":"text","text":"C"}]}]"#;
        let history = vec![Turn { query: String::new(), answer: "Hi\n\n".into() }];
        let expected = Talk { system: Some("S".into()), history, query: "A\n\nBC".into() };
        assert_eq!(talk(text), Ok(expected));
    }

    #[test]
    fn thinking_is_turned_off_by_an_effort_of_none_unless_the_template_is_told() {
        let variables =
            |more: &str| parse::<Chat>(&format!("{{\"messages\":[],{more}}}")).unwrap().variables();
        assert_eq!(variables(r#""reasoning_effort":"none""#)["enable_thinking"], false);
        assert_eq!(variables(r#""reasoning_effort":"high""#)["reasoning_effort"], "high");
        let both = variables(r#""reasoning_effort":"none","chat_template_kwargs":{"enable_thinking":true}"#);
        assert_eq!(both["enable_thinking"], true);
    }
}
