//! The sampler in the chain of a toy llama.cpp: both ways in, several at once, clones, and hosts that do
//! something wrong.

use std::sync::{Arc, Mutex};

use sda::branch::{DropIn, Pair, SharedPair, Side};
use sda::host::{Token, TokenData, TokenDataArray};
use sda::sampler::{NAME, Sampler, SharedSampler, Source};
use sda::steer::steer;
use sda::{Error, Params};
use sda_test_kit::fake_host::{Chain, Config, FakeHost, best, candidates, direct};
use sda_test_kit::rng::Rng;

const PLAIN: [Token; 4] = [1, 2, 3, 4];
const INSTRUCTED: [Token; 6] = [1, 2, 3, 9, 8, 7];

fn params(amplification: f32) -> Params {
    Params { amplification, ..Params::default() }
}

fn paired(host: &FakeHost, plain: i32, instructed: &[Token]) -> (SharedPair, SharedSampler) {
    let mut pair = Pair::new(host.context(), plain, plain + 1).unwrap();
    pair.prefill(&PLAIN, instructed, &mut |_, _| true).unwrap();
    let pair = Arc::new(Mutex::new(pair));
    let sampler = Sampler::new(params(0.8), Source::Paired(Arc::clone(&pair))).unwrap();
    (pair, SharedSampler::new(sampler, &host.host()))
}

fn dropin(host: &FakeHost) -> SharedSampler {
    let branch = DropIn::new(&host.context(), &PLAIN).unwrap();
    let sampler = Sampler::new(params(0.8), Source::DropIn(Box::new(branch))).unwrap();
    SharedSampler::new(sampler, &host.host())
}

fn chain<const SLOTS: usize>(handle: &SharedSampler) -> Chain<SLOTS> {
    Chain::new(handle.into_llama().unwrap())
}

fn error(handle: &SharedSampler) -> Option<Error> {
    handle.error()
}

/// What the library should do, from two runs that have nothing to do with it.
fn expected_step(config: Config, plain: &[Token], instructed: &[Token]) -> Vec<f32> {
    let (plain, instructed) = (direct(config, plain), direct(config, instructed));
    let mut log_probs = vec![0.0; plain.len()];
    steer(&instructed, &plain, &params(0.8), &mut log_probs).unwrap();
    log_probs
}

fn expected(config: Config, instructed: &[Token], given: &[Token], steps: usize) -> Vec<Token> {
    let mut tokens = given.to_vec();
    for _ in 0..steps {
        let at = |prompt: &[Token]| [prompt, &tokens].concat();
        tokens.push(best(&candidates(&expected_step(config, &at(&PLAIN), &at(instructed)))));
    }
    tokens.split_off(given.len())
}

fn instructed_row(host: &FakeHost, pair: &SharedPair) -> Vec<f32> {
    host.row(pair.lock().unwrap().row(Side::Instructed).unwrap())
}

fn paired_loop<const S: usize>(host: &FakeHost, pair: &SharedPair, chain: &Chain<S>, n: usize) -> Vec<Token> {
    (0..n)
        .map(|_| {
            let token = chain.pick(&instructed_row(host, pair));
            chain.accept(token);
            pair.lock().unwrap().step(token).unwrap();
            token
        })
        .collect()
}

/// A host's own loop on one sequence.
fn own_loop<const S: usize>(host: &FakeHost, chain: &Chain<S>, mut row: Vec<f32>, n: usize) -> Vec<Token> {
    (0..n)
        .map(|_| {
            let token = chain.pick(&row);
            chain.accept(token);
            row = host.feed(0, &[token]);
            token
        })
        .collect()
}

fn every_generation<const SLOTS: usize>() {
    let config = Config::default();
    let tokens = expected(config, &INSTRUCTED, &[], 8);
    let host = FakeHost::new(config);
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let first: Chain<SLOTS> = chain(&handle);
    assert_eq!(first.names(), [NAME.to_owned()]);
    assert_eq!(first.extra(), 0, "a later callback is set");
    assert_eq!(paired_loop(&host, &pair, &first, 8), tokens);
    assert_eq!(error(&handle), None);

    let host = FakeHost::new(config);
    let handle = dropin(&host);
    let second: Chain<SLOTS> = chain(&handle);
    assert_eq!(own_loop(&host, &second, host.feed(0, &INSTRUCTED), 8), tokens);
    assert_eq!(error(&handle), None);
    drop((second, handle));
    assert_eq!(host.siblings(), 0);
}

#[test]
fn drop_in_equals_paired_in_hosts_of_every_generation() {
    every_generation::<6>();
    every_generation::<10>();
    every_generation::<12>();
}

#[test]
fn several_samplers_with_different_instructions_share_one_context() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let prompts: [&[Token]; 2] = [&INSTRUCTED, &[1, 2, 20, 21]];
    let samplers = [0, 2].map(|seq| paired(&host, seq, prompts[seq as usize / 2]));
    let chains: Vec<Chain<10>> = samplers.iter().map(|(_, handle)| chain(handle)).collect();
    let mut tokens = [Vec::new(), Vec::new()];
    for step in 0..6 {
        for (i, (pair, _)) in samplers.iter().enumerate() {
            // Logits live until the next decode: each samples right after its own one.
            let last = tokens[i].last().copied();
            match last {
                Some(token) => pair.lock().unwrap().step(token).unwrap(),
                None => drop(pair.lock().unwrap().prefill(&PLAIN, prompts[i], &mut |_, _| true).unwrap()),
            }
            let token = chains[i].pick(&instructed_row(&host, pair));
            chains[i].accept(token);
            tokens[i].push(token);
            assert_eq!(tokens[i].len(), step + 1);
        }
    }
    for (tokens, prompt) in tokens.iter().zip(prompts) {
        assert_eq!(*tokens, expected(config, prompt, &[], 6));
    }
    host.assert_sound();
}

#[test]
fn a_paired_clone_diverges_in_sequences_of_its_own() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let first: Chain<10> = chain(&handle);
    let begun = paired_loop(&host, &pair, &first, 3);
    let second = first.clone();
    let cloned = second.sampler();
    let fork = Arc::new(Mutex::new(pair.lock().unwrap().fork(4, 5).unwrap()));
    cloned.with(|sampler| sampler.set_pair(Arc::clone(&fork))).unwrap();
    for (pair, chain, token) in [(&pair, &first, 30), (&fork, &second, 31)] {
        pair.lock().unwrap().step(token).unwrap();
        let given = [&begun[..], &[token]].concat();
        assert_eq!(paired_loop(&host, pair, chain, 5), expected(config, &INSTRUCTED, &given, 5));
    }
    assert_eq!((error(&handle), error(&cloned)), (None, None));
}

#[test]
fn a_drop_in_clone_diverges_in_a_context_of_its_own() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let handle = dropin(&host);
    let first: Chain<10> = chain(&handle);
    let begun = own_loop(&host, &first, host.feed(0, &INSTRUCTED), 3);
    let second = first.clone();
    assert_eq!(host.siblings(), 2);
    let other = FakeHost::new(config);
    for (host, chain, token) in [(&host, &first, 30), (&other, &second, 31)] {
        if host.used() == 0 {
            host.feed(0, &[&INSTRUCTED[..], &begun].concat());
        }
        // The host overrides the choice: it samples, then accepts a token of its own.
        let held = host.used();
        assert_eq!(held, INSTRUCTED.len() + 3);
        let row = direct(config, &[&INSTRUCTED[..], &begun].concat());
        chain.pick(&row);
        chain.accept(token);
        let given = [&begun[..], &[token]].concat();
        let row = host.feed(0, &[token]);
        assert_eq!(own_loop(host, chain, row, 5), expected(config, &INSTRUCTED, &given, 5));
    }
    drop((first, second, handle));
    assert_eq!(host.siblings(), 0);
}

#[test]
fn a_clone_that_gets_no_context_refuses_and_says_why() {
    let host = FakeHost::new(Config::default());
    let handle = dropin(&host);
    let first: Chain<6> = chain(&handle);
    host.refuse_siblings();
    let refused = DropIn::new(&host.context(), &PLAIN);
    assert!(matches!(refused, Err(Error::Host { call: "context_new", .. })));
    let second = first.clone();
    let cloned = second.sampler();
    assert_eq!(error(&cloned), Some(Error::Host { call: "context_new", code: 0 }));
    assert_eq!(host.log().len(), 1);
    let before = candidates(&host.feed(0, &INSTRUCTED));
    let mut data = before.clone();
    second.apply(&mut TokenDataArray::new(&mut data));
    assert_eq!(data, before);
    assert_eq!(error(&handle), None);
}

#[test]
fn reset_starts_over() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let handle = dropin(&host);
    let chain: Chain<6> = chain(&handle);
    let tokens = own_loop(&host, &chain, host.feed(0, &INSTRUCTED), 4);
    chain.reset();
    let again = FakeHost::new(config);
    assert_eq!(own_loop(&again, &chain, again.feed(0, &INSTRUCTED), 4), tokens);
    assert_eq!(handle.with(|sampler| Ok(sampler.stats())).unwrap().steered, 4);
}

#[test]
fn prompt_tokens_and_double_accepts_are_ignored() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let handle = dropin(&host);
    let chain: Chain<6> = chain(&handle);
    INSTRUCTED.iter().for_each(|&token| chain.accept(token));
    let mut row = host.feed(0, &INSTRUCTED);
    let tokens = (0..6)
        .map(|_| {
            let token = chain.pick(&row);
            // Sampling again from the same logits changes nothing.
            assert_eq!(chain.pick(&row), token);
            chain.accept(token);
            chain.accept(token);
            row = host.feed(0, &[token]);
            token
        })
        .collect::<Vec<_>>();
    assert_eq!(tokens, expected(config, &INSTRUCTED, &[], 6));
    assert_eq!(handle.with(|sampler| Ok(sampler.stats())).unwrap().repeated_accepts, 6);
}

#[test]
fn a_host_that_never_accepts_is_refused() {
    let host = FakeHost::new(Config::default());
    let handle = dropin(&host);
    let chain: Chain<6> = chain(&handle);
    let token = chain.pick(&host.feed(0, &INSTRUCTED));
    let row = host.feed(0, &[token]);
    let before = candidates(&row);
    let mut data = before.clone();
    chain.apply(&mut TokenDataArray::new(&mut data));
    assert_eq!(data, before);
    let error = error(&handle).unwrap();
    assert!(matches!(&error, Error::State { reason } if reason.contains("llama_sampler_accept")), "{error}");
    assert_eq!(host.log().len(), 1, "{:?}", host.log());
    chain.apply(&mut TokenDataArray::new(&mut data));
    assert_eq!(host.log().len(), 1, "logged once");
}

#[test]
fn top_p_cuts_the_array_down_to_the_nucleus_in_order() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let row = host.row(pair.lock().unwrap().row(Side::Instructed).unwrap());
    let steered = expected_step(config, &PLAIN, &INSTRUCTED);
    let mut order: Vec<TokenData> = candidates(&steered);
    order.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id)));
    let set = |top_p, params| {
        handle.with(|sampler| sampler.set_top_p(top_p).and_then(|()| sampler.set_params(params))).unwrap();
    };
    for top_p in [1e-6_f32, 0.3, 0.9] {
        set(top_p, params(0.8));
        let mut sum = 0.0;
        let reached = |c: &TokenData| {
            sum += f64::from(c.logit).exp();
            sum >= f64::from(top_p)
        };
        let expected = &order[..order.iter().position(reached).unwrap() + 1];
        for reversed in [false, true] {
            let mut data = candidates(&row);
            if reversed {
                data.reverse();
            }
            let mut array = TokenDataArray::new(&mut data);
            chain::<6>(&handle).apply(&mut array);
            assert!(array.is_sorted());
            let kept = &data[..array.size()];
            assert_eq!(kept.len(), expected.len(), "top_p {top_p}");
            assert!(kept.iter().zip(expected).all(|(a, b)| (a.id, a.logit) == (b.id, b.logit)));
            assert!(kept.iter().all(|c| c.p == c.logit.exp()));
        }
    }
    // A copy continues with the same setting; a greedy step keeps all, in case a later sampler bans its token.
    let copy = handle.fork().unwrap();
    let size = |handle: &SharedSampler| {
        let mut data = candidates(&row);
        let mut array = TokenDataArray::new(&mut data);
        chain::<6>(handle).apply(&mut array);
        (array.size() < row.len(), array.is_sorted())
    };
    assert_eq!(size(&copy), (true, true));
    set(0.9, Params { temperature: 0.0, ..params(0.8) });
    assert_eq!(size(&handle), (false, false));
    set(1.0, params(0.8));
    assert_eq!(size(&handle), (false, false));
    for top_p in [0.0, -1.0, 1.1, f32::NAN] {
        assert!(handle.with(|sampler| sampler.set_top_p(top_p)).is_err(), "{top_p}");
    }
}

#[test]
fn sampling_the_plain_row_is_refused() {
    let host = FakeHost::new(Config::default());
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let row = host.row(pair.lock().unwrap().row(Side::Plain).unwrap());
    let before = candidates(&row);
    let mut data = before.clone();
    chain::<6>(&handle).apply(&mut TokenDataArray::new(&mut data));
    assert_eq!(data, before);
    assert!(matches!(error(&handle), Some(Error::State { reason }) if reason.contains("instructed row")));
}

/// The host takes a token of its own after a step that was refused; the next steps are right all the same.
#[test]
fn a_refused_step_does_not_lose_tokens() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let handle = dropin(&host);
    let chain: Chain<6> = chain(&handle);
    let row = host.feed(0, &INSTRUCTED);
    // No candidates at all, twice, with the same token each time.
    for _ in 0..2 {
        chain.apply(&mut TokenDataArray::new(&mut []));
        chain.accept(5);
    }
    assert_eq!(row.len(), config.n_vocab);
    let row = host.feed(0, &[5, 5]);
    assert_eq!(own_loop(&host, &chain, row, 4), expected(config, &INSTRUCTED, &[5, 5], 4));
    assert!(matches!(error(&handle), Some(Error::Candidates { .. })), "the first error stays");
}

#[test]
fn candidates_may_come_in_any_order() {
    let config = Config::default();
    let host = FakeHost::new(config);
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let chain: Chain<12> = chain(&handle);
    let right = expected_step(config, &PLAIN, &INSTRUCTED);
    let mut sorted = candidates(&instructed_row(&host, &pair));
    sorted.sort_by(|a, b| b.logit.total_cmp(&a.logit));
    let mut shuffled = sorted.clone();
    let mut rng = Rng(7);
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, rng.below(i + 1));
    }
    for mut data in [sorted, shuffled] {
        let order: Vec<Token> = data.iter().map(|c| c.id).collect();
        chain.apply(&mut TokenDataArray::new(&mut data));
        assert_eq!(data.iter().map(|c| c.id).collect::<Vec<_>>(), order);
        assert!(data.iter().all(|c| c.logit == right[c.id as usize]));
    }
    assert_eq!(error(&handle), None);
}

#[test]
fn candidates_that_are_not_the_vocabulary_are_refused_and_left_alone() {
    let host = FakeHost::new(Config::default());
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let chain: Chain<6> = chain(&handle);
    let whole = candidates(&instructed_row(&host, &pair));
    let change = |f: &dyn Fn(&mut Vec<TokenData>)| {
        let mut data = whole.clone();
        f(&mut data);
        data
    };
    let wrong = [
        ("truncated", change(&|data| data.truncate(40))),
        ("empty", Vec::new()),
        ("duplicated", change(&|data| data[3] = data[4])),
        ("too many", change(&|data| data.push(data[0]))),
        ("out of range", change(&|data| data[3].id = data.len() as Token)),
        ("negative", change(&|data| data[3].id = -1)),
    ];
    for (name, before) in wrong {
        let mut data = before.clone();
        chain.apply(&mut TokenDataArray::new(&mut data));
        assert_eq!(data, before, "{name}");
        assert!(matches!(error(&handle), Some(Error::Candidates { .. })), "{name}: {:?}", error(&handle));
        chain.reset();
        assert_eq!(error(&handle), None);
    }
}

#[test]
fn a_panic_poisons_the_handle_and_leaves_candidates_alone() {
    let host = FakeHost::new(Config::default());
    let (pair, handle) = paired(&host, 0, &INSTRUCTED);
    let chain: Chain<6> = chain(&handle);
    std::panic::set_hook(Box::new(|_| {}));
    let result = handle.with(|_| -> sda::Result<()> { panic!("forced by a test") });
    let _ = std::panic::take_hook();
    assert_eq!(result, Err(Error::Panic));
    let before = candidates(&instructed_row(&host, &pair));
    let mut data = before.clone();
    chain.apply(&mut TokenDataArray::new(&mut data));
    chain.accept(1);
    chain.reset();
    assert_eq!(data, before);
    assert_eq!(error(&handle), Some(Error::Panic));
    let copy = chain.clone();
    copy.apply(&mut TokenDataArray::new(&mut data));
    assert_eq!(data, before);
}
