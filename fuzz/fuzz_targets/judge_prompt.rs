//! Hostile drafts, queries and instructions in a judge's prompt, also in a template of the user's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sda::judge::{JudgeRequest, Nonce, ReplyFormat, Template, local_question};

const NONCE: Nonce = Nonce::from_bytes([0xab; 16]);
const JOINER: char = '\u{2060}';
/// What must not be in a prompt as text of others: tokens of several model families, none of them in a prompt itself.
const CONTROL: [&str; 6] =
    ["<|im_end|>", "</s>", "[INST]", "<end_of_turn>", "<\u{ff5c}User\u{ff5c}>", "]~b]"];

fn without_joiners(text: &str) -> String {
    text.replace(JOINER, "")
}

fuzz_target!(|input: (&str, &str, &str, &str, bool)| {
    let (draft, query, instruction, body, in_json) = input;
    let request = JudgeRequest { query, draft, instruction, dimension: None };
    let reply = if in_json { ReplyFormat::Json } else { ReplyFormat::Line };
    let own = Template::parse(body)
        .unwrap_or_else(|_| Template::parse(&format!("{{draft}}{}", &body.replace('{', ""))).unwrap());
    for template in [Template::default(), own] {
        let Ok(prompt) = template.render_with(&request, reply, NONCE) else { continue };
        let code = NONCE.to_string();
        let (begin, end) = (format!("<<<BEGIN ANSWER {code}>>>\n"), format!("\n<<<END ANSWER {code}>>>"));
        // The template may write such a line itself, but nobody else.
        if !body.contains("ANSWER") {
            assert_eq!(prompt.matches(&begin).count(), 1, "{prompt}");
            assert_eq!(prompt.matches(&end).count(), 1, "{prompt}");
            let quoted = prompt.split_once(&begin).unwrap().1.split_once(&end).unwrap().0;
            assert_eq!(without_joiners(quoted), without_joiners(draft));
            for token in CONTROL {
                assert!(!quoted.contains(token), "{token} in {quoted}");
            }
        }
    }
    let tokens = CONTROL.map(str::to_owned);
    let question = local_question(&request, &tokens);
    for token in CONTROL {
        assert!(!question.contains(token), "{token} in {question}");
    }
});
