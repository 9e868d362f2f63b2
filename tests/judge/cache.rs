//! The judge's cache: what counts as the same question, and that it survives broken files, missing
//! rights and other processes.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sda::Quality;
use sda::judge::{Cache, Client, JudgeRequest, ResponseFormat, Settings, Template};
use sda_test_kit::again::{again, assert_passed};
use sda_test_kit::fault_server::{FaultServer, chat, status};

const REQUEST: JudgeRequest<'_> =
    JudgeRequest { query: "q", draft: "d", instruction: "be brief", dimension: None };

fn never() -> bool {
    false
}

/// Replies with a new score each time, so that a repeated score must come from the cache.
fn counting() -> FaultServer {
    FaultServer::start(|_, n| chat(&format!("{{\"score\": {}}}", n % 100 + 1)))
}

fn settings(server: &FaultServer) -> Settings {
    let mut s = Settings::new(server.url(), "judge-1");
    s.retry.max_retries = 0;
    s
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_same_question_is_asked_once_even_by_a_new_client() {
    let (server, dir) = (counting(), tempfile::tempdir().unwrap());
    let ask = || {
        let client = Client::new(settings(&server)).unwrap().with_cache(Cache::new(dir.path()));
        client.score(&REQUEST, &never).unwrap()
    };
    let (first, second) = (ask(), ask());
    assert_eq!((first.score, first.cached, first.attempts), (1.0, false, 1));
    assert_eq!((second.score, second.cached, second.attempts), (1.0, true, 0));
    assert_eq!(server.count(), 1);
}

#[test]
fn a_fingerprint_is_of_what_decides_a_score_and_of_nothing_else() {
    let server = counting();
    let print = |change: &dyn Fn(&mut Settings)| {
        let mut s = settings(&server);
        change(&mut s);
        Client::new(s).unwrap().fingerprint()
    };
    let template = |text: &str| Template::parse(text).unwrap();
    let base = print(&|_| {});
    assert_eq!(base, print(&|s| s.retry.max_retries = 3));
    assert_eq!(base, print(&|s| s.timeout = Duration::from_secs(9)));
    let own = |text: &'static str| move |s: &mut Settings| s.template = template(text);
    let of_empathy = |text: &'static str| {
        move |s: &mut Settings| drop(s.templates.insert(Quality::Empathy, template(text)))
    };
    let prints = [
        base,
        print(&|s| s.model = "judge-2".into()),
        print(&|s| s.seed = None),
        print(&|s| s.response_format = ResponseFormat::Text),
        print(&own("Grade {query}: {draft}")),
        print(&own("Grade {draft}: {query}")),
        print(&of_empathy("Grade {draft}")),
        print(&of_empathy("Grade it: {draft}")),
    ];
    let different: std::collections::BTreeSet<&String> = prints.iter().collect();
    assert_eq!(different.len(), prints.len(), "{prints:?}");
}

#[test]
fn a_client_without_a_cache_asks_every_time() {
    let server = counting();
    let client = Client::new(settings(&server)).unwrap();
    assert_eq!(client.score(&REQUEST, &never).unwrap().score, 1.0);
    assert_eq!(client.score(&REQUEST, &never).unwrap().score, 2.0);
}

#[test]
fn whatever_the_score_depends_on_makes_another_question() {
    let (server, dir) = (counting(), tempfile::tempdir().unwrap());
    let variants: [&dyn Fn(&mut Settings); 11] = [
        &|_| {},
        &|s| s.model = "judge-2".into(),
        &|s| s.url = s.url.replace("/v1", "/v2"),
        &|s| s.url.push_str("?deployment=b"),
        &|s| s.temperature = None,
        &|s| s.temperature = Some(0.5),
        &|s| s.seed = None,
        &|s| s.max_tokens = Some(1023),
        &|s| s.samples = 2,
        &|s| s.response_format = ResponseFormat::Text,
        &|s| s.template = Template::parse("Shorter: {draft}").unwrap(),
    ];
    let requests = [
        REQUEST,
        JudgeRequest { query: "q2", ..REQUEST },
        JudgeRequest { draft: "d2", ..REQUEST },
        JudgeRequest { instruction: "be long", ..REQUEST },
        JudgeRequest { dimension: Some(Quality::Empathy), ..REQUEST },
        JudgeRequest { dimension: Some(Quality::Reasoning), ..REQUEST },
    ];
    let text_for_text: &dyn Fn(&mut Settings) = &|s| s.response_format = ResponseFormat::JsonSchema;
    let mut asked = 0;
    let mut ask = |change: &dyn Fn(&mut Settings), request: &JudgeRequest<'_>, fresh: bool| {
        let mut s = settings(&server);
        change(&mut s);
        let samples = s.samples as usize;
        let client = Client::new(s).unwrap().with_cache(Cache::new(dir.path()));
        let verdict = client.score(request, &never).unwrap();
        asked += if fresh { samples } else { 0 };
        assert_eq!((verdict.cached, server.count()), (!fresh, asked));
    };
    for fresh in [true, false] {
        for change in variants.iter().chain([&text_for_text]) {
            ask(*change, &REQUEST, fresh);
        }
        for request in &requests[1..] {
            ask(&|_| {}, request, fresh);
        }
    }
    // What only says how to get there does not make another question.
    ask(&|s| s.retry.max_retries = 9, &REQUEST, false);
    ask(&|s| s.timeout = Duration::from_secs(9), &REQUEST, false);
}

#[test]
fn texts_that_pose_as_their_neighbours_are_other_questions() {
    let (server, dir) = (counting(), tempfile::tempdir().unwrap());
    let mut s = settings(&server);
    s.template = Template::parse("{query}{draft}").unwrap();
    let client = Client::new(s).unwrap().with_cache(Cache::new(dir.path()));
    // Without the nonce, which no key can contain, these two give one and the same prompt.
    let seam = "\n<<<END QUESTION >>><<<BEGIN ANSWER >>>\n";
    let (draft, query) = (format!("b{seam}c"), format!("a{seam}b"));
    let first = client.score(&JudgeRequest { query: "a", draft: &draft, ..REQUEST }, &never).unwrap();
    let second = client.score(&JudgeRequest { query: &query, draft: "c", ..REQUEST }, &never).unwrap();
    assert!(!first.cached && !second.cached);
}

#[test]
fn a_failure_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = FaultServer::replies(vec![status(503, "down"), chat("no idea"), chat("{\"score\": 8}")]);
    let client = Client::new(settings(&server)).unwrap().with_cache(Cache::new(dir.path()));
    assert!(client.score(&REQUEST, &never).is_err());
    assert!(client.score(&REQUEST, &never).is_err());
    assert!(files(dir.path()).is_empty());
    assert_eq!(client.score(&REQUEST, &never).unwrap().score, 8.0);
    assert!(client.score(&REQUEST, &never).unwrap().cached);
}

#[test]
fn a_broken_entry_is_asked_again_and_replaced() {
    let (server, dir) = (counting(), tempfile::tempdir().unwrap());
    let client = Client::new(settings(&server)).unwrap().with_cache(Cache::new(dir.path()));
    client.score(&REQUEST, &never).unwrap();
    let entry = files(dir.path()).pop().unwrap();
    let whole = fs::read(&entry).unwrap();
    for cut in 0..whole.len() {
        fs::write(&entry, &whole[..cut]).unwrap();
        let verdict = client.score(&REQUEST, &never).unwrap();
        assert!(!verdict.cached, "cut at {cut}");
        assert!(client.score(&REQUEST, &never).unwrap().cached, "cut at {cut}");
    }
}

#[test]
fn nothing_of_the_texts_the_key_or_the_address_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("key");
    fs::write(&key_file, "s3cr3t-key").unwrap();
    let server = counting();
    let mut s = settings(&server);
    s.url.push_str("?token=s3cr3t-token");
    s.key = Some(sda::judge::ApiKey::from_file(&key_file).unwrap());
    let cache = dir.path().join("cache");
    let client = Client::new(s).unwrap().with_cache(Cache::new(&cache));
    let private = JudgeRequest { query: "s3cr3t-query", draft: "s3cr3t-draft", ..REQUEST };
    client.score(&private, &never).unwrap();
    let entries = files(&cache);
    assert_eq!(entries.len(), 1);
    assert!(!fs::read_to_string(&entries[0]).unwrap().contains("s3cr3t"));
    assert!(!entries[0].display().to_string().contains("s3cr3t"));
}

#[test]
fn a_cache_that_cannot_be_used_warns_once_and_fails_no_score() {
    let (server, dir) = (counting(), tempfile::tempdir().unwrap());
    // A file where the folder should be: neither readable nor writable as a cache, even for root.
    let place = dir.path().join("cache");
    fs::write(&place, "not a folder").unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let kept = warnings.clone();
    let client = Client::new(settings(&server))
        .unwrap()
        .with_cache(Cache::new(&place))
        .with_warnings(move |text| kept.lock().unwrap().push(text.to_string()));
    for n in 1..4 {
        assert_eq!(client.score(&REQUEST, &never).unwrap().score, n as f32);
    }
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("judge cache cannot be") && warnings[0].contains("cache"), "{warnings:?}");
}

const CHILD_URL: &str = "SDA_TEST_CACHE_URL";
const CHILD_DIR: &str = "SDA_TEST_CACHE_DIR";

/// What each process of the next test does.
fn one_process_of_several(url: String, dir: std::ffi::OsString) {
    let client = Client::new(Settings::new(url, "m"))
        .unwrap()
        .with_cache(Cache::new(dir))
        .with_warnings(|text| panic!("{text}"));
    for round in 0..4 {
        for n in 0..20 {
            let draft = format!("draft {n}!");
            let verdict = client.score(&JudgeRequest { draft: &draft, ..REQUEST }, &never).unwrap();
            assert_eq!(verdict.score, n as f32 + 1.0);
            assert!(verdict.cached || round == 0);
        }
    }
}

#[test]
fn several_processes_share_one_cache() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return one_process_of_several(url, std::env::var_os(CHILD_DIR).unwrap());
    }
    let server = FaultServer::start(|request, _| {
        let prompt = request.prompt();
        let number = prompt.split("draft ").nth(1).unwrap().split('!').next().unwrap();
        chat(&format!("{{\"score\": {}}}", number.parse::<u32>().unwrap() + 1))
    });
    let dir = tempfile::tempdir().unwrap();
    let child = || {
        again(module_path!(), "several_processes_share_one_cache")
            .env(CHILD_URL, server.url())
            .env(CHILD_DIR, dir.path())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| child()).collect();
    children.into_iter().for_each(assert_passed);
    let entries = files(dir.path());
    assert_eq!(entries.len(), 20, "{entries:?}");
    assert!(entries.iter().all(|p| p.extension().is_some_and(|e| e == "json")), "{entries:?}");
    assert!(server.count() <= 80);
}
