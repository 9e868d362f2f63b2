//! Wrong requests: the field is named, and the server answers the next one.

use serde_json::{Value, json};

use super::Server;

#[test]
fn a_wrong_value_is_refused_by_the_name_of_its_field() {
    let server = Server::start(&["-np", "1", "--queue", "2"]);
    let chat = |more: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let role = |role: &str| json!({ "messages": [{ "role": role, "content": "x" }] });
    for (body, param, why) in [
        (json!({}), "messages", "messages is missing"),
        (json!({ "messages": [] }), "messages", "0 messages, must be at least 1"),
        (json!({ "messages": "Hi" }), "messages", "messages is \"Hi\", must be a list"),
        (json!({ "messages": [{ "content": "x" }] }), "messages[0].role", "messages[0]: role is missing"),
        (role("tool"), "messages[0].role", "tool, must be system, developer, user or assistant"),
        (role("assistant"), "messages[0].role", "must be user: the last message"),
        (json!({ "messages": [{ "role": "user", "content": " " }] }), "messages[0].content", "empty"),
        (
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "system", "content": "b" }] }),
            "messages[1].role",
            "a system message begins the talk",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }] }),
            "messages[0].content[0].type",
            "image_url, must be text",
        ),
        (chat(json!({ "temperature": "hot" })), "temperature", "temperature is \"hot\", must be a number"),
        (chat(json!({ "temperature": 1e300 })), "temperature", "number out of range"),
        (chat(json!({ "top_p": 1.5 })), "top_p", "top_p is 1.5, must be at least 0 and at most 1"),
        (chat(json!({ "top_k": -2 })), "top_k", "top_k is -2, must be at least 0"),
        (chat(json!({ "min_p": -1 })), "min_p", "at least 0 and at most 1"),
        (chat(json!({ "repeat_penalty": 0 })), "repeat_penalty", "greater than 0"),
        (chat(json!({ "repeat_last_n": -2 })), "repeat_last_n", "at least -1"),
        (chat(json!({ "seed": -2 })), "seed", "seed is -2, must be at least -1 and at most 4294967295"),
        (chat(json!({ "seed": 1.5 })), "seed", "seed is 1.5, must be a whole number"),
        (chat(json!({ "max_tokens": -2 })), "max_tokens", "at least -1"),
        (chat(json!({ "n": 0 })), "n", "n is 0, must be at least 1 and at most 128"),
        (chat(json!({ "n": 1000 })), "n", "n is 1000, must be at least 1 and at most 128"),
        (chat(json!({ "n": 4 })), "n", "must be at most 3 in all, the slots and the queue"),
        (chat(json!({ "stop": 5 })), "stop", "must be a text or a list of texts"),
        (chat(json!({ "stop": ["a", ""] })), "stop", "a text of 0 bytes"),
        (chat(json!({ "stop": vec!["x"; 100] })), "stop", "stop is 100 texts, must be at most 64 texts"),
        (chat(json!({ "stream": "yes" })), "stream", "stream is \"yes\", must be true or false"),
        (chat(json!({ "top_logprobs": 2 })), "logprobs", "true where top_logprobs is given"),
        (chat(json!({ "logprobs": true, "top_logprobs": 21 })), "top_logprobs", "at most 20"),
        (chat(json!({ "guidance_scale": 1e300 })), "guidance_scale", "number out of range"),
        (chat(json!({ "guidance_scale": 2, "cfg_scale": 3 })), "cfg_scale", "the same as guidance_scale"),
        (chat(json!({ "tools": [{}] })), "tools", "must be empty: nothing else is supported"),
        (chat(json!({ "dry_base": 0.8 })), "dry_base", "dry_base is 0.8, must be finite and at least 1"),
        (chat(json!({ "mirostat": 3 })), "mirostat", "mirostat is 3, must be 0, 1 or 2"),
        (chat(json!({ "typical_p": 2 })), "typical_p", "typical_p is 2, must be at least 0 and at most 1"),
        (chat(json!({ "samplers": ["top_k", "infill"] })), "samplers", "samplers is \"infill\", must be of"),
        (chat(json!({ "samplers": "kz" })), "samplers", "samplers is \"z\", must be of"),
        (chat(json!({ "samplers": 5 })), "samplers", "must be a list of names or a text of letters"),
        (chat(json!({ "dry_sequence_breakers": "a" })), "dry_sequence_breakers", "must be a list"),
        (
            chat(json!({ "ignore_eos": true, "grammar": "root ::= \"a\"" })),
            "ignore_eos",
            "must be false with a grammar",
        ),
        (chat(json!({ "grammar": "root ::= (" })), "grammar", "grammar is"),
        (chat(json!({ "json_schema": { "type": "nothing" } })), "json_schema", "json_schema is"),
        (
            chat(json!({ "grammar": "root ::= \"a\"", "json_schema": {} })),
            "json_schema",
            "given beside grammar",
        ),
        (chat(json!({ "response_format": "json" })), "response_format", "is \"json\", must be an object"),
        (chat(json!({ "stream_options": "x" })), "stream_options", "must be an object"),
        (chat(json!({ "response_format": { "type": "xml" } })), "response_format.type", "xml, must be text"),
        (
            chat(json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x" } } })),
            "response_format.json_schema.schema",
            "missing",
        ),
        (
            chat(json!({ "response_format": { "type": "json_object", "schema": { "type": "nothing" } } })),
            "response_format",
            "response_format is",
        ),
        (chat(json!({ "logit_bias": 3 })), "logit_bias", "logit_bias is 3"),
        (chat(json!({ "logit_bias": [[1, 2, 3]] })), "logit_bias", "a list of pairs"),
        (chat(json!({ "logit_bias": { "999999": 1 } })), "logit_bias", "from 0 to 49151"),
        (chat(json!({ "ignore_eos": 1 })), "ignore_eos", "ignore_eos is 1, must be true or false"),
        (chat(json!({ "reasoning_format": "x" })), "reasoning_format", "auto, deepseek or none"),
        (chat(json!({ "chat_template_kwargs": 3 })), "chat_template_kwargs", "is 3, must be"),
        (
            chat(json!({ "chat_template_kwargs": { "messages": [] } })),
            "chat_template_kwargs",
            "without messages",
        ),
        (chat(json!({ "sda": 5 })), "sda", "sda is 5, must be an object"),
        (chat(json!({ "sda": [] })), "sda", "sda is a list, must be an object"),
        (chat(json!({ "sda": { "guidance": "x" } })), "sda.guidance", "sda.guidance is \"x\""),
        (chat(json!({ "sda": { "preset": "kindness" } })), "sda.preset", "empathy"),
        (chat(json!({ "sda": { "preset": "empathy", "instruction": "x" } })), "sda.preset", "one of the two"),
        (chat(json!({ "sda": { "placement": "left" } })), "sda.placement", "after, before or system"),
        (chat(json!({ "sda": { "guidance": 2, "score": 3 } })), "sda.score", "the only strength"),
        (chat(json!({ "sda": { "score": 0, "instruction": "x" } })), "sda.score", "greater than 0"),
        (chat(json!({ "sda": { "k": 0, "guidance": 2, "instruction": "x" } })), "sda.k", "another number"),
        (chat(json!({ "sda": { "sigma": 0 } })), "sda.sigma", "sda.sigma is 0, must be greater than 0"),
        (chat(json!({ "sda": { "t_min": -1 } })), "sda.t_min", "at least 0"),
        (chat(json!({ "sda": { "max_kl": "none" } })), "sda.max_kl", "a number or \"inf\""),
        (chat(json!({ "sda": { "amplify": "x" } })), "sda.amplify", "sigmoid"),
        (chat(json!({ "sda": { "judge": "http://evil" } })), "sda.judge", "true, false or \"local\""),
        (chat(json!({ "sda": { "judge": true, "instruction": "x" } })), "sda.judge", "(--judge)"),
        (chat(json!({ "sda": { "trace_top": 101 } })), "sda.trace_top", "at most 100"),
        (
            chat(json!({ "sda": { "instruction": ["a", "b"], "guidance": 2 } })),
            "sda.instruction",
            "--max-instructions",
        ),
        (chat(json!({ "sda": { "instruction": [] } })), "sda.instruction", "a text, or a list"),
    ] {
        let reply = server.post("/v1/chat/completions", &body);
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["param"]), (400, &json!(param)), "{body}: {}", reply.body);
        assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request_error"), &json!(400)));
        assert!(error["message"].as_str().unwrap().contains(why), "{body}: {}", reply.body);
    }
    for (body, param, why) in [
        (json!({}), "prompt", "prompt is missing"),
        (json!({ "prompt": "" }), "prompt", "empty"),
        (json!({ "prompt": [] }), "prompt", "must be"),
        (json!({ "prompt": ["a", ""] }), "prompt[1]", "empty"),
        (json!({ "prompt": [1, 999_999] }), "prompt", "less than 49152"),
        (json!({ "prompt": [1, 2], "sda": { "instruction": "x" } }), "prompt", "a text where there is"),
        (json!({ "prompt": "x", "n_probs": 101 }), "n_probs", "at most 100"),
        (json!({ "prompt": "x", "echo": true }), "echo", "must be false"),
    ] {
        let reply = server.post("/completion", &body);
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["param"]), (400, &json!(param)), "{body}: {}", reply.body);
        assert!(error["message"].as_str().unwrap().contains(why), "{body}: {}", reply.body);
    }
    for (body, why) in [("", "not a JSON object"), ("[1]", "not a JSON object"), ("{\"messages\":", "EOF")] {
        let reply = server.post_with("/v1/chat/completions", body, &[]);
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(why), "{}", reply.body);
    }
    let long = json!({ "messages": [{ "role": "user", "content": "a ".repeat(3000) }] });
    let reply = server.post("/v1/chat/completions", &long);
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (400, &json!("exceed_context_size_error")));
    // What nobody knows is passed over, and so is what is off.
    let welcome =
        chat(json!({ "future_field": { "a": [1] }, "model": "gpt-4", "typical_p": 1, "mirostat": 0,
        "dry_multiplier": 0.0, "xtc_probability": 0, "tools": [], "tool_choice": "none", "logit_bias": {},
        "grammar": "", "response_format": { "type": "text" }, "ignore_eos": false, "guidance_scale": 1,
        "negative_prompt": "", "samplers": ["top_k"], "user": "me", "top_k": -1, "temperature": null,
        "sda": { "guidance": null, "later": 1 } }));
    assert_eq!(server.post("/v1/chat/completions", &welcome).status, 200);
    let none = chat(json!({ "sda": null, "stop": null, "n": null, "seed": null, "negative_prompt": null,
        "guidance_scale": null, "response_format": null, "stream_options": null }));
    assert_eq!(server.post("/v1/chat/completions", &none).status, 200);
}

#[test]
fn an_unknown_path_or_method_is_an_error_of_the_same_form() {
    let server = Server::start(&["-np", "1"]);
    let reply = server.get("/v1/unknown");
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("not_found_error")));
    let reply = server.get("/v1/chat/completions");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (405, &json!(405)));
    assert_eq!(server.post("/props", &json!({})).status, 501);
}
