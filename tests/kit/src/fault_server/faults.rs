//! Every way in which a judge's server can fail, and a seeded order to bring them in.

use std::time::Duration;

use serde_json::json;

use super::{Reply, chat, completion, json_reply, status};

/// The one right score of draft `n`, of two or three digits, so that a cut-off reply shows another.
pub fn truth(n: usize) -> u32 {
    (n * 37 % 91 + 10) as u32
}

pub type Fault = (&'static str, fn(u32) -> Reply);

/// The faults, by name. Each gets the right score, so that a careless client could pick it, or a part
/// of it, out of a reply that must not count.
pub const FAULTS: [Fault; 28] = [
    ("reset", |_| Reply::Reset),
    ("reset in the body", |n| Reply::ResetMidBody(body(n))),
    ("close in the body", |n| Reply::CloseMidBody(body(n))),
    ("body cut after the first digit", |n| Reply::Raw(cut_after_digit(n))),
    ("no reply", |_| Reply::Raw(vec![])),
    ("not HTTP", |n| Reply::Raw(format!("SCORE: {n}\r\n\r\n").into_bytes())),
    ("too slow", |n| Reply::After(Duration::from_secs(30), Box::new(good(n)))),
    ("dripping", |_| Reply::Drip(Duration::from_millis(20))),
    ("endless", |_| Reply::Endless { chunked: false }),
    ("endless chunks", |_| Reply::Endless { chunked: true }),
    ("429", |n| Reply::Http { status: 429, headers: vec![("Retry-After", "0".into())], body: body(n) }),
    ("500", |n| Reply::Http { status: 500, headers: vec![], body: body(n) }),
    ("503", |_| status(503, "loading")),
    ("400", |n| status(400, &format!("SCORE: {n}"))),
    ("401", |_| status(401, "no key")),
    ("404", |n| Reply::Http { status: 404, headers: vec![], body: body(n) }),
    ("redirect", |_| Reply::Http {
        status: 307,
        headers: vec![("Location", "/elsewhere".into())],
        body: vec![],
    }),
    ("not UTF-8", |n| Reply::Http { status: 200, headers: vec![], body: [&body(n)[..], b"\xff"].concat() }),
    ("a page", |n| Reply::Http { status: 200, headers: vec![], body: format!("<p>{n}</p>").into_bytes() }),
    ("no content", |_| json_reply(200, &completion(json!(null), "stop"))),
    ("empty content", |_| chat("")),
    ("token limit", |n| json_reply(200, &completion(json!(format!("{{\"score\": {n}}}")), "length"))),
    ("refusal", |_| chat("I will not rate this.")),
    ("out of range", |n| chat(&format!("{{\"score\": {}}}", n + 1000))),
    ("out of a hundred", |n| chat(&format!("SCORE: {n}/100"))),
    ("two scores", |n| chat(&format!("SCORE: {}\nSCORE: {n}", n - 1))),
    ("prose", |n| chat(&format!("I would give it {n}."))),
    ("an error in a 200", |_| json_reply(200, &json!({ "error": { "message": "overloaded" } }))),
];

pub fn good(n: u32) -> Reply {
    chat(&format!("{{\"score\": {n}}}"))
}

fn body(n: u32) -> Vec<u8> {
    completion(json!(format!("{{\"score\": {n}}}")), "stop").to_string().into_bytes()
}

/// An HTTP/1.0 reply, which ends where the connection ends: here in the middle of the score.
fn cut_after_digit(n: u32) -> Vec<u8> {
    let body = String::from_utf8(body(n)).unwrap();
    let at = body.find(&format!(": {n}}}")).unwrap();
    format!("HTTP/1.0 200 OK\r\n\r\n{}", &body[..at + 3]).into_bytes()
}

/// Steele and others' SplitMix64, for a seeded order of faults.
pub fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The fault of one attempt at draft `n`: the first attempts go through all faults in turn, later ones have
/// a fault in half of the cases. It does not depend on how threads interleave.
pub fn fault(n: usize, attempt: usize) -> Option<&'static Fault> {
    let index = match attempt {
        1 => n % (FAULTS.len() + 2),
        _ => mix((n * 1000 + attempt) as u64) as usize % (2 * FAULTS.len()),
    };
    FAULTS.get(index)
}
