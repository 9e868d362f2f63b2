//! What a model's file may say or lack: an end that it wants, no end, no chat template, parts, another purpose.

use std::path::PathBuf;

use sda::Error;
use sda::host::Token;

use super::{engine, file, generate, load, prompts, settings, tokens, try_load};

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_prompt_ends_as_its_text_does_though_the_model_wants_an_end() {
    let (usual, wants_end) = (load("attention"), load("add-eos"));
    assert_eq!(wants_end.metadata("tokenizer.ggml.add_eos_token").as_deref(), Some("true"));
    let ours = prompts(&wants_end, &[], "Hello");
    let theirs = prompts(&usual, &[], "Hello");
    assert_eq!((&ours.plain, &ours.instructed), (&theirs.plain, &theirs.instructed));
    let answers =
        [&usual, &wants_end].map(|model| generate(&mut engine(model), &ours, &settings(1, 1.0, 24)).tokens);
    assert_eq!(answers[0], answers[1]);
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_model_without_an_end_answers_to_the_last_token_and_has_no_comma_for_one() {
    // llama.cpp takes token 11 for the end where a byte-level BPE names none.
    const COMMA: Token = 11;
    let model = load("no-eos");
    assert_eq!(model.tokenize(",", false).unwrap(), [COMMA]);
    assert_eq!((model.eos_text(), model.bos_text()), (String::new(), String::new()));
    assert!((0..model.n_vocab() as Token).all(|token| !model.is_eog(token)));
    let prompts = prompts(&model, &[], "Hello");
    let answer = generate(&mut engine(&model), &prompts, &settings(1, 1.0, 48));
    assert_eq!(answer.tokens.len(), 48);
    assert!(answer.tokens.contains(&COMMA), "the answer would show nothing");
    let named = load("attention");
    let end = named.tokenize("<|im_end|>", true).unwrap();
    assert!(end.len() == 1 && named.is_eog(end[0]) && named.eos_text() == "<|im_end|>");
    // RWKV's tokenizer has no end of its own, and is none that llama-cpp-2 knows.
    let rwkv = load("rwkv7");
    assert!((0..rwkv.n_vocab() as Token).all(|token| !rwkv.is_eog(token)));
    assert_eq!(rwkv.text(&rwkv.tokenize("naïve, 日本", false).unwrap()), "naïve, 日本");
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_model_without_a_chat_template_gets_the_text_as_it_is() {
    let model = load("no-template");
    assert!(model.template(None, &Default::default()).unwrap().is_none());
    let ours = prompts(&model, &[], "Hello");
    assert_eq!(ours.plain, tokens(&model, "Hello"));
    assert_eq!(generate(&mut engine(&model), &ours, &settings(1, 1.0, 12)).tokens.len(), 12);
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_model_in_parts_is_loaded_by_its_first_one() {
    let (whole, parts) = (load("attention"), load("parts-00001-of-00004"));
    let prompts = prompts(&whole, &[], "Hello");
    let answers =
        [&whole, &parts].map(|model| generate(&mut engine(model), &prompts, &settings(1, 1.0, 24)).tokens);
    assert_eq!(answers[0], answers[1]);
    let refused = |path: PathBuf| match try_load(path) {
        Err(Error::Model { reason }) => reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was loaded"),
    };
    let second = refused(file("parts-00002-of-00004"));
    assert!(
        second.contains("is part 2 of 4, must be the first") && second.contains("parts-00001-of-00004"),
        "{second}"
    );
    let folder = tempfile::tempdir().unwrap();
    for part in ["parts-00001-of-00004.gguf", "parts-00002-of-00004.gguf", "parts-00004-of-00004.gguf"] {
        std::fs::copy(file(part.trim_end_matches(".gguf")), folder.path().join(part)).unwrap();
    }
    let missing = refused(folder.path().join("parts-00001-of-00004.gguf"));
    assert!(missing.contains("parts-00003-of-00004.gguf is missing"), "{missing}");
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_model_that_cannot_continue_a_text_is_refused_by_name() {
    for name in ["bert", "t5"] {
        let error = try_load(file(name)).err().expect("it cannot generate").to_string();
        assert!(
            error.contains(&format!("has the architecture {name}, which does not continue a text")),
            "{error}"
        );
    }
}
