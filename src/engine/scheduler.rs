//! The scheduler of many answers: each step decodes the rows of all of them at once, and the slot of a
//! finished answer is taken by the next job.

use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::time::Instant;

use super::run::{Next, Run};
use super::types::{Answer, BatchEvent, Finish, Job, Jobs, OnEvent};
use crate::branch::{Move, Pair, SharedPair, lock, step_many};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::Model;

/// One call of [`Batch::run`](super::Batch::run).
pub(super) struct Scheduler<'a, 'b> {
    model: &'b Model,
    n_ctx: usize,
    slots: Vec<Slot<'b>>,
    jobs: Jobs<'a>,
    /// Jobs that had no room.
    requeued: VecDeque<(usize, Job)>,
    /// The cells ran out, and no answer has ended since: no job is started.
    is_full: bool,
    on_event: OnEvent<'a>,
    cancelled: bool,
}

/// A pair and the answer that is generated in it.
struct Slot<'b> {
    pair: &'b SharedPair,
    work: Option<Work>,
}

struct Work {
    id: usize,
    job: Job,
    run: Run,
    /// Drawn, and not yet decoded.
    token: Token,
}

impl<'a, 'b> Scheduler<'a, 'b> {
    pub(super) fn new(
        model: &'b Model,
        n_ctx: usize,
        pairs: &'b [SharedPair],
        jobs: Jobs<'a>,
        on_event: OnEvent<'a>,
    ) -> Scheduler<'a, 'b> {
        Scheduler {
            model,
            n_ctx,
            slots: pairs.iter().map(|pair| Slot { pair, work: None }).collect(),
            jobs,
            requeued: VecDeque::new(),
            is_full: false,
            on_event,
            cancelled: false,
        }
    }

    pub(super) fn run(&mut self) -> Result<()> {
        loop {
            for slot in 0..self.slots.len() {
                // Logits do not outlive a decode, so a new job's first token is drawn before the next one.
                while self.slots[slot].work.is_none() && self.may_start() {
                    let Some((id, job)) = self.requeued.pop_front().or_else(|| (self.jobs)()) else { break };
                    self.start(slot, id, job)?;
                }
            }
            if self.cancelled {
                return self.end_all(None);
            }
            if self.running() == 0 {
                return Ok(());
            }
            self.step()?;
        }
    }

    fn may_start(&self) -> bool {
        !self.cancelled && (!self.is_full || self.running() == 0)
    }

    fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.work.is_some()).count()
    }

    /// Reads a job's prompts and draws its first token.
    fn start(&mut self, slot: usize, id: usize, job: Job) -> Result<()> {
        let pair = self.slots[slot].pair;
        let mut run = match Run::new(self.model, pair, self.n_ctx, job.arm, &job.settings) {
            Ok(run) => run,
            Err(error) => return self.end(slot, id, Err(error)),
        };
        let on_event = &mut *self.on_event;
        match run.read(&job.prompts, &mut |done, total| on_event(BatchEvent::Prefill { id, done, total })) {
            Ok(()) => self.draw(slot, Work { id, job, run, token: 0 }),
            Err(Error::Cancelled) => {
                self.cancelled = true;
                self.finish(slot, id, run, Finish::Cancelled)
            }
            Err(Error::ContextFull { .. }) if self.running() > 0 && self.fits(&job) => {
                self.requeue(id, job);
                Ok(())
            }
            Err(error) => self.end(slot, id, Err(error)),
        }
    }

    /// True if a job has room as soon as others have ended.
    fn fits(&self, job: &Job) -> bool {
        job.prompts.longest() <= self.n_ctx
    }

    fn requeue(&mut self, id: usize, job: Job) {
        self.is_full = true;
        self.requeued.push_front((id, job));
    }

    /// Draws the next token of an answer, and keeps the answer in its slot unless it has ended.
    fn draw(&mut self, slot: usize, mut work: Work) -> Result<()> {
        let (id, on_event) = (work.id, &mut *self.on_event);
        let next = work.run.next(&mut |record| on_event(BatchEvent::Token { id, record }));
        let finish = match next {
            Ok(Next::Token(token)) if lock(self.slots[slot].pair)?.check_next(work.run.side()).is_ok() => {
                work.token = token;
                self.slots[slot].work = Some(work);
                return Ok(());
            }
            Ok(Next::Token(_)) => Finish::ContextFull,
            Ok(Next::End(finish)) => finish,
            Err(error) => return self.end(slot, id, Err(error)),
        };
        self.cancelled |= finish == Finish::Cancelled;
        self.finish(slot, id, work.run, finish)
    }

    /// Decodes one token of every answer and draws the next ones.
    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let working = self.slots.iter().filter_map(|slot| Some((slot.pair, slot.work.as_ref()?)));
        let mut pairs: Vec<(MutexGuard<Pair>, &Work)> =
            working.map(|(pair, work)| Ok((lock(pair)?, work))).collect::<Result<_>>()?;
        let mut moves: Vec<Move> = pairs
            .iter_mut()
            .map(|(pair, work)| Move { pair, token: work.token, side: work.run.side() })
            .collect();
        let stepped = step_many(&mut moves);
        drop(pairs);
        match stepped {
            Ok(()) => {}
            Err(Error::ContextFull { .. }) => return self.make_room(),
            Err(error) => {
                // The first error is the one to report.
                let _ = self.end_all(Some(&error));
                return Err(error);
            }
        }
        // Each answer bears its share, so that the times of all add up.
        let share = start.elapsed() / self.running().max(1) as u32;
        for slot in 0..self.slots.len() {
            let Some(mut work) = self.slots[slot].work.take() else { continue };
            work.run.timings.decode += share;
            self.draw(slot, work)?;
        }
        Ok(())
    }

    /// The answer that loses least gives way; one that is alone has come to its end.
    fn make_room(&mut self) -> Result<()> {
        let with_work = |slot: &usize| self.slots[*slot].work.is_some();
        let length = |slot: &usize| self.slots[*slot].work.as_ref().map_or(0, |work| work.run.len());
        let Some(slot) = (0..self.slots.len()).filter(with_work).min_by_key(length) else { return Ok(()) };
        let alone = self.running() == 1;
        let Some(work) = self.slots[slot].work.take() else { return Ok(()) };
        if alone {
            return self.finish(slot, work.id, work.run, Finish::ContextFull);
        }
        lock(self.slots[slot].pair)?.clear()?;
        self.cancelled |= !(self.on_event)(BatchEvent::Requeued { id: work.id });
        self.requeue(work.id, work.job);
        Ok(())
    }

    /// Ends an answer as it stands.
    fn finish(&mut self, slot: usize, id: usize, run: Run, finish: Finish) -> Result<()> {
        let on_event = &mut *self.on_event;
        let answer = run.finish(finish, &mut |text| {
            on_event(BatchEvent::Tail { id, text });
        });
        self.end(slot, id, Ok(answer))
    }

    fn end(&mut self, slot: usize, id: usize, answer: Result<Answer>) -> Result<()> {
        let cleared = lock(self.slots[slot].pair).and_then(|mut pair| pair.clear());
        self.is_full = false;
        self.cancelled |= !(self.on_event)(BatchEvent::Done { id, answer });
        cleared
    }

    /// Ends every job that was taken, as cancelled or with one error for all. Returns the first error of its
    /// own.
    fn end_all(&mut self, error: Option<&Error>) -> Result<()> {
        let mut result = Ok(());
        for slot in 0..self.slots.len() {
            let Some(Work { id, run, .. }) = self.slots[slot].work.take() else { continue };
            let ended = match error {
                None => self.finish(slot, id, run, Finish::Cancelled),
                Some(error) => self.end(slot, id, Err(error.clone())),
            };
            result = result.and(ended);
        }
        while let Some((id, _)) = self.requeued.pop_front() {
            let answer = error.cloned().map_or_else(|| Ok(Answer::none()), Err);
            result = result.and(self.end(0, id, answer));
        }
        result
    }
}
