//! Handles onto a toy llama.cpp keep what they point to, and keep out of each other's way: nothing that safe
//! code does ends in freed memory or in two threads in one context.
//!
//! Made for Miri and AddressSanitizer, too: what is wrong here, they see.

mod programs {
    #![forbid(unsafe_code)]

    use std::time::Duration;

    use sda::Error;
    use sda::branch::{DropIn, Move, Pair, Side, step_many};
    use sda::host::Token;
    use sda_test_kit::fake_host::{Config, FakeHost, direct};

    const PLAIN: [Token; 4] = [1, 2, 3, 4];
    const INSTRUCTED: [Token; 6] = [1, 2, 3, 7, 8, 9];

    fn prefilled(host: &FakeHost) -> Pair {
        let mut pair = Pair::new(host.context(), 0, 1).unwrap();
        pair.prefill(&PLAIN, &INSTRUCTED, &mut |_, _| true).unwrap();
        pair
    }

    /// [`PLAIN`] or [`INSTRUCTED`], and what follows.
    fn after(side: Side, tokens: &[Token]) -> Vec<Token> {
        let prompt = if side == Side::Plain { &PLAIN[..] } else { &INSTRUCTED[..] };
        [prompt, tokens].concat()
    }

    #[test]
    fn a_drop_in_branch_outlives_the_host_that_it_was_made_from() {
        let mut dropin = {
            let host = FakeHost::new(Config::default());
            let pair = prefilled(&host);
            DropIn::new(pair.context(), &PLAIN).unwrap()
        };
        assert!(*dropin.logits().unwrap() == direct(Config::default(), &PLAIN));
        dropin.accept(5);
        let mut fork = dropin.fork().unwrap();
        drop(dropin);
        assert!(*fork.logits().unwrap() == direct(Config::default(), &after(Side::Plain, &[5])));
    }

    #[test]
    fn a_fork_outlives_the_host_and_the_pair_that_it_was_made_from() {
        let mut fork = {
            let host = FakeHost::new(Config::default());
            prefilled(&host).fork(2, 3).unwrap()
        };
        fork.step(5).unwrap();
        for side in [Side::Plain, Side::Instructed] {
            assert!(*fork.logits(side).unwrap() == direct(Config::default(), &after(side, &[5])));
        }
    }

    #[test]
    fn rows_of_an_earlier_decode_are_refused_and_not_read() {
        let host = FakeHost::new(Config::default());
        let mut pair = prefilled(&host);
        let mut fork = pair.fork(2, 3).unwrap();
        assert!(*fork.logits(Side::Plain).unwrap() == *pair.logits(Side::Plain).unwrap());
        fork.step(5).unwrap();
        assert!(matches!(pair.logits(Side::Plain), Err(Error::State { .. })));
        assert_eq!(pair.row(Side::Plain), None);
        pair.step(6).unwrap();
        assert!(matches!(fork.logits(Side::Plain), Err(Error::State { .. })));
        assert!(*pair.logits(Side::Plain).unwrap() == direct(Config::default(), &after(Side::Plain, &[6])));
        // A failed decode overwrites them, too.
        host.fail_next(-3);
        assert!(fork.step(7).is_err());
        assert!(matches!(pair.logits(Side::Plain), Err(Error::State { .. })));
    }

    /// As two C handles onto one context are: each is wrapped by itself.
    #[test]
    fn a_joint_step_is_noticed_by_every_handle_of_the_context() {
        let host = FakeHost::new(Config { n_seq_max: 10, ..Config::default() });
        let mut pair = prefilled(&host);
        let mut other = Pair::new(host.context(), 4, 5).unwrap();
        other.prefill(&PLAIN, &INSTRUCTED, &mut |_, _| true).unwrap();
        let mut forks = [6, 8].map(|seq| other.fork(seq, seq + 1).unwrap());
        let [first, second] = &mut forks;
        let moves = [&mut pair, first, second].map(|pair| Move { pair, token: 5, side: None });
        step_many(&mut { moves }).unwrap();
        for pair in [&pair, &forks[0], &forks[1]] {
            let expected = direct(Config::default(), &after(Side::Instructed, &[5]));
            assert!(*pair.logits(Side::Instructed).unwrap() == expected);
        }
        assert!(matches!(other.logits(Side::Plain), Err(Error::State { .. })));
        host.assert_sound();
    }

    #[test]
    fn a_borrowed_row_holds_off_every_decode_in_its_context() {
        let host = FakeHost::new(Config::default());
        let mut pair = prefilled(&host);
        let mut fork = pair.fork(2, 3).unwrap();
        let row = pair.logits(Side::Plain).unwrap();
        let before = row.to_vec();
        assert!(matches!(fork.step(5), Err(Error::State { .. })));
        assert!(*row == before);
        drop(row);
        fork.step(5).unwrap();
        host.assert_sound();
    }

    /// At run time: the steps of two threads wait for each other, and what one reads is its own or refused.
    #[test]
    fn two_threads_cannot_be_in_one_context_at_once() {
        const STEPS: usize = if cfg!(miri) { 5 } else { 50 };
        let config = Config { pause: Duration::from_micros(200), ..Config::default() };
        let host = FakeHost::new(config);
        let mut first = prefilled(&host);
        let second = first.fork(2, 3).unwrap();
        std::thread::scope(|scope| {
            for mut pair in [first, second] {
                scope.spawn(move || {
                    let mut tokens = Vec::new();
                    while tokens.len() < STEPS {
                        let token = tokens.len() as Token % 40;
                        // While the other thread reads its row, a step is refused and changes nothing.
                        match pair.step(token) {
                            Ok(()) => tokens.push(token),
                            Err(error) => assert!(matches!(error, Error::State { .. }), "{error}"),
                        }
                        match pair.logits(Side::Plain) {
                            Ok(row) => assert!(*row == direct(config, &after(Side::Plain, &tokens))),
                            Err(error) => assert!(matches!(error, Error::State { .. }), "{error}"),
                        }
                    }
                });
            }
        });
        host.assert_sound();
    }
}
