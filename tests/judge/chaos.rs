//! One hundred scores through every fault at once: none is lost, none is made up, none steers that
//! failed.
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sda::judge::{
    Cache, Client, JudgeRequest, OnFailure, Resolution, RetryPolicy, Settings, resolve, score_each,
};
use sda::{Error, judge::Verdict};
use sda_test_kit::fault_server::FaultServer;
use sda_test_kit::fault_server::faults::{FAULTS, mix, truth};
use sda_test_kit::fault_server::shapes::GOOD;

const COUNT: usize = 100;

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
        let Some((name, fault)) = fault else {
            // Not one server's reply, but all servers' in turn.
            return GOOD[n % GOOD.len()].1(truth(n));
        };
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
