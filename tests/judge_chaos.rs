//! One hundred scores through every fault at once: none is lost, none is made up, none steers that
//! failed.
#![cfg(feature = "judge")]

mod fault_server;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fault_server::{FaultServer, Reply, chat, completion, json_reply, status};
use sda::judge::{
    Cache, Client, JudgeRequest, OnFailure, Resolution, RetryPolicy, Settings, resolve, score_each,
};
use sda::{Error, judge::Verdict};
use serde_json::json;

const COUNT: usize = 100;

/// The one right score of draft `n`, of two or three digits, so that a cut-off reply shows another.
fn truth(n: usize) -> u32 {
    (n * 37 % 91 + 10) as u32
}

type Fault = (&'static str, fn(u32) -> Reply);

/// The faults, by name. Each gets the right score, so that a careless client could pick it, or a part
/// of it, out of a reply that must not count.
const FAULTS: [Fault; 28] = [
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

fn good(n: u32) -> Reply {
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
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The fault of each draft's first attempt: all of them in equal numbers and some drafts without
/// one, in a seeded random order.
fn shuffled() -> Vec<Option<usize>> {
    let mut order: Vec<Option<usize>> =
        (0..COUNT).map(|n| (n < COUNT / FAULTS.len() * FAULTS.len()).then_some(n % FAULTS.len())).collect();
    for n in (1..COUNT).rev() {
        order.swap(n, mix(n as u64) as usize % (n + 1));
    }
    order
}

type Outcomes = BTreeMap<usize, Result<Verdict, Error>>;

fn score_all(client: &Client, numbers: impl Iterator<Item = usize> + Send) -> Outcomes {
    let drafts = numbers.map(|n| (n, format!("draft {n} of the chaos")));
    let ask = |item: &(usize, String), cancel: &dyn Fn() -> bool| {
        let (query, instruction) = ("q", "be brief");
        client.score(&JudgeRequest { query, draft: &item.1, instruction, dimension: None }, cancel)
    };
    let mut outcomes = Outcomes::new();
    let done = |item: (usize, String), result| {
        assert!(outcomes.insert(item.0, result).is_none(), "{} came twice", item.0);
        Ok(())
    };
    score_each(drafts, 8, ask, &|| false, done).unwrap();
    outcomes
}

#[test]
fn a_hundred_scores_through_every_fault_lose_nothing_and_invent_nothing() {
    let faulty = Arc::new(AtomicBool::new(true));
    let used = Arc::new(Mutex::new(HashMap::<&str, usize>::new()));
    let tries = Mutex::new(HashMap::<usize, u64>::new());
    let (faulty_, used_, order) = (faulty.clone(), used.clone(), shuffled());
    let server = FaultServer::start(move |request, _| {
        let prompt = request.prompt();
        let number = prompt.split("draft ").nth(1).unwrap().split(' ').next().unwrap();
        let n: usize = number.parse().unwrap();
        let attempt = {
            let mut tries = tries.lock().unwrap();
            let attempt = tries.entry(n).or_default();
            *attempt += 1;
            *attempt
        };
        // The order depends on the draft and the attempt, not on how the threads interleave.
        let fault = match attempt {
            1 => order[n],
            _ => Some(mix(n as u64 * 1000 + attempt) as usize % (2 * FAULTS.len())),
        };
        let fault = fault.and_then(|f| FAULTS.get(f)).filter(|_| faulty_.load(Ordering::SeqCst));
        let Some((name, fault)) = fault else { return good(truth(n)) };
        *used_.lock().unwrap().entry(name).or_default() += 1;
        fault(truth(n))
    });
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(server.url(), "m");
    settings.timeout = Duration::from_millis(400);
    settings.max_response_bytes = 1 << 16;
    settings.retry = RetryPolicy {
        max_retries: 3,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(20),
        retry_after_cap: Duration::from_millis(100),
    };
    let cached = |settings| Client::new(settings).unwrap().with_cache(Cache::new(dir.path()));
    let client = cached(settings.clone());

    let first = score_all(&client, 0..COUNT);
    assert_eq!(first.len(), COUNT, "every draft has an outcome");
    for (name, _) in FAULTS {
        assert!(used.lock().unwrap().contains_key(name), "{name} was never injected");
    }
    let failed: Vec<usize> = first.iter().filter(|(_, r)| r.is_err()).map(|(n, _)| *n).collect();
    assert!((20..=80).contains(&failed.len()), "{} failed", failed.len());
    for (n, result) in &first {
        for policy in [OnFailure::Error, OnFailure::Plain, OnFailure::Instructed] {
            match (resolve(result.clone(), policy), policy) {
                (Resolution::Score(score), _) => {
                    assert!(result.is_ok(), "a failure became a score");
                    assert_eq!(score, truth(*n) as f32, "draft {n}");
                }
                (Resolution::Err(e), OnFailure::Error)
                | (Resolution::PlainOnly(e), OnFailure::Plain)
                | (Resolution::InstructedOnly(e), OnFailure::Instructed) => {
                    assert!(matches!(&e, Error::Judge { reason } if reason.contains("attempt")), "{e}");
                    assert_eq!(Err(e), *result);
                }
                (other, _) => panic!("draft {n} under {policy}: {other:?}"),
            }
        }
    }

    // The server recovers; what failed is asked again and what succeeded comes from the cache.
    faulty.store(false, Ordering::SeqCst);
    settings.timeout = Duration::from_secs(20);
    let client = cached(settings);
    let before = server.count();
    let second = score_all(&client, 0..COUNT);
    assert_eq!(server.count() - before, failed.len());
    for (n, result) in &second {
        let verdict = result.as_ref().unwrap();
        assert_eq!(verdict.score, truth(*n) as f32);
        assert_eq!(verdict.cached, !failed.contains(n));
    }
}
