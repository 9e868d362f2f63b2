//! What the rules of a grammar say together.

use std::ops::Range;

/// Most repetitions, where their number has a limit, of what may be empty. llama.cpp follows each way to fill them.
pub(super) const MAX_EMPTY_REPETITIONS: u64 = 4;
/// Most rules that begin with one another, and most ways to begin a rule.
const MAX_DEPTH: u64 = 4000;
const MAX_BEGINNINGS: u64 = 100_000;

/// An element of a rule.
#[derive(Clone, Copy)]
pub(super) enum Element {
    /// Another rule.
    Rule(usize),
    /// `|`
    Alternative,
    /// A character, a set of them, or a token.
    Terminal,
}

/// All rules, by id.
#[derive(Default)]
pub(super) struct Rules<'a> {
    /// The name of the rule, or of the one that it was made for.
    names: Vec<&'a str>,
    /// What it is; empty if it is not defined.
    elements: Vec<Vec<Element>>,
    /// What is repeated more than [`MAX_EMPTY_REPETITIONS`] times, but not without a limit, and by which rule.
    repeated: Vec<(&'a str, Vec<Element>)>,
}

impl<'a> Rules<'a> {
    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    /// A rule that is yet to be defined.
    pub(super) fn add(&mut self, name: &'a str) -> usize {
        self.names.push(name);
        self.elements.push(Vec::new());
        self.len() - 1
    }

    pub(super) fn define(&mut self, id: usize, mut elements: Vec<Element>) {
        // Also ends an empty rule, which is thereby told from one that is not defined.
        elements.push(Element::Alternative);
        self.elements[id] = elements;
    }

    /// Notes a repetition for [`Rules::check`].
    pub(super) fn note_repeated(&mut self, name: &'a str, elements: &[Element]) {
        self.repeated.push((name, elements.to_vec()));
    }

    /// The name of a rule that is used and not defined.
    pub(super) fn missing(&self) -> Option<&'a str> {
        self.elements.iter().position(Vec::is_empty).map(|id| self.names[id])
    }

    /// Refuses what llama.cpp would not survive, or not in time. All rules are defined.
    pub(super) fn check(&self) -> Result<(), String> {
        let may_be_empty = self.may_be_empty();
        let is_empty = |element: &Element| matches!(*element, Element::Rule(id) if may_be_empty[id]);
        if let Some((name, _)) = self.repeated.iter().find(|(_, elements)| elements.iter().all(is_empty)) {
            let most = MAX_EMPTY_REPETITIONS;
            return Err(format!(
                "rule {name} repeats what may be empty more than {most} times: write x{{0,9}} for (x?){{9}}"
            ));
        }
        self.check_beginnings(&self.beginnings(&may_be_empty))
    }

    /// Which rules may be empty.
    fn may_be_empty(&self) -> Vec<bool> {
        let mut may_be_empty = vec![false; self.elements.len()];
        let mut order: Vec<usize> = (0..self.elements.len()).collect();
        loop {
            let mut changed = false;
            for &id in &order {
                let is_empty = |element: &Element| matches!(*element, Element::Rule(id) if may_be_empty[id]);
                if !may_be_empty[id] && alternatives(&self.elements[id]).any(|one| one.iter().all(is_empty)) {
                    (may_be_empty[id], changed) = (true, true);
                }
            }
            if !changed {
                return may_be_empty;
            }
            order.reverse();
        }
    }

    /// For each rule the rules that it may begin with.
    fn beginnings(&self, may_be_empty: &[bool]) -> Vec<Vec<usize>> {
        let first = |(rule, elements): (usize, &Vec<Element>)| {
            let mut found = Vec::new();
            for one in alternatives(elements) {
                let mut llama_cpp_sees = true;
                for (at, element) in one.iter().enumerate() {
                    let Element::Rule(id) = *element else { break };
                    // Itself at the end, behind what may be empty, is what `(x*)*` makes. Nothing grows by it, and it
                    // passes where llama.cpp does not see that what comes before may be empty.
                    if id != rule || at + 1 < one.len() || llama_cpp_sees {
                        found.push(id);
                    }
                    llama_cpp_sees &= alternatives(&self.elements[id]).any(<[_]>::is_empty);
                    if !may_be_empty[id] {
                        break;
                    }
                }
            }
            found
        };
        self.elements.iter().enumerate().map(first).collect()
    }

    /// Refuses rules that begin with themselves, and those that would cost llama.cpp too much.
    fn check_beginnings(&self, beginnings: &[Vec<usize>]) -> Result<(), String> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            Entered,
            /// Ways to begin it, and rules on the longest of them.
            Left(u64, u64),
        }
        let mut seen = vec![Seen::No; beginnings.len()];
        for start in 0..beginnings.len() {
            let mut path: Vec<(usize, Range<usize>)> = Vec::new();
            let mut enter = (seen[start] == Seen::No).then_some(start);
            loop {
                if let Some(id) = enter.take() {
                    seen[id] = Seen::Entered;
                    path.push((id, 0..beginnings[id].len()));
                }
                let Some((id, rest)) = path.last_mut() else { break };
                let id = *id;
                match rest.next().map(|at| beginnings[id][at]) {
                    Some(next) => match seen[next] {
                        Seen::No => enter = Some(next),
                        Seen::Entered => {
                            let name = self.names[next];
                            return Err(format!("rule {name} begins with itself (left recursion)"));
                        }
                        Seen::Left(..) => {}
                    },
                    None => {
                        let (mut ways, mut depth) = (1_u64, 1);
                        for &next in &beginnings[id] {
                            let Seen::Left(more, below) = seen[next] else { continue };
                            (ways, depth) = (ways.saturating_add(more), depth.max(1 + below));
                        }
                        if ways > MAX_BEGINNINGS || depth > MAX_DEPTH {
                            return Err(format!("there are too many ways to begin rule {}", self.names[id]));
                        }
                        seen[id] = Seen::Left(ways, depth);
                        path.pop();
                    }
                }
            }
        }
        Ok(())
    }
}

/// The alternatives of a rule, of which [`Rules::define`] ended the last.
fn alternatives(rule: &[Element]) -> impl Iterator<Item = &[Element]> {
    let ended = &rule[..rule.len().saturating_sub(1)];
    ended.split(|element| matches!(element, Element::Alternative))
}
