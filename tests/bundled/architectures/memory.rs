//! Pairs and branches whose memory cannot be rewound: every row is that of a fresh run.

use sda::branch::{DropIn, Pair, Prefill, Side};
use sda::host::Token;
use sda::llama::{ContextOptions, Model};

use super::{EXACT, KINDS, PIRATE, load, tokens};
use crate::pair::rows_agree;
use crate::rows::{alone, difference, exact, lab, quiet};

fn is_fresh(pair: &Pair, side: Side, model: &Model, what: &str) {
    let fresh = alone(model, exact(1024), pair.tokens(side), &[]).remove(0);
    let apart = difference(&pair.logits(side).unwrap(), &fresh);
    assert!(apart < EXACT, "{what}, {side:?}: the row is {apart} from that of a fresh one");
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn both_rows_equal_separate_runs() {
    let query = "user: What is the capital of France?";
    let plain = format!("{query}\n\nassistant:");
    let instructed = format!("{query} {PIRATE}\n\nassistant:");
    for kind in KINDS {
        let model = load(kind);
        assert_eq!(model.is_recurrent(), kind != "attention", "{kind}");
        rows_agree(
            &model,
            exact(1024),
            EXACT,
            [&plain, &instructed, " Arr, the capital be Paris, on the Seine."],
        );
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn prompts_longer_than_a_decode_are_read_in_parts_to_the_same_rows() {
    let story = "The ship sailed on and the sea was calm. ".repeat(40);
    let texts = [
        format!("{story}Then the captain said:"),
        format!("{story}Then the angry captain shouted out loud:"),
    ];
    for kind in KINDS {
        let options = ContextOptions { n_batch: 64, n_ubatch: 24, ..exact(4096) };
        rows_agree(
            &load(kind),
            options,
            EXACT,
            [&texts[0], &texts[1], " home we go, and nobody will stop us."],
        );
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_pair_that_cannot_rewind_gives_the_rows_of_a_fresh_one() {
    // Whatever was held before: the same prompts, others that begin alike, what these continue, something else. Each
    // is made of parts, so that one holds all tokens of another.
    const PARTS: [&str; 4] = ["user: What is the capital", " of France?", " Be brief.", "\n\nassistant:"];
    const TEXTS: [&[usize]; 7] = [&[0], &[0, 1], &[0, 1, 2], &[0, 1, 2, 3], &[0, 1, 3], &[0, 3, 1], &[3, 2]];
    for kind in KINDS {
        let model = load(kind);
        let texts =
            TEXTS.map(|text| text.iter().flat_map(|&part| tokens(&model, PARTS[part])).collect::<Vec<_>>());
        let mut pair = lab(&model, exact(1024));
        let mut state = 7_u32;
        let mut below = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % n
        };
        for round in 0..80 {
            let [plain, instructed] = [below(texts.len()), below(texts.len())].map(|i| &texts[i]);
            let what = format!("{kind}, round {round}");
            match below(4) {
                0 => {
                    pair.prefill_one(Side::Plain, plain, &mut quiet).unwrap();
                    is_fresh(&pair, Side::Plain, &model, &what);
                    pair.step_one(Side::Plain, plain[0]).unwrap();
                    is_fresh(&pair, Side::Plain, &model, &what);
                }
                _ => {
                    pair.prefill(plain, instructed, &mut quiet).unwrap();
                    let steps = below(4);
                    for (step, &token) in texts[6].iter().enumerate().take(steps + 1) {
                        for side in [Side::Plain, Side::Instructed] {
                            is_fresh(&pair, side, &model, &format!("{what}, step {step}"));
                        }
                        if step < steps {
                            pair.step(token).unwrap();
                        }
                    }
                }
            }
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn only_what_a_recurrent_memory_holds_to_its_end_is_read_no_second_time() {
    for kind in KINDS {
        let model = load(kind);
        let first = tokens(&model, "user: Hello there");
        let next = [&first[..], &tokens(&model, " and hello again")].concat();
        let mut pair = lab(&model, exact(1024));
        let prefill = pair.prefill(&first, &first, &mut quiet).unwrap();
        let shared = first.len() - 1;
        assert_eq!(prefill, Prefill { shared, decoded: shared + 2, reused: 0 }, "{kind}");
        let prefill = pair.prefill(&next, &next, &mut quiet).unwrap();
        assert!(prefill.reused >= first.len() - 1, "{kind}: {prefill:?}");
        let prefill = pair.prefill(&first, &first, &mut quiet).unwrap();
        let reused = if kind == "attention" { shared } else { 0 };
        assert_eq!(prefill.reused, reused, "{kind}: {prefill:?}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_fork_has_a_memory_of_its_own() {
    for kind in KINDS {
        let model = load(kind);
        let [plain, instructed] =
            ["Once upon a time", "In a dark wood, once upon a time"].map(|t| tokens(&model, t));
        let context = model.new_context(&ContextOptions { n_seq_max: 4, ..exact(512) }).unwrap();
        let mut first = Pair::new(context, 0, 1).unwrap();
        first.prefill(&plain, &instructed, &mut quiet).unwrap();
        first.step(plain[0]).unwrap();
        let mut second = first.fork(2, 3).unwrap();
        for step in 0..4 {
            first.step(plain[step % plain.len()]).unwrap();
            for side in [Side::Plain, Side::Instructed] {
                is_fresh(&first, side, &model, &format!("{kind}, first, step {step}"));
            }
            second.step(instructed[step]).unwrap();
            for side in [Side::Plain, Side::Instructed] {
                is_fresh(&second, side, &model, &format!("{kind}, second, step {step}"));
            }
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn the_branches_of_several_instructions_equal_separate_runs() {
    for kind in KINDS {
        let model = load(kind);
        let prompts = ["", " Be a pirate. Be brief.", " Be a pirate.", " Be brief."]
            .map(|text| tokens(&model, &format!("user: What is the capital?{text}\n\nassistant:")));
        let context = model.new_context(&ContextOptions { n_seq_max: 4, ..exact(1024) }).unwrap();
        let mut pair = Pair::with_singles(context, 0, 1, &[2, 3]).unwrap();
        let [plain, both, first, second] = &prompts;
        for round in 0..2 {
            pair.prefill_many(plain, both, &[first, second], &mut quiet).unwrap();
            for (step, &token) in plain.iter().enumerate().take(4) {
                for side in [Side::Plain, Side::Instructed, Side::Single(0), Side::Single(1)] {
                    is_fresh(&pair, side, &model, &format!("{kind}, round {round}, step {step}"));
                }
                pair.step(token).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_plain_branch_in_a_context_of_its_own_follows_and_goes_back() {
    for kind in KINDS {
        let model = load(kind);
        let host = model.new_context(&exact(512)).unwrap();
        let [prompt, other] =
            ["What does a computer do?", "What does the sea do?"].map(|text| tokens(&model, text));
        let mut branch = DropIn::new(&host, &prompt).unwrap();
        let check = |expected: &[Token], branch: &mut DropIn| {
            let fresh = alone(&model, exact(512), expected, &[]).remove(0);
            let apart = difference(&branch.logits().unwrap(), &fresh);
            assert!(apart < EXACT, "{kind}, {} tokens: {apart}", expected.len());
        };
        check(&prompt, &mut branch);
        branch.accept(other[0]);
        branch.accept(other[1]);
        check(&[&prompt[..], &other[..2]].concat(), &mut branch);
        branch.reset();
        check(&prompt, &mut branch);
        branch.set_prompt(&other).unwrap();
        check(&other, &mut branch);
    }
}
