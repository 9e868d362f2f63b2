//! Grammars and logit bias on a real model.

use crate::models::{gemma, smollm2};

use sda::engine::{Answer, Arm, Batch, BatchEvent, Engine, Event, Finish, Generation, Job, Prompts};
use sda::host::Token;
use sda::llama::{ContextOptions, Grammar, GrammarSampler, Model, Sampling};
use sda::{Error, Params};

const ARMS: [Arm; 3] = [Arm::Plain, Arm::Instructed, Arm::Steered];

fn options() -> ContextOptions {
    ContextOptions { n_threads: 1, ..ContextOptions::default() }
}

fn prompts(model: &Model, query: &str) -> Prompts {
    let tokens = |instruction: &str| {
        let text = format!("<|im_start|>user\n{query}{instruction}<|im_end|>\n<|im_start|>assistant\n");
        model.tokenize_prompt(&text).unwrap()
    };
    Prompts::new(tokens(""), tokens("\n\nAnswer like a pirate."))
}

fn settings(sampling: Sampling, temperature: f32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 1.0, temperature, ..Params::default() },
        sampling,
        n_predict: Some(n_predict),
        ..Generation::default()
    }
}

fn answer(engine: &mut Engine, arm: Arm, prompts: &Prompts, settings: &Generation) -> Answer {
    engine.generate(arm, prompts, settings, &mut |_| true).unwrap()
}

/// Settings that draw from the best tokens, and ones that need all candidates.
fn samplings(seed: u32) -> [Sampling; 4] {
    let sampling = Sampling { seed, ..Sampling::default() };
    [
        sampling.clone(),
        Sampling { top_k: 40, min_p: 0.05, ..sampling.clone() },
        Sampling { repeat_penalty: 1.1, presence_penalty: 0.1, ..sampling.clone() },
        Sampling { top_p: 1.0, ..sampling },
    ]
}

#[test]
fn an_answer_is_one_that_the_grammar_describes_and_ends_with_it() {
    let model = smollm2();
    let prompts = prompts(&model, "Is the sky blue?");
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let grammar = Some(Grammar::new("root ::= \"yes\" | \"no, \" [a-c]{2}").unwrap());
    for arm in ARMS {
        for temperature in [0.0, 1.0] {
            for sampling in samplings(3) {
                let settings = Generation { grammar: grammar.clone(), ..settings(sampling, temperature, 16) };
                let answer = answer(&mut engine, arm, &prompts, &settings);
                let rest = answer.text.strip_prefix("no, ").unwrap_or("ab");
                assert!(answer.text == "yes" || rest.len() == 2 && rest.bytes().all(|b| b"abc".contains(&b)));
                assert_eq!(answer.finish, Finish::EndOfGeneration, "{arm:?} {}", answer.text);
            }
        }
    }
}

/// A hundred answers at guidance 3, each with a seed of its own, every tenth of them from all candidates.
fn a_hundred(grammar: &Grammar) -> Vec<Answer> {
    let model = smollm2();
    let mut batch = Batch::new(&model, 16, 128, &options()).unwrap();
    let tokens = |text| model.tokenize_prompt(text).unwrap();
    let prompts = Prompts::new(tokens("An animal:"), tokens("An animal of the sea, as a pirate knows it:"));
    let mut jobs = (0..100).map(|id: usize| {
        let [best, .., whole] = samplings(id as u32);
        let sampling = if id.is_multiple_of(10) { whole } else { best };
        let settings = Generation { grammar: Some(grammar.clone()), ..settings(sampling, 1.0, 64) };
        assert_eq!(settings.params.guidance(), 3.0);
        (id, Job { arm: Arm::Steered, prompts: prompts.clone(), settings, ..Job::default() })
    });
    let mut answers = Vec::new();
    let mut on_event = |event: BatchEvent| {
        if let BatchEvent::Done { answer, .. } = event {
            answers.push(answer.unwrap());
        }
        true
    };
    batch.run(&mut || jobs.next(), &mut on_event).unwrap();
    assert_eq!(answers.len(), 100);
    for Answer { text, finish, .. } in &answers {
        assert_eq!(*finish, Finish::EndOfGeneration, "{text}");
    }
    answers
}

#[test]
fn a_hundred_answers_at_guidance_3_are_what_their_json_schema_describes() {
    let schema = r#"{"type": "object", "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "legs": {"type": "integer", "minimum": 0, "maximum": 12}
    }, "required": ["name", "legs"], "additionalProperties": false}"#;
    // No white space between values, and so a bound for the length of an answer: 22 characters and 5 of a name.
    let grammar = Grammar::from_json_schema(schema).unwrap();
    let spaceless: Vec<&str> = grammar.text().lines().filter(|line| !line.starts_with("space ::=")).collect();
    let grammar = Grammar::new(&(spaceless.join("\n") + "\nspace ::= \"\"")).unwrap();
    for Answer { text, .. } in a_hundred(&grammar) {
        let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
        let fields = value.as_object().expect(&text);
        assert_eq!(fields.len(), 2, "{text}");
        assert!((1..=5).contains(&fields["name"].as_str().expect(&text).chars().count()), "{text}");
        assert!((0..=12).contains(&fields["legs"].as_i64().expect(&text)), "{text}");
    }
}

#[test]
fn a_hundred_answers_at_guidance_3_are_what_their_grammar_describes() {
    let grammar =
        Grammar::new(r#"root ::= ("a" | "the") " " [a-z]{3,8} (", " [0-9]{1,2} " legs")? [.!]"#).unwrap();
    let mut different = std::collections::BTreeSet::new();
    for Answer { text, .. } in a_hundred(&grammar) {
        let rest = text.strip_prefix("a ").or(text.strip_prefix("the ")).expect(&text);
        let rest = rest.strip_suffix(['.', '!']).expect(&text);
        let (name, legs) = match rest.split_once(", ") {
            Some((name, legs)) => (name, legs.strip_suffix(" legs").expect(&text)),
            None => (rest, "0"),
        };
        assert!((3..=8).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase()), "{text}");
        assert!((1..=2).contains(&legs.len()) && legs.bytes().all(|b| b.is_ascii_digit()), "{text}");
        different.insert(text);
    }
    assert!(different.len() > 20, "they are drawn: {different:?}");
}

#[test]
fn a_grammar_that_allows_everything_changes_no_token() {
    let model = smollm2();
    let prompts = prompts(&model, "Name three animals.");
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let everything = Some(Grammar::new("root ::= .*").unwrap());
    for arm in ARMS {
        for (sampling, temperature) in samplings(5).into_iter().flat_map(|s| [(s.clone(), 0.0), (s, 0.8)]) {
            let free = settings(sampling.clone(), temperature, 12);
            let held = Generation { grammar: everything.clone(), ..free.clone() };
            let [free, held] = [free, held].map(|settings| answer(&mut engine, arm, &prompts, &settings));
            assert_eq!(free.tokens, held.tokens, "{arm:?} at {temperature} with {sampling:?}");
        }
    }
}

#[test]
fn a_grammar_waits_for_the_end_of_reasoning_that_the_prompt_has_opened() {
    let model = smollm2();
    let text = "<think>a</think>one\n<think>b</think>two\n<think>c</think>three\n<think>d";
    let tokens = model.tokenize_prompt(text).unwrap();
    let prompts = Prompts { thinking: true, ..Prompts::new(tokens.clone(), tokens) };
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let grammar = Some(Grammar::new("root ::= \"[42]\"").unwrap());
    let settings = Generation { grammar, ..settings(Sampling::default(), 0.0, 16) };
    for arm in ARMS {
        assert_eq!(answer(&mut engine, arm, &prompts, &settings).text, "</think>[42]");
    }
    let prompts = Prompts { thinking: false, ..prompts };
    assert_eq!(answer(&mut engine, Arm::Steered, &prompts, &settings).text, "[42]");
}

#[test]
fn control_tokens_are_no_text_of_a_grammar_unless_it_names_tokens() {
    let model = smollm2();
    let control = model.tokenize_prompt("<|im_start|>").unwrap()[0];
    assert!(model.is_control(control) && !model.is_eog(control));
    let sampler = |text: &str| GrammarSampler::new(&Grammar::new(text).unwrap(), &model).unwrap();
    assert!(!sampler("root ::= .*").allows(control));
    assert!(!sampler("root ::= \"<|im_start|>\"").allows(control));
    assert!(sampler("root ::= <|im_start|> \"a\"").allows(control));
    let unknown = Grammar::new("root ::= <|no such token|>").unwrap();
    let refused = GrammarSampler::new(&unknown, &model).err().unwrap().to_string();
    assert_eq!(
        refused,
        "grammar is one that cannot be used (<|no such token|> is not one token of this model), must be GBNF as \
         llama.cpp reads it"
    );
}

#[test]
fn the_grammar_leaves_of_a_row_what_may_come_next() {
    for model in [smollm2(), gemma()] {
        let grammar = Grammar::new("root ::= \"yes\" | \"é\"").unwrap();
        let mut sampler = GrammarSampler::new(&grammar, &model).unwrap();
        let mut row = vec![0.0; model.n_vocab()];
        row[3] = f32::NEG_INFINITY;
        sampler.mask(&mut row).unwrap();
        let left: Vec<Token> = (0..row.len() as Token).filter(|&t| row[t as usize] == 0.0).collect();
        let begins = |token: &Token| {
            let piece = model.piece(*token);
            !piece.is_empty() && ["yes", "é"].iter().any(|text| text.as_bytes().starts_with(&piece))
        };
        let expected: Vec<Token> = (0..row.len() as Token).filter(begins).collect();
        assert_eq!(left, expected);
        // An end that comes too early would abort in llama.cpp.
        let end = (0..row.len() as Token).find(|&token| model.is_eog(token)).unwrap();
        assert!(!sampler.allows(end) && sampler.accept(end).is_err());
        for token in model.tokenize("yes", false).unwrap() {
            sampler.accept(token).unwrap();
        }
        assert!(sampler.allows(end));
        row.fill(f32::NEG_INFINITY);
        let stuck = sampler.mask(&mut row).unwrap_err().to_string();
        assert!(stuck.contains("no token of the model can continue the answer"), "{stuck}");
    }
}

#[test]
fn what_cannot_be_a_grammar_or_a_schema_is_refused_with_the_reason() {
    let refused = |error: Error, field: &str, says: &str| {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{field} is ")) && text.contains(says), "{text}");
    };
    for (text, says) in [
        ("root ::= \"a", "line 1, column 12"),
        ("", "no rule root"),
        ("root ::= root \"a\" | \"b\"", "left recursion"),
        ("root ::= \"a\"{0,1000}{0,1000}", "more than 2000 rules"),
        ("root ::= \"a\"{0,1000}{0,1000000}", "left recursion"),
        ("root ::= \"a\"{1000000}", "more than 2000"),
    ] {
        refused(Grammar::new(text).unwrap_err(), "grammar", says);
    }
    let many = format!("{{\"properties\": {{{}}}}}", vec!["\"x\": {}"; 300].join(","));
    let distinct: Vec<String> = (0..300).map(|i| format!("\"x{i}\": {{}}")).collect();
    let distinct = format!("{{\"properties\": {{{}}}}}", distinct.join(","));
    assert!(Grammar::from_json_schema(&many).is_ok(), "one member, given again and again");
    for (schema, says) in [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("{\"$ref\": \"#/nowhere\"}", "must be a JSON schema that llama.cpp can make a grammar of"),
        ("{\"$ref\": \"https://example.com/schema.json\"}", "its $refs inside of it"),
        ("{\"type\": \"string\", \"pattern\": \"^(a$\"}", "must be a JSON schema"),
        ("{\"type\": \"string\", \"minLength\": 5000}", "5000 repetitions, more than 2000"),
        (&distinct, "300 members in an object"),
        (&format!("\"{}\"", " ".repeat(70_000)), "70002 bytes long"),
        (&"[".repeat(500), "recursion limit"),
    ] {
        refused(Grammar::from_json_schema(schema).unwrap_err(), "json_schema", says);
    }
    // llama.cpp's regular expressions recurse for each of these characters.
    let long = format!("{{\"properties\": {{\"{}\": {{\"type\": \"null\"}}}}}}", " ".repeat(60_000));
    assert!(Grammar::from_json_schema(&long).is_ok());
    assert!(Grammar::from_json_schema("{}").is_ok());
}

#[test]
fn what_passes_as_a_grammar_is_one_for_llama_cpp_too() {
    let model = smollm2();
    let a = model.tokenize("a", false).unwrap()[0];
    // llama.cpp recurses through these, on the stack of a test's thread, 2 MiB.
    let chain: String = (0..3990).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    for text in [
        "root ::= (\"a\"* \"b\"?)*",
        "root ::= \"a\"{0,2000}",
        "root ::= \"a\"{0,1000000}",
        "root ::= (\"a\"?){3}",
        "root ::= ((\"a\" | b)? c*){0,3}\nb ::= \"b\"\nc ::= \"c\" d\nd ::= c | \"\"",
        "root ::= # nothing yet\n  [^\\x00-\\x1F] . | <[5]> | !<[5]>",
        &format!("root ::= r0\n{chain}r3990 ::= \"a\""),
        &format!("root ::= {}\"a\"{}", "(".repeat(100), ")".repeat(100)),
    ] {
        let mut sampler = GrammarSampler::new(&Grammar::new(text).unwrap(), &model).unwrap();
        let mut row = vec![0.0; model.n_vocab()];
        sampler.mask(&mut row).unwrap();
        assert!(sampler.allows(a), "{text}");
        sampler.accept(a).unwrap();
    }
}

#[test]
fn a_logit_bias_bans_tokens_and_forces_them() {
    let model = smollm2();
    let prompts = prompts(&model, "Name three animals.");
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let forced = model.tokenize(" cat", false).unwrap()[0];
    for arm in ARMS {
        for (sampling, temperature) in samplings(1).into_iter().flat_map(|s| [(s.clone(), 0.0), (s, 1.0)]) {
            let free = settings(Sampling { repeat_penalty: 1.0, ..sampling.clone() }, temperature, 4);
            let biased = |bias: &[(Token, f32)]| Generation { logit_bias: bias.to_vec(), ..free.clone() };
            let all = answer(&mut engine, arm, &prompts, &biased(&[(forced, 1000.0)]));
            assert_eq!(all.tokens, [forced; 4], "{arm:?} at {temperature} with {sampling:?}");
            let first = answer(&mut engine, arm, &prompts, &free).tokens[0];
            let banned = biased(&[(first, f32::NEG_INFINITY), (first, 50.0)]);
            let banned = answer(&mut engine, arm, &prompts, &banned);
            assert!(!banned.tokens.contains(&first), "{arm:?} at {temperature} with {sampling:?}");
            let nothing = answer(&mut engine, arm, &prompts, &biased(&[(forced, 0.0)]));
            if temperature > 0.0 {
                assert_eq!(nothing.tokens[0], first);
            }
        }
    }
}

#[test]
fn a_bias_is_in_nats_before_the_temperature() {
    // The bias that makes two tokens equally likely is the distance of their log-probabilities at any temperature.
    let model = smollm2();
    let prompts = prompts(&model, "Is the sky blue?");
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let mut top = Vec::new();
    let traced = Generation { trace_top: 2, ..settings(Sampling::default(), 0.0, 1) };
    let mut on_event = |event: Event| {
        if let Event::Token(record) = event {
            top = record.top.clone().unwrap().steered.unwrap();
        }
        true
    };
    engine.generate(Arm::Steered, &prompts, &traced, &mut on_event).unwrap();
    let gap = (top[0].logprob - top[1].logprob) as f32;
    assert!(gap > 0.01, "{top:?}");
    for temperature in [0.0, 0.2, 1.5] {
        for (bias, expected) in [(gap - 0.005, top[0].token), (gap + 0.005, top[1].token)] {
            let greedy = Sampling { greedy: true, ..Sampling::default() };
            let logit_bias = vec![(top[1].token, bias)];
            let biased = Generation { logit_bias, ..settings(greedy, temperature, 1) };
            let answer = answer(&mut engine, Arm::Steered, &prompts, &biased);
            assert_eq!(answer.tokens, [expected], "{bias} at {temperature}");
        }
    }
}

#[test]
fn a_bias_that_is_out_of_range_is_refused_before_anything_is_read() {
    let model = smollm2();
    let prompts = prompts(&model, "Is the sky blue?");
    let mut engine = Engine::new(&model, 256, &options()).unwrap();
    let mut refused = |logit_bias: Vec<(Token, f32)>| {
        let settings = Generation { logit_bias, ..settings(Sampling::default(), 1.0, 1) };
        let mut events = 0;
        let answer = engine.generate(Arm::Steered, &prompts, &settings, &mut |event| {
            events += usize::from(matches!(event, Event::Token(_)));
            true
        });
        assert_eq!(events, 0);
        answer.unwrap_err().to_string()
    };
    let last = model.n_vocab() as Token - 1;
    let range = format!("logit_bias is 1 for token {}, must be of a token id from 0 to {last}", last + 1);
    assert_eq!(refused(vec![(last + 1, 1.0)]), range);
    assert!(refused(vec![(-1, 1.0)]).starts_with("logit_bias is 1 for token -1"));
    assert_eq!(refused(vec![(5, f32::NAN)]), "logit_bias is NaN for token 5, must be finite or -inf");
    assert!(refused(vec![(5, f32::INFINITY)]).ends_with("must be finite or -inf"));
    let all = (0..=last).map(|token| (token, f32::NEG_INFINITY)).collect();
    assert_eq!(refused(all), "logit_bias is -inf for every token, must be such that a token is left");
}
