//! The chat completions protocol: the request's JSON, in the dialect that the server takes.

use serde_json::{Map, Value, json};

use super::complaint::Complaint;
use super::reply::Asked;
use super::settings::{ResponseFormat, Settings};
use super::shapes;
use crate::judge::prompt::ReplyFormat;

/// What this server accepts, as far as is known. Each step only gives something up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) struct Dialect {
    format: Format,
    new_token_limit: bool,
    no_seed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Format {
    Schema,
    Object,
    Text,
}

impl Dialect {
    pub(crate) fn first(setting: ResponseFormat) -> Self {
        let format = match setting {
            ResponseFormat::Auto | ResponseFormat::JsonSchema => Format::Schema,
            ResponseFormat::JsonObject => Format::Object,
            ResponseFormat::Text => Format::Text,
        };
        Dialect { format, new_token_limit: false, no_seed: false }
    }

    /// The form of reply that the prompt asks for.
    pub(crate) fn reply(self) -> ReplyFormat {
        match self.format {
            Format::Schema | Format::Object => ReplyFormat::Json,
            Format::Text => ReplyFormat::Line,
        }
    }

    /// What the reader of the reply has to know.
    pub(crate) fn asked(self, settings: &Settings) -> Asked {
        Asked { json: self.format != Format::Text, limit: settings.max_tokens }
    }

    /// What to try after a refusal with these words; `None` when it is about something else or nothing is left to
    /// give up.
    ///
    /// Only what does not change the meaning of the request is given up: also a seed, where the temperature is 0. A
    /// refused temperature is an error, and so is a refused seed above 0, since dropping it silently would change the
    /// scores.
    pub(crate) fn after(self, complaint: &Complaint, settings: &Settings) -> Option<Self> {
        let words = complaint.full.to_lowercase();
        // Newer models of one vendor want the limit under its second name, and say so.
        if !self.new_token_limit && words.contains("max_completion_tokens") {
            return Some(Dialect { new_token_limit: true, ..self });
        }
        // Mistral and Gemini refuse the field.
        let idle = settings.seed.is_some() && settings.temperature == Some(0.0);
        if !self.no_seed && idle && shapes::names(&words, "seed") {
            return Some(Dialect { no_seed: true, ..self });
        }
        if shapes::is_about_format(&words) { self.looser(settings) } else { None }
    }

    /// The next response format, where the settings leave it open.
    pub(crate) fn looser(self, settings: &Settings) -> Option<Self> {
        if settings.response_format != ResponseFormat::Auto {
            return None;
        }
        let format = match self.format {
            Format::Schema => Format::Object,
            Format::Object => Format::Text,
            Format::Text => return None,
        };
        Some(Dialect { format, ..self })
    }
}

/// The request for one sample.
pub(crate) fn body(settings: &Settings, dialect: Dialect, prompt: &str, sample: u32) -> Vec<u8> {
    let mut body = Map::new();
    if !settings.model.is_empty() {
        body.insert("model".into(), json!(settings.model));
    }
    body.insert("messages".into(), json!([{ "role": "user", "content": prompt }]));
    body.insert("stream".into(), json!(false));
    if let Some(t) = settings.temperature {
        // By way of its decimal text: 0.7_f32 as f64 would be sent as 0.699999988079071.
        body.insert("temperature".into(), json!(t.to_string().parse::<f64>().unwrap_or_default()));
    }
    if let Some(seed) = settings.seed.filter(|_| !dialect.no_seed) {
        body.insert("seed".into(), json!(seed.saturating_add(sample)));
    }
    if let Some(limit) = settings.max_tokens {
        let name = if dialect.new_token_limit { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.into(), json!(limit));
    }
    match dialect.format {
        Format::Schema => {
            let schema = json!({
                "type": "object",
                "properties": { "score": { "type": "integer", "minimum": 1, "maximum": 100 } },
                "required": ["score"],
                "additionalProperties": false,
            });
            let schema = json!({ "name": "score", "strict": true, "schema": schema });
            body.insert("response_format".into(), json!({ "type": "json_schema", "json_schema": schema }));
        }
        Format::Object => {
            body.insert("response_format".into(), json!({ "type": "json_object" }));
        }
        Format::Text => {}
    }
    Value::Object(body).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(change: impl FnOnce(&mut Settings), dialect: Option<Dialect>) -> Value {
        let mut s = Settings::new("http://h/v1", "judge-1");
        change(&mut s);
        let dialect = dialect.unwrap_or_else(|| Dialect::first(s.response_format));
        serde_json::from_slice(&body(&s, dialect, "the prompt", 2)).unwrap()
    }

    #[test]
    fn the_default_request_asks_for_a_schema_at_temperature_zero() {
        let v = sent(|_| {}, None);
        assert_eq!(v["model"], "judge-1");
        assert_eq!(v["messages"], json!([{ "role": "user", "content": "the prompt" }]));
        assert_eq!(v["temperature"], 0.0);
        assert_eq!(v["seed"], 3);
        assert_eq!(v["max_tokens"], 1024);
        assert_eq!(v["stream"], false);
        assert_eq!(v["response_format"]["json_schema"]["schema"]["properties"]["score"]["maximum"], 100);
    }

    #[test]
    fn whatever_is_none_is_not_sent() {
        let v = sent(
            |s| {
                (s.temperature, s.seed, s.max_tokens) = (None, None, None);
                s.model.clear();
                s.response_format = ResponseFormat::Text;
            },
            None,
        );
        let mut keys: Vec<&String> = v.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["messages", "stream"]);
        assert_eq!(sent(|s| s.temperature = Some(0.7), None)["temperature"].to_string(), "0.7");
    }

    fn after(dialect: Dialect, words: &str, change: impl FnOnce(&mut Settings)) -> Option<Dialect> {
        let mut settings = Settings::new("http://h/v1", "judge-1");
        change(&mut settings);
        dialect.after(&Complaint { full: words.into(), ..Complaint::default() }, &settings)
    }

    #[test]
    fn a_refused_format_is_given_up_step_by_step_only_under_auto() {
        let first = Dialect::first(ResponseFormat::Auto);
        let second = after(first, "This response_format type is unavailable", |_| {}).unwrap();
        assert_eq!(sent(|_| {}, Some(second))["response_format"]["type"], "json_object");
        let third = after(second, "'json_object' is not one of", |_| {}).unwrap();
        assert!(sent(|_| {}, Some(third)).get("response_format").is_none());
        assert_eq!((second.reply(), third.reply()), (ReplyFormat::Json, ReplyFormat::Line));
        assert_eq!(after(third, "response_format", |_| {}), None);
        assert_eq!(after(first, "context is too long", |_| {}), None);
        assert_eq!(after(first, "response_format", |s| s.response_format = ResponseFormat::JsonSchema), None);
    }

    #[test]
    fn a_refused_seed_is_given_up_only_where_it_decides_nothing() {
        let first = Dialect::first(ResponseFormat::Auto);
        let words = "Unknown name \"seed\": Cannot find field.";
        let without = after(first, words, |_| {}).unwrap();
        assert_eq!(sent(|_| {}, Some(without)).get("seed"), None);
        assert_eq!(after(without, words, |_| {}), None);
        assert_eq!(after(first, words, |s| s.temperature = Some(0.1)), None);
        assert_eq!(after(first, words, |s| s.temperature = None), None);
        assert_eq!(after(first, words, |s| s.seed = None), None);
        assert_eq!(after(first, "random_seed is missing", |_| {}), None);
    }

    #[test]
    fn the_token_limit_is_renamed_when_the_server_names_its_name() {
        let text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.";
        let text_only = |s: &mut Settings| s.response_format = ResponseFormat::Text;
        let renamed = after(Dialect::first(ResponseFormat::Text), text, text_only).unwrap();
        let v = sent(|_| {}, Some(renamed));
        assert_eq!((v.get("max_tokens"), &v["max_completion_tokens"]), (None, &json!(1024)));
        assert_eq!(after(renamed, text, text_only), None);
    }
}
