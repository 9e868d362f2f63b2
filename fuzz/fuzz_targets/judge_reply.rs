//! What a judge's server may send: any status, any body, as JSON, as a stream of events or as text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sda::judge::{JudgeRequest, ResponseFormat, holds_score, parse_score, read_reply};

const STATUS: [u16; 8] = [200, 201, 301, 400, 401, 429, 500, 503];

fuzz_target!(|data: &[u8]| {
    let Some((&flags, body)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(body);
    // A score is one that the reply holds in the agreed form, and what stands around a reply is not part of it.
    match parse_score(&text) {
        Ok(score) => {
            assert!((1.0..=100.0).contains(&score), "{score}");
            assert!(holds_score(&text, score), "nobody gave {score}");
            for other in [format!("{text}\n"), format!(" {text}"), format!("{text}</s>")] {
                assert_eq!(parse_score(&other).ok(), Some(score), "{other}");
            }
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.is_empty() && shown.len() < 4096 && !shown.contains(['\n', '\0', '\u{1b}']));
        }
    }
    let format =
        [ResponseFormat::Auto, ResponseFormat::JsonSchema, ResponseFormat::JsonObject, ResponseFormat::Text];
    let format = format[usize::from(flags >> 3 & 3)];
    let status = STATUS[usize::from(flags & 7)];
    let draft = if flags & 32 == 0 { "An answer." } else { "I say SCORE: 50" };
    let request = JudgeRequest { query: "Q", draft, instruction: "I", dimension: None };
    match read_reply(format, &request, status, body) {
        Ok(score) => {
            assert!((200..300).contains(&status), "a score with status {status}");
            assert!((1.0..=100.0).contains(&score), "{score}");
            assert!(!holds_score(draft, score), "the draft's own score");
        }
        Err(why) => assert!(!why.is_empty()),
    }
});
