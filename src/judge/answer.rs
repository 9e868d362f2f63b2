//! The answer in a reply: what servers and models leave around it is taken away first.

use serde_json::Value;

/// How a model's thinking is marked where the server leaves it in the text.
struct Thinking {
    open: &'static str,
    close: &'static str,
    /// The mark holds a control token, so that nobody writes it by chance: an end without a beginning is one whose
    /// beginning the chat template had written, and a beginning without an end is a reply that was cut off.
    control: bool,
}

const fn marks(open: &'static str, close: &'static str) -> Thinking {
    Thinking { open, close, control: true }
}

const THINKING: [Thinking; 11] = [
    // DeepSeek R1, Qwen3, SmolLM3 and most others, where the server has no reasoning parser.
    marks("<think>", "</think>"),
    marks("<thinking>", "</thinking>"),
    // EXAONE Deep; Gemini's OpenAI endpoint with include_thoughts.
    marks("<thought>", "</thought>"),
    marks("<reasoning>", "</reasoning>"),
    // Magistral.
    marks("[THINK]", "[/THINK]"),
    // Seed-OSS.
    marks("<seed:think>", "</seed:think>"),
    // Kimi.
    marks("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
    // Gemma 4.
    marks("<|channel>thought", "<channel|>"),
    // gpt-oss behind mlx-lm and others that know nothing of its channels.
    marks("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    marks("<|channel|>analysis<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
    // The same where control tokens are left out of the text.
    Thinking { open: "analysis", close: "assistantfinal", control: false },
];

/// Ends of a turn that servers have left at the end of a text, such as text-generation-inference issue 1724.
const ENDS: [&str; 15] = [
    "</s>",
    "<eos>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>",
    "<turn|>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "[EOS]",
];

/// The answer without thinking, end tokens and the white space around them.
///
/// A text that is one JSON object has none: a mark in one of its strings is quoted.
///
/// # Errors
/// The reason, when the reply ended within the thinking.
pub(super) fn answer(reply: &str) -> Result<&str, String> {
    let text = trim(reply);
    if is_object(unfence(text)) {
        return Ok(text);
    }
    let opened = THINKING.iter().filter(|t| text.starts_with(t.open));
    let after = |t: &Thinking| text.find(t.close).map(|at| at + t.close.len());
    if let Some(at) = opened.clone().filter_map(after).min() {
        return Ok(trim(&text[at..]));
    }
    if opened.clone().any(|t| t.control) {
        return Err("the reply ended while the judge was still thinking".into());
    }
    let closed = THINKING.iter().filter(|t| t.control).filter_map(after).min();
    Ok(trim(&text[closed.unwrap_or(0)..]))
}

/// The text inside a Markdown code fence that encloses all of it, or the text itself.
pub(super) fn unfence(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|t| t.strip_suffix("```"));
    match inner.and_then(|t| t.split_once('\n')) {
        Some((tag, body)) if is_fence_tag(tag) => body.trim(),
        _ => text,
    }
}

/// True for what may stand behind the opening of a code fence around JSON.
pub(super) fn is_fence_tag(tag: &str) -> bool {
    tag.trim().is_empty() || tag.trim().eq_ignore_ascii_case("json")
}

fn is_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<Value>(text).is_ok()
}

fn trim(text: &str) -> &str {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let mut text = text.trim_matches(blank);
    while let Some(rest) = ENDS.iter().find_map(|end| text.strip_suffix(end)) {
        text = rest.trim_end_matches(blank);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_taken_away_whether_or_not_its_beginning_is_there() {
        for t in THINKING {
            let whole = format!("{}it is 5\n{}\n the answer ", t.open, t.close);
            assert_eq!(answer(&whole).unwrap(), "the answer", "{whole}");
            let rest = format!("it is 5\n{}\n the answer", t.close);
            let expected = if t.control { "the answer" } else { rest.as_str() };
            assert_eq!(answer(&rest).unwrap(), expected, "{rest}");
            let cut = format!("\u{feff} {}it is 5", t.open);
            assert_eq!(answer(&cut).is_err(), t.control, "{cut}");
        }
    }

    #[test]
    fn a_mark_inside_a_json_object_is_quoted_text() {
        for text in ["{\"why\": \"</think>7\"}", "```json\n{\"why\": \"<think> </think>\"}\n```"] {
            assert_eq!(answer(text).unwrap(), text);
        }
        assert_eq!(answer("{\"why\": </think>7").unwrap(), "7");
    }

    #[test]
    fn ends_of_a_turn_are_taken_away_at_the_end_only() {
        for end in ENDS {
            assert_eq!(answer(&format!("7{end}")).unwrap(), "7");
            assert_eq!(answer(&format!("<think>hm</think>\n7 {end}\n{end} ")).unwrap(), "7");
            assert_eq!(answer(&format!("{end}7")).unwrap(), format!("{end}7"));
        }
    }
}
