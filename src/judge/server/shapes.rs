//! What servers are documented to send beyond OpenAI's own API, as tables. The source of a row is in its comment; the
//! tests in `tests/judge/shapes` send each of them.

use End::{Broken, Cut, Filtered, Finished, Tool};

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The model came to an end of its own.
    Finished,
    /// At a limit of length.
    Cut,
    /// By a filter, or the model refused.
    Filtered,
    /// The server failed while it wrote; what it wrote counts for nothing.
    Broken,
    /// With a call of a tool that nobody offered.
    Tool,
}

/// Finish reasons, as [`squeezed`] writes them.
const ENDS: &[(&str, End)] = &[
    // Missing or null, as OpenAI's own type allows (vLLM issue 27572), or empty. "null": koboldcpp.
    ("", Finished),
    ("null", Finished),
    // OpenAI; "STOP": Gemini behind gateways (QwenLM/qwen-code 9884, higress 2408).
    ("stop", Finished),
    ("finishreasonstop", Finished),
    // Together (openai-dotnet 267).
    ("eos", Finished),
    // text-generation-inference up to 2.2 (its pull request 2344), watsonx.
    ("eostoken", Finished),
    ("stopsequence", Finished),
    // Anthropic behind gateways; also "endturn" (OpenRouter).
    ("endturn", Finished),
    ("endofturn", Finished),
    // Cohere; OpenAI's responses behind gateways.
    ("complete", Finished),
    ("completed", Finished),
    // tabbyAPI up to issue 83.
    ("generated", Finished),
    // Plain words for it, of gateways.
    ("done", Finished),
    ("finished", Finished),
    // OpenAI; "MAX_TOKENS": Gemini behind gateways.
    ("length", Cut),
    ("maxtokens", Cut),
    ("finishreasonmaxtokens", Cut),
    ("maxoutputtokens", Cut),
    ("maxlength", Cut),
    ("limit", Cut),
    // Mistral, Anthropic.
    ("modellength", Cut),
    ("modelcontextwindowexceeded", Cut),
    // OpenAI, Bedrock, Anthropic.
    ("contentfilter", Filtered),
    ("contentfiltered", Filtered),
    ("guardrailintervened", Filtered),
    ("refusal", Filtered),
    // Gemini; "sensitive": Zhipu.
    ("safety", Filtered),
    ("recitation", Filtered),
    ("blocklist", Filtered),
    ("prohibitedcontent", Filtered),
    ("spii", Filtered),
    ("sensitive", Filtered),
    // OpenRouter, Mistral, koboldcpp.
    ("error", Broken),
    // vLLM (its issue 57082).
    ("abort", Broken),
    ("aborted", Broken),
    ("cancelled", Broken),
    // DeepSeek; Zhipu.
    ("insufficientsystemresource", Broken),
    ("networkerror", Broken),
    ("toolcalls", Tool),
    ("functioncall", Tool),
    ("tooluse", Tool),
    ("malformedfunctioncall", Tool),
];

/// The meaning of a finish reason; `None` for one that no server is known to send.
pub(super) fn end(reason: &str) -> Option<End> {
    // Together gives the end token itself (vespa 33327).
    if reason.starts_with('<') && reason.ends_with('>') {
        return Some(Finished);
    }
    let reason = squeezed(reason);
    ENDS.iter().find(|(name, _)| *name == reason).map(|(_, end)| *end)
}

/// Small letters without what stands between words: `MAX_TOKENS`, `max-tokens` and `maxTokens` are the same.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Types of a part of a content that is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    /// Not part of the answer.
    Aside,
    Refusal,
}

const PARTS: &[(&str, Part)] = &[
    ("", Part::Text),
    // Mistral, Databricks, OpenAI.
    ("text", Part::Text),
    ("output_text", Part::Text),
    // Mistral's Magistral, Anthropic behind gateways, Databricks.
    ("thinking", Part::Aside),
    ("redacted_thinking", Part::Aside),
    ("reasoning", Part::Aside),
    ("reasoning_content", Part::Aside),
    ("reasoning_text", Part::Aside),
    ("thought", Part::Aside),
    // Mistral: numbers of the sources.
    ("reference", Part::Aside),
    // OpenAI.
    ("refusal", Part::Refusal),
];

pub(super) fn part(kind: &str) -> Option<Part> {
    PARTS.iter().find(|(name, _)| *name == kind).map(|(_, part)| *part)
}

/// Where servers put the thinking that they take out of the text: llama-server, DeepSeek, LM Studio and vLLM up to
/// 0.11 in the first, ollama, OpenRouter and newer vLLM in the second.
pub(super) const THOUGHTS: [&str; 2] = ["reasoning_content", "reasoning"];

/// Codes and types of errors in words that may pass, as [`squeezed`] writes them.
const PASSING: &[&str] = &[
    // OpenAI, Groq.
    "ratelimitexceeded",
    "ratelimiterror",
    "toomanyrequests",
    "servererror",
    "internalservererror",
    // Anthropic.
    "overloaded",
    "overloadederror",
    "apierror",
    // Gemini.
    "resourceexhausted",
    "unavailable",
    // llama-server while it loads; text-generation-inference.
    "unavailableerror",
    "serviceunavailable",
    "timeout",
    "timeouterror",
];

pub(super) fn is_passing(code: &str) -> bool {
    PASSING.contains(&squeezed(code).as_str())
}

/// Words, in small letters, of complaints about `response_format`.
const ABOUT_FORMAT: &[&str] = &[
    // OpenAI, DeepSeek ("This response_format type is unavailable now"), LM Studio, Groq, FastAPI's `loc`.
    "response_format",
    "response format",
    "json_schema",
    "json_object",
    "schema",
    // Cloud gateways ("does not support structured outputs"), vLLM.
    "structured output",
    "structured_output",
    "guided",
    // llama-server ("failed to parse grammar", "Failed to initialize samplers"), vLLM, text-generation-inference.
    "grammar",
    "samplers",
    // Groq (json_validate_failed).
    "failed to generate json",
    "json_validate_failed",
    "json mode",
    // Anthropic and Gemini behind gateways.
    "output_config",
    "response_mime_type",
    "responsemimetype",
];

pub(super) fn is_about_format(complaint: &str) -> bool {
    let complaint = complaint.to_lowercase();
    ABOUT_FORMAT.iter().any(|word| complaint.contains(word))
}

/// True when a complaint names the field `name`.
pub(super) fn names(complaint: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    complaint.to_lowercase().split(|c| !of_word(c)).any(|word| word == name)
}

/// How to go on after a complaint: the statuses that it comes with (none: any), words in small letters, and the advice.
type Advice = (&'static [u16], &'static [&'static str], &'static str);

const ADVICE: &[Advice] = &[
    // llama-server (exceed_context_size_error), vLLM, OpenAI (context_length_exceeded).
    (
        &[],
        &["context length", "context size", "context window", "context_length", "exceed_context"],
        "query and draft are too long for this judge, or its max tokens are too many",
    ),
    // llama-server ("Loading model"), koboldcpp.
    (&[503], &["loading"], "the server is still loading its model, ask again later or allow more retries"),
    // OpenAI, FastAPI, servers in Rust.
    (
        &[400, 422],
        &["must provide a model", "model is required", "body.model: field required", "missing field `model`"],
        "name the judge's model",
    ),
    // ollama, vLLM, OpenAI.
    (&[404], &["model"], "is the judge's model named as the server names it?"),
    // LM Studio, with status 200.
    (&[], &["unexpected endpoint"], BASE_URL),
    (&[404, 405, 501], &[""], BASE_URL),
    // OpenRouter, DeepSeek.
    (&[402], &[""], "the account has no credit left"),
    (&[413], &[""], "query and draft are too long for this server"),
];

const BASE_URL: &str = "is the judge url the server's base URL? It often ends in /v1";

/// Fields of the request that may be left out, and how.
const FIELDS: &[(&str, &str)] = &[
    ("seed", "leave the judge's seed out (none)"),
    ("temperature", "leave the judge's temperature out (none)"),
    ("max_tokens", "lower the judge's max tokens, or leave them out (none)"),
];

/// How to go on after an error with this status (`None`: an error in a reply of status 200).
pub(super) fn advice(status: Option<u16>, complaint: &str) -> Option<&'static str> {
    let lower = complaint.to_lowercase();
    let fits = |(statuses, words, _): &&Advice| {
        (statuses.is_empty() || status.is_some_and(|s| statuses.contains(&s)))
            && words.iter().any(|word| lower.contains(word))
    };
    if let Some((_, _, advice)) = ADVICE.iter().find(fits) {
        return Some(advice);
    }
    let bad = matches!(status, None | Some(400 | 422));
    FIELDS.iter().find(|(name, _)| bad && names(complaint, name)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finish_reason_is_known_however_its_words_are_joined() {
        for reason in ["MAX_TOKENS", "max-tokens", "maxTokens", "FinishReason.MAX_TOKENS"] {
            assert_eq!(end(reason), Some(Cut), "{reason}");
        }
        for reason in ["stop", "STOP", "eos_token", "", "<|im_end|>", "end_turn", "endturn"] {
            assert_eq!(end(reason), Some(Finished), "{reason}");
        }
        assert_eq!(end("gave up"), None);
    }

    #[test]
    fn the_tables_have_no_row_twice_and_are_written_as_they_are_looked_up() {
        for (i, (name, _)) in ENDS.iter().enumerate() {
            assert_eq!(squeezed(name), *name);
            assert!(!ENDS[..i].iter().any(|(other, _)| other == name), "{name}");
        }
        assert!(PASSING.iter().all(|name| is_passing(name)));
        assert!(ABOUT_FORMAT.iter().all(|word| word.to_lowercase() == *word));
    }

    #[test]
    fn a_field_is_named_only_by_its_whole_name() {
        for complaint in ["Unknown name \"seed\"", "body.seed: Extra inputs", "Seed is not supported"] {
            assert!(names(complaint, "seed"), "{complaint}");
        }
        for complaint in ["random_seed is missing", "seeded", "the reseed", ""] {
            assert!(!names(complaint, "seed"), "{complaint}");
        }
    }
}
