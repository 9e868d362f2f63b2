//! A conversation of any turns, some of them taken back, in templates of several kinds; and the answers that go into
//! it, as they come token by token.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sda::text::{
    ChatTemplate, Instruction, InstructionPlacement, PairBuilder, StopMatcher, ThinkTracker, Turn,
    Utf8Stream, strip_think,
};

#[derive(Arbitrary, Debug)]
enum Act<'a> {
    Say { query: &'a str, answer: &'a [u8] },
    Undo,
    Clear,
}

#[derive(Arbitrary, Debug)]
struct Chat<'a> {
    template: u8,
    placement: u8,
    system: Option<&'a str>,
    negative: &'a str,
    instructions: Vec<(&'a str, f32)>,
    acts: Vec<Act<'a>>,
    query: &'a str,
    stop: &'a str,
    pieces: u8,
}

/// Writes all it is given; with a reasoning model's habits; without a system role; as a function.
static TEMPLATES: LazyLock<Vec<ChatTemplate>> = LazyLock::new(|| {
    let compile = |source: &str| ChatTemplate::compile(source, "<s>", "</s>").unwrap();
    vec![
        ChatTemplate::from_fn(|messages, _| {
            let texts = messages.iter().map(|m| format!("<{:?}>{}</>\n", m.role, m.content));
            Ok(texts.collect::<String>() + "<Assistant>")
        }),
        compile(
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}\
             {{ m.content.split('</think>')[-1].lstrip('\\n') }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n\
             {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
        ),
        compile(
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}\
             <start_of_turn>{{ m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n",
        ),
    ]
});

/// The answer as `sda chat` keeps it: of bytes, in pieces, up to a stop text.
fn answer(bytes: &[u8], chat: &Chat) -> String {
    let size = usize::from(chat.pieces % 8) + 1;
    let (mut utf8, mut think) = (Utf8Stream::default(), ThinkTracker::new(false));
    let mut stop = StopMatcher::new(&[chat.stop.to_owned()]).ok();
    let (mut whole, mut shown, mut stopped) = (String::new(), String::new(), false);
    for piece in bytes.chunks(size) {
        let text = utf8.push(piece);
        whole.push_str(text);
        think.push(text);
        match stop.as_mut() {
            Some(stop) if !stopped => {
                let (out, end) = stop.push(text);
                shown.push_str(&out);
                stopped = end;
            }
            _ => {}
        }
    }
    whole.push_str(&utf8.finish());
    assert_eq!(whole, String::from_utf8_lossy(bytes));
    let stripped = strip_think(&whole, false);
    assert!(whole.ends_with(stripped.text) || stripped.unfinished);
    if stop.is_some() {
        assert!(whole.starts_with(&shown) && !shown.contains(chat.stop));
    }
    whole
}

fuzz_target!(|chat: Chat| {
    let mut history: Vec<Turn> = Vec::new();
    for act in chat.acts.iter().take(12) {
        match act {
            Act::Say { query, answer: bytes } => {
                history.push(Turn { query: (*query).to_owned(), answer: answer(bytes, &chat) });
            }
            Act::Undo => drop(history.pop()),
            Act::Clear => history.clear(),
        }
    }
    let template = usize::from(chat.template % 8);
    let template = match template {
        // Those that start threads are slower.
        0..4 => None,
        4..6 => Some(&TEMPLATES[0]),
        _ => Some(&TEMPLATES[template - 5]),
    };
    use InstructionPlacement::{After, Before, System};
    let builder = PairBuilder {
        template,
        system: chat.system,
        history: &history,
        query: chat.query,
        instruction: "",
        negative: chat.negative,
        placement: [After, Before, System][usize::from(chat.placement % 3)],
    };
    let instructions: Vec<Instruction> = chat
        .instructions
        .iter()
        .take(9)
        .map(|&(text, weight)| Instruction { text: text.to_owned(), weight })
        .collect();
    let set = match builder.build_many(&instructions) {
        Ok(set) => set,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let prompts = [&set.pair.plain, &set.pair.instructed].into_iter().chain(&set.singles);
    if template.is_none() || std::ptr::eq(template.unwrap(), &raw const TEMPLATES[0]) {
        for prompt in prompts {
            // Nothing is lost, in its order.
            let mut rest = prompt.as_str();
            let texts = history.iter().flat_map(|turn| [turn.query.as_str(), &turn.answer]);
            for text in chat.system.into_iter().chain(texts).chain([chat.query]) {
                let at = rest.find(text).unwrap_or_else(|| panic!("{text:?} is not in {prompt:?}"));
                rest = &rest[at + text.len()..];
            }
        }
        // What was answered is a beginning of the next prompt, so that the cache holds.
        if template.is_some() {
            let mut longer = history.clone();
            longer.push(Turn { query: chat.query.to_owned(), answer: "A".to_owned() });
            let next = PairBuilder { history: &longer, query: "Next", ..builder }.build_many(&instructions);
            let next = next.unwrap().pair;
            assert!(next.plain.starts_with(&set.pair.plain));
            assert!(next.instructed.starts_with(&set.pair.instructed));
        }
    }
    let raw = template.is_none();
    assert_eq!(
        set.pair.thinking,
        if raw {
            set.pair.instructed.trim_end().ends_with("<think>")
        } else {
            template.is_some_and(|t| std::ptr::eq(t, &TEMPLATES[1]))
        },
        "{:?}",
        set.pair
    );
    assert_eq!(set.singles.len(), set.weights.singles.len());
});
