//! Drafts that the loaded model scores while it also answers: the judge's prompt is read a part at a time, in the decodes
//! that step the answers. One draft at a time; the others wait.

use std::collections::VecDeque;

use super::judge::NUMBER_TOKENS;
use super::local_judge::{Digits, Walk, digits};
use super::types::{BatchEvent, OnEvent};
use crate::branch::{Beside, Lone};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::Model;

/// The judge's sequence, what is scored in it, and what waits for that.
pub(super) struct Scoring {
    model: Model,
    lone: Lone,
    /// Looked up for the first draft.
    digits: Option<Digits>,
    current: Option<Current>,
    waiting: VecDeque<(usize, Vec<Token>)>,
}

/// A draft that is scored.
struct Current {
    id: usize,
    walk: Walk,
    /// Its cells are others' now: it begins again.
    gave_way: bool,
}

impl Scoring {
    /// `seq` is a sequence of the context that is empty, and for nothing else while a draft is scored.
    pub(super) fn new(model: &Model, context: Context, seq: SeqId) -> Scoring {
        let lone = Lone::new(context, seq);
        Scoring { model: model.clone(), lone, digits: None, current: None, waiting: VecDeque::new() }
    }

    pub(super) fn submit(&mut self, id: usize, judge_prompt: Vec<Token>) {
        self.waiting.push_back((id, judge_prompt));
    }

    /// True if no draft waits and none is scored.
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// A draft's prompt is read now.
    pub(super) fn is_active(&self) -> bool {
        self.current.as_ref().is_some_and(|current| !current.gave_way)
    }

    pub(super) fn gave_way(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.gave_way)
    }

    /// Begins with the next draft, or again with one that gave way.
    pub(super) fn begin(&mut self, on_event: OnEvent) -> Result<()> {
        if let Some(current) = self.current.as_mut().filter(|current| current.gave_way) {
            current.gave_way = false;
            return self.read_on(on_event);
        }
        while self.current.is_none() {
            let Some((id, prompt)) = self.waiting.pop_front() else { return Ok(()) };
            match self.walk(prompt) {
                Ok(walk) => {
                    self.current = Some(Current { id, walk, gave_way: false });
                    self.read_on(on_event)?;
                }
                Err(error) => drop(on_event(BatchEvent::Scored { id, score: Err(error) })),
            }
        }
        Ok(())
    }

    fn walk(&mut self, prompt: Vec<Token>) -> Result<Walk> {
        let digits = match &self.digits {
            Some(digits) => digits.clone(),
            None => self.digits.insert(digits(&self.model)?).clone(),
        };
        Walk::new(prompt, digits)
    }

    /// Has the sequence read what the walk wants to know next.
    fn read_on(&mut self, on_event: OnEvent) -> Result<()> {
        let Some(Current { walk, .. }) = &self.current else { return Ok(()) };
        match self.lone.begin(&walk.text(), walk.prompt_len()) {
            Ok(()) => self.tell(on_event),
            Err(error) => self.end(Err(error), on_event),
        }
    }

    /// Tells how much of the prompt is read.
    fn tell(&mut self, on_event: OnEvent) -> Result<()> {
        let Some(Current { id, walk, .. }) = &self.current else { return Ok(()) };
        let (done, total) = self.lone.progress();
        if walk.is_at_prompt() && !on_event(BatchEvent::Prefill { id: *id, done, total }) {
            return self.end(Err(Error::Cancelled), on_event);
        }
        Ok(())
    }

    /// Its part in a decode, of at most so many rows.
    pub(super) fn part(&mut self, most: usize) -> Option<Beside<'_>> {
        self.is_active().then_some(Beside { lone: &mut self.lone, most })
    }

    /// Rows that it has read of what it reads now.
    pub(super) fn rows_read(&self) -> usize {
        if self.is_active() { self.lone.progress().0 } else { 0 }
    }

    /// True while it reads a prompt; a number has one token or two.
    pub(super) fn reads_much(&self) -> bool {
        self.is_active() && self.lone.progress().1 > NUMBER_TOKENS
    }

    /// What follows from a decode: the next number, or the score.
    pub(super) fn follow(&mut self, on_event: OnEvent) -> Result<()> {
        if !self.is_active() {
            return Ok(());
        }
        self.tell(on_event)?;
        let Some(Current { walk, .. }) = &mut self.current else { return Ok(()) };
        if !self.lone.is_done() {
            return Ok(());
        }
        let more = self.lone.logits().map(|logits| walk.saw(&logits));
        match more {
            Ok(true) => self.read_on(on_event),
            Ok(false) => {
                let score = walk.distribution();
                self.end(score, on_event)
            }
            Err(error) => self.end(Err(error), on_event),
        }
    }

    /// Lets others have its cells.
    pub(super) fn give_way(&mut self) -> Result<()> {
        if let Some(current) = &mut self.current {
            current.gave_way = true;
        }
        self.lone.clear()
    }

    /// Ends the draft that is scored.
    pub(super) fn end(&mut self, score: Result<super::ScoreDistribution>, on_event: OnEvent) -> Result<()> {
        let Some(Current { id, .. }) = self.current.take() else { return Ok(()) };
        let cleared = self.lone.clear();
        on_event(BatchEvent::Scored { id, score });
        cleared
    }

    /// Ends a draft that nobody wants to have scored any more, if it is one.
    pub(super) fn cancel(&mut self, id: usize, on_event: OnEvent) -> Result<()> {
        if let Some(at) = self.waiting.iter().position(|(other, _)| *other == id) {
            self.waiting.remove(at);
            on_event(BatchEvent::Scored { id, score: Err(Error::Cancelled) });
        }
        match &self.current {
            Some(current) if current.id == id => self.end(Err(Error::Cancelled), on_event),
            _ => Ok(()),
        }
    }

    /// Ends every draft.
    pub(super) fn end_all(&mut self, error: &Error, on_event: OnEvent) -> Result<()> {
        let ended = self.end(Err(error.clone()), on_event);
        for (id, _) in std::mem::take(&mut self.waiting) {
            on_event(BatchEvent::Scored { id, score: Err(error.clone()) });
        }
        ended
    }
}
