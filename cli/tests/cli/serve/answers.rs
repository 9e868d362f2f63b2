//! Answers in every shape: whole, streamed, several, with their log-probabilities.

use serde_json::{Value, json};

use super::{CAPITAL, Event, Server, chunks, content, question};

#[test]
fn a_stream_holds_the_same_answer_as_a_whole_reply_and_ends_properly() {
    let server = Server::start(&["-np", "1"]);
    let more = json!({ "max_tokens": 12, "seed": 3, "temperature": 1, "cache_prompt": false,
        "stream_options": { "include_usage": true } });
    let whole = server.chat(CAPITAL, &more);
    let events: Vec<Event> = server.stream("/v1/chat/completions", &question(CAPITAL, &more)).collect();
    assert_eq!(events.last(), Some(&Event::Done));
    let chunks = chunks(&events);
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, content(&whole));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let [.., last, usage] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert_eq!(last["sda"]["arm"], "plain");
    assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &whole["usage"]));
    for chunk in chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    assert_eq!(whole["object"], "chat.completion");
    let tokens = whole["usage"]["completion_tokens"].as_u64().unwrap();
    assert!((1..=12).contains(&tokens) && whole["usage"]["prompt_tokens"].as_u64().unwrap() > 10);
    assert_eq!(whole["timings"]["rows_per_token"], 1, "a plain answer costs one row");
    // The same beginning is there already.
    let again = server.chat(CAPITAL, &json!({ "max_tokens": 2 }));
    let cached = server.chat(CAPITAL, &json!({ "max_tokens": 2 }));
    assert_eq!(content(&again), content(&cached));
    assert!(cached["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() > 10, "{cached}");
}

#[test]
fn several_answers_are_those_of_several_seeds() {
    let server = Server::start(&["-np", "1"]);
    let more = |seed: u32, n: u32| {
        json!({ "max_tokens": 8, "seed": seed, "n": n, "temperature": 1.2,
        "cache_prompt": false })
    };
    let both = server.chat(CAPITAL, &more(5, 2));
    let [a, b] = [server.chat(CAPITAL, &more(5, 1)), server.chat(CAPITAL, &more(6, 1))];
    let texts: Vec<&Value> =
        both["choices"].as_array().unwrap().iter().map(|it| &it["message"]["content"]).collect();
    assert_eq!(texts, [content(&a), content(&b)]);
    assert_ne!(content(&a), content(&b));
    assert_eq!(both["choices"][1]["sda"]["seed"], 6);
    let count = |reply: &Value| reply["usage"]["completion_tokens"].as_u64().unwrap();
    assert_eq!(count(&both), count(&a) + count(&b));
    assert_eq!(both["usage"]["prompt_tokens"], a["usage"]["prompt_tokens"], "a prompt counts once");
    // An unknown seed is another each time.
    let any = json!({ "max_tokens": 8, "temperature": 1.5 });
    let seed = |reply: &Value| reply["sda"]["seed"].as_u64().unwrap();
    assert_ne!(seed(&server.chat(CAPITAL, &any)), seed(&server.chat(CAPITAL, &any)));
}

#[test]
fn a_stop_text_ends_the_answer_and_is_no_part_of_it() {
    let server = Server::start(&["-np", "1"]);
    let whole = server.chat(CAPITAL, &json!({ "max_tokens": 12 }));
    assert!(content(&whole).contains(" la"), "{whole}");
    for stop in [json!(" la"), json!(["nowhere", " la"])] {
        let stopped = server.chat(CAPITAL, &json!({ "max_tokens": 12, "stop": stop }));
        assert_eq!(Some(content(&stopped)), content(&whole).split(" la").next());
        assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    }
    // Which one it was, in llama-server's own reply, streamed or not.
    let native = json!({ "prompt": "The capital of France is", "n_predict": 8, "temperature": 0,
        "stop": ["nowhere", "is.", "ris"] });
    let whole = server.ask("/completion", &native);
    let streamed: Vec<Event> = server.stream("/completion", &native).collect();
    for last in [&whole, *chunks(&streamed).last().unwrap()] {
        assert_eq!((&last["stop_type"], &last["stopping_word"]), (&json!("word"), &json!("ris")), "{last}");
    }
    assert_eq!(whole["content"], " Pa");
    let short = server.chat(CAPITAL, &json!({ "max_completion_tokens": 2 }));
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 2);
}

#[test]
fn log_probabilities_are_those_of_the_distribution_that_the_token_is_drawn_from() {
    let server = Server::start(&["-np", "1"]);
    let logprobs = |guidance: f64| {
        let more = json!({ "max_tokens": 6, "logprobs": true, "top_logprobs": 3,
            "sda": { "instruction": "Answer like a pirate.", "guidance": guidance } });
        let reply = server.chat(CAPITAL, &more);
        let tokens = reply["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
        let text: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
        assert!(text.starts_with(content(&reply)), "{reply}");
        tokens
    };
    for guidance in [1.0, 3.0] {
        for token in logprobs(guidance) {
            let top = token["top_logprobs"].as_array().unwrap();
            // Drawn without chance, a token is the likeliest.
            assert_eq!((top.len(), &top[0]["token"]), (3, &token["token"]), "{token}");
            assert_eq!(top[0]["logprob"], token["logprob"]);
            let bytes: Vec<u8> = serde_json::from_value(token["bytes"].clone()).unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), token["token"].as_str().unwrap());
        }
    }
    assert_ne!(logprobs(1.0)[0]["logprob"], logprobs(3.0)[0]["logprob"], "steered ones are others");
    let older =
        json!({ "prompt": "The capital of France is", "max_tokens": 3, "temperature": 0, "logprobs": 2 });
    let older = server.ask("/v1/completions", &older);
    let logprobs = &older["choices"][0]["logprobs"];
    assert_eq!(logprobs["tokens"][0], " Paris");
    assert_eq!(logprobs["top_logprobs"][0][" Paris"], logprobs["token_logprobs"][0]);
    assert_eq!(logprobs["text_offset"], json!([0, 6, 7]));
    let native =
        json!({ "prompt": "The capital of France is", "n_predict": 1, "temperature": 0, "n_probs": 2 });
    let native = server.ask("/completion", &native);
    assert_eq!(native["completion_probabilities"][0]["token"], " Paris");
}

#[test]
fn prompts_are_texts_or_tokens_one_or_several() {
    let server = Server::start(&["-np", "2"]);
    let tokens = server.ask("/tokenize", &json!({ "content": "The capital of France is" }))["tokens"].clone();
    assert_eq!(
        server.ask("/detokenize", &json!({ "tokens": tokens }))["content"],
        "The capital of France is"
    );
    let pieces = server.ask("/tokenize", &json!({ "content": "héé", "with_pieces": true }));
    let bytes: Vec<u8> = (pieces["tokens"].as_array().unwrap().iter())
        .flat_map(|token| match &token["piece"] {
            Value::String(text) => text.clone().into_bytes(),
            bytes => serde_json::from_value(bytes.clone()).unwrap(),
        })
        .collect();
    assert_eq!(bytes, "héé".as_bytes());
    let body = |prompt: Value| json!({ "prompt": prompt, "max_tokens": 2, "temperature": 0 });
    let one = server.ask("/v1/completions", &body("The capital of France is".into()));
    assert_eq!(one["choices"][0]["text"], " Paris.");
    let same = server.ask("/v1/completions", &body(tokens.clone()));
    assert_eq!(same["choices"][0]["text"], " Paris.");
    let two = server.ask("/v1/completions", &body(json!(["Two and two is", tokens])));
    assert_eq!(two["choices"][1]["text"], " Paris.");
    assert_eq!(two["choices"].as_array().unwrap().len(), 2);
    let native = server.ask(
        "/completion",
        &json!({ "prompt": "The capital of France is", "n_predict": 2,
        "temperature": 0, "return_tokens": true }),
    );
    assert_eq!((&native["content"], &native["stop_type"]), (&json!(" Paris."), &json!("limit")));
    assert_eq!(native["tokens"].as_array().unwrap().len(), 2);
    let list = server.ask("/completion", &json!({ "prompt": ["The capital of France is"], "n_predict": 1 }));
    assert!(list.is_array());
    let streamed: Vec<Event> = server
        .stream(
            "/completion",
            &json!({ "prompt": "The capital of France is", "n_predict": 2,
            "temperature": 0, "return_progress": true }),
        )
        .collect();
    let text: String = chunks(&streamed).iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
    assert_eq!(text, " Paris.");
    assert!(!streamed.contains(&Event::Done), "as llama-server");
    assert!(chunks(&streamed).iter().any(|chunk| chunk["prompt_progress"]["processed"] == 5), "{streamed:?}");
}

#[test]
fn a_conversation_is_read_as_its_messages_say() {
    let server = Server::start(&["-np", "1"]);
    let prompt = |messages: Value, more: Value| {
        let mut body = json!({ "messages": messages });
        if let Value::Object(more) = more {
            body.as_object_mut().unwrap().extend(more);
        }
        server.ask("/apply-template", &body)
    };
    let talk = json!([
        { "role": "system", "content": "S1" },
        { "role": "developer", "content": [{ "type": "text", "text": "S" }, { "type": "text", "text": "2" }] },
        { "role": "assistant", "content": "Welcome" },
        { "role": "user", "content": "Q1" },
        { "role": "assistant", "content": "A1" },
        { "role": "user", "content": "Q2" },
        { "role": "user", "content": "Q3" },
    ]);
    let said = prompt(talk, json!({ "sda": { "instruction": "I", "placement": "before" } }));
    let (prompt_text, plain) = (said["prompt"].as_str().unwrap(), said["sda"]["plain"].as_str().unwrap());
    let at = |part: &str| prompt_text.rfind(part).unwrap_or_else(|| panic!("no {part} in {prompt_text}"));
    let order = ["S1\n\nS2", "Welcome", "I\n\nQ1", "A1", "I\n\nQ2\n\nQ3", "<|im_start|>assistant"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{prompt_text}");
    assert!(!plain.contains("I\n\n") && plain.contains("Q2\n\nQ3"), "{plain}");
    let kwargs = json!({ "chat_template_kwargs": { "unused": true } });
    assert!(prompt(json!([{ "role": "user", "content": "Q" }]), kwargs)["prompt"].is_string());
}

#[test]
fn an_answer_keeps_to_a_grammar_a_schema_and_a_bias() {
    let server = Server::start(&["-np", "1"]);
    let ask = |more: Value| {
        let reply = server.chat(CAPITAL, &more);
        content(&reply).to_owned()
    };
    let steering = json!({ "instruction": "Answer like a pirate.", "guidance": 2 });
    let grammar = json!({ "grammar": "root ::= \"yes\" | \"no\"", "max_tokens": 8, "sda": steering });
    assert!(["yes", "no"].contains(&ask(grammar).as_str()));
    // The members in the order of the schema.
    let schema = json!({ "type": "object", "required": ["zip", "city"], "properties":
        { "city": { "enum": ["Paris", "London"] }, "zip": { "enum": [1, 2] } } });
    let text = schema.to_string();
    let reordered = text.replace(
        r#""properties":{"city":{"enum":["Paris","London"]},"zip":{"enum":[1,2]}}"#,
        r#""properties":{"zip":{"enum":[1,2]},"city":{"enum":["Paris","London"]}}"#,
    );
    assert_ne!(text, reordered);
    let format = format!(r#"{{"type":"json_schema","json_schema":{{"name":"x","schema":{reordered}}}}}"#);
    let body = question(CAPITAL, &json!({ "max_tokens": 40 })).to_string();
    let body = body.replacen('{', &format!(r#"{{"response_format":{format},"#), 1);
    let reply = server.post_with("/v1/chat/completions", &body, &[]).json();
    let answer = content(&reply);
    let read: Value = serde_json::from_str(answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert!(read["city"].is_string() && answer.find("zip") < answer.find("city"), "{answer}");
    let object = ask(json!({ "response_format": { "type": "json_object" }, "max_tokens": 4 }));
    assert!(object.trim_start().starts_with('{'), "{object}");
    let paris = json!({ "prompt": "The capital of France is", "n_predict": 1, "temperature": 0 });
    let biased = |bias: Value| {
        let mut body = paris.clone();
        body["logit_bias"] = bias;
        server.ask("/completion", &body)["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(biased(json!([])), " Paris");
    assert_ne!(biased(json!([[" Paris", false]])), " Paris");
    assert_eq!(biased(json!({ " London": 50 })), " London");
}

#[test]
fn an_answer_does_not_end_where_the_tokens_that_end_it_are_banned() {
    let server = Server::start(&["-np", "1"]);
    let ask = |more: Value| {
        let mut body = json!({ "max_tokens": 24 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = server.chat("What is 1+1?", &body);
        let choice = &reply["choices"][0];
        (content(&reply).to_owned(), choice["finish_reason"].as_str().unwrap().to_owned())
    };
    let ended = ask(json!({}));
    assert_eq!(ended.1, "stop", "{ended:?}");
    let id = |text: &str| server.ask("/tokenize", &json!({ "content": text }))["tokens"][0].clone();
    let by_number = json!([[id("<|im_end|>"), false], [id("<|endoftext|>"), false]]);
    for more in [
        json!({ "ignore_eos": true }),
        json!({ "logit_bias": by_number }),
        json!({ "logit_bias": [["<|im_end|>", false], ["<|endoftext|>", false]] }),
        json!({ "logit_bias": { "<|im_end|>": -1000, "<|endoftext|>": -1000 } }),
    ] {
        let longer = ask(more.clone());
        assert_eq!(longer.1, "length", "{more}: {longer:?}");
        assert!(longer.0.starts_with(&ended.0), "{longer:?} after {ended:?}");
        let steered =
            json!({ "sda": { "instruction": "Be brief.", "guidance": 2 }, "temperature": 1, "seed": 1 });
        let mut steered = steered;
        steered.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(ask(steered).1, "length", "{more}");
    }
}
