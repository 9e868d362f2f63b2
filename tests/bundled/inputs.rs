//! Models and settings as other people have them.

use std::path::{Path, PathBuf};

use sda::engine::{Arm, Engine, Generation, Prompts};
use sda::judge::JudgeRequest;
use sda::llama::{ContextOptions, Model, ModelOptions, set_log};
use sda_test_kit::gguf::{Edit, edit};

use crate::models::{gemma, smollm2};

fn one_thread() -> ContextOptions {
    ContextOptions { n_threads: 1, ..ContextOptions::default() }
}

fn engine(model: &Model) -> Engine {
    Engine::new(model, 256, &one_thread()).unwrap()
}

/// A test model with other metadata; the file is gone once it is loaded.
fn edited(variable: &str, edits: &[Edit]) -> Model {
    let source = PathBuf::from(std::env::var_os(variable).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("edited.gguf");
    edit(&source, &target, edits);
    set_log(|_| {});
    Model::load(Path::new(&target), &ModelOptions::default(), |_| true).unwrap()
}

#[test]
fn a_seed_is_a_seed_whatever_number_it_is() {
    let model = smollm2();
    let mut engine = engine(&model);
    let tokens = model.tokenize_prompt("Once upon a time").unwrap();
    let prompts = Prompts::new(tokens.clone(), tokens);
    for (top_p, penalty) in [(1.0, 1.0), (0.95, 1.0), (1.0, 1.1)] {
        let mut text = |seed| {
            let mut settings = Generation { n_predict: Some(12), ..Generation::default() };
            settings.params.temperature = 2.0;
            (settings.sampling.seed, settings.sampling.top_p) = (seed, top_p);
            settings.sampling.repeat_penalty = penalty;
            engine.generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap().text
        };
        for seed in [u32::MAX, u32::MAX - 1, i32::MAX as u32 + 1, 0] {
            assert_eq!(text(seed), text(seed), "{seed}");
        }
        assert_ne!(text(u32::MAX), text(u32::MAX - 1));
    }
}

#[test]
fn a_prompt_that_is_continued_ends_as_its_text_does_whatever_the_model_adds() {
    for (variable, plain) in [("SDA_TEST_MODEL", smollm2()), ("SDA_TEST_MODEL_GEMMA", gemma())] {
        let adding = edited(variable, &[Edit::Bool("tokenizer.ggml.add_eos_token", true)]);
        assert_eq!(adding.metadata("tokenizer.ggml.add_eos_token").as_deref(), Some("true"));
        for text in ["Say hello.", "", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"] {
            assert_eq!(adding.tokenize_prompt(text).unwrap(), plain.tokenize_prompt(text).unwrap(), "{text}");
        }
        // An end that the text brings is its own.
        let ended = format!("Say hello.{}", plain.eos_text());
        let tokens = adding.tokenize_prompt(&ended).unwrap();
        assert_eq!(tokens, plain.tokenize_prompt(&ended).unwrap());
        assert_eq!(adding.text(&tokens).matches(&plain.eos_text()).count(), 1);
        // The beginning is added once, by whomever.
        let begun = format!("{}Say hello.", plain.bos_text());
        assert_eq!(adding.text(&adding.tokenize_prompt(&begun).unwrap()), begun);

        let request = JudgeRequest { query: "q", draft: "d", instruction: "Be brief.", dimension: None };
        let [with, without] =
            [&adding, &plain].map(|model| engine(model).judge(None).prompt(&request).unwrap());
        assert_eq!(with.len(), without.len(), "but for the nonce");
        assert_eq!(with.last(), without.last());
    }
}

#[test]
fn think_tags_that_are_control_tokens_are_seen_and_shown_and_other_ones_end_an_answer_unseen() {
    // What SmolLM2 writes after a user's turn, and the end of its own.
    let continued = "<|im_start|>user\nHi<|im_end|>\n";
    let model = smollm2();
    let tokens = model.tokenize_prompt(continued).unwrap();
    let prompts = Prompts::new(tokens.clone(), tokens);
    let mut settings = Generation { n_predict: Some(6), ..Generation::default() };
    (settings.params.temperature, settings.params.amplification) = (0.0, 0.25);
    settings.stop = vec!["<|im_start|>".into()];
    let mut seen = Vec::new();
    let answer = engine(&model)
        .generate(Arm::Steered, &prompts, &settings, &mut |event| {
            if let sda::engine::Event::Token(record) = event {
                seen.push(record.text.clone());
            }
            true
        })
        .unwrap();
    assert_eq!(answer.finish, sda::engine::Finish::StopText, "{seen:?}");
    assert_eq!((answer.text.as_str(), seen.concat().as_str()), ("", ""));
    // A stop text that reaches over a control token.
    settings.stop = vec!["<|im_start|>assist".into()];
    let answer = engine(&model).generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap();
    assert_eq!((answer.finish, answer.text.as_str()), (sda::engine::Finish::StopText, ""));

    let thinker = edited("SDA_TEST_MODEL", &[Edit::Token("<|im_start|>", "<think>")]);
    assert!(thinker.control_texts().iter().any(|text| text == "<think>"));
    settings.stop.clear();
    settings.steer_after_think = true;
    let mut guidance = Vec::new();
    let answer = engine(&thinker)
        .generate(Arm::Steered, &prompts, &settings, &mut |event| {
            if let sda::engine::Event::Token(record) = event {
                guidance.push(record.guidance.unwrap());
            }
            true
        })
        .unwrap();
    assert!(answer.text.starts_with("<think>assistant"), "{}", answer.text);
    assert_eq!(guidance[0], 1.5, "before the block");
    assert!(guidance[1..].iter().all(|&g| g == 1.0), "{guidance:?}");
    assert!(sda::text::strip_think(&answer.text, false).unfinished);
}
