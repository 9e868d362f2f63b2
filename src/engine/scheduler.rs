//! The scheduler of many answers: each step decodes the rows of all of them at once, and beside them a part of the
//! prompts that are still to be read, and of the judge's. The slot of a finished answer is taken by the next job.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::run::{Next, Run};
use super::scoring::Scoring;
use super::slot::{Slot, State, Work};
use super::types::{Answer, BatchEvent, Finish, Job, OnEvent, SlotState};
use crate::branch::{Chunk, Move, Pair, SharedPair, lock, step_and_read};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId};
use crate::llama::Model;

/// The jobs of a [`Batch`](super::Batch), and where they stand.
pub(super) struct Scheduler {
    model: Model,
    n_ctx: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) waiting: VecDeque<(usize, Job)>,
    pub(super) scoring: Scoring,
    /// Jobs and drafts that nobody wants any more.
    cancelled: Vec<usize>,
    /// The cells ran out, and no answer has ended since: no job is started, and no answer that gave way continues.
    pub(super) is_full: bool,
    pace: Pace,
    /// Counts the jobs that have ended, to tell which slot was used last.
    clock: u64,
}

impl Scheduler {
    /// `judge` is a sequence of the context that no pair has.
    pub(super) fn new(
        model: &Model,
        n_ctx: usize,
        pairs: Vec<SharedPair>,
        context: Context,
        judge: SeqId,
    ) -> Scheduler {
        Scheduler {
            model: model.clone(),
            n_ctx,
            slots: pairs.into_iter().map(Slot::new).collect(),
            waiting: VecDeque::new(),
            scoring: Scoring::new(model, context, judge),
            cancelled: Vec::new(),
            is_full: false,
            pace: Pace::default(),
            clock: 0,
        }
    }

    pub(super) fn pairs(&self) -> impl ExactSizeIterator<Item = &SharedPair> {
        self.slots.iter().map(|slot| &slot.pair)
    }

    pub(super) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    pub(super) fn scoring(&mut self) -> &mut Scoring {
        &mut self.scoring
    }

    pub(super) fn submit(&mut self, id: usize, job: Job) {
        self.waiting.push_back((id, job));
    }

    pub(super) fn cancel(&mut self, id: usize) {
        self.cancelled.push(id);
    }

    /// True if a job that is handed in now has a slot.
    pub(super) fn has_room(&self) -> bool {
        let idle = self.slots.iter().filter(|slot| slot.work.is_none()).count();
        idle > self.waiting.len() && !(self.is_full && self.is_active())
    }

    /// True if nothing waits and nothing is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(|slot| slot.work.is_none()) && self.scoring.is_idle()
    }

    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn slot_states(&self) -> Result<Vec<SlotState>> {
        self.slots.iter().map(Slot::describe).collect()
    }

    /// Something is read or answered now; what gave way is not.
    pub(super) fn is_active(&self) -> bool {
        self.slots.iter().any(Slot::is_active)
    }

    /// One decode, and the draws that follow from it. Does nothing if nothing is to be done.
    pub(super) fn step(&mut self, on_event: OnEvent) -> Result<()> {
        self.end_cancelled(on_event)?;
        self.fill_slots(on_event)?;
        if self.has_cells() {
            self.scoring.begin(on_event)?;
        }
        if !self.is_active() && !self.scoring.is_active() {
            return Ok(());
        }
        let start = Instant::now();
        let steps_any = self.slots.iter().any(|slot| slot.token().is_some());
        let (before, scored) = (self.rows_read(), self.scoring.rows_read());
        match self.decode(steps_any) {
            Ok(()) => {}
            Err(Error::ContextFull { needed, available }) => {
                return self.make_room(Error::ContextFull { needed, available }, on_event);
            }
            Err(error) => {
                // The first error is the one to report.
                let _ = self.end_all(Some(&error), on_event);
                return Err(error);
            }
        }
        let read: Vec<usize> = self
            .rows_read()
            .iter()
            .zip(&before)
            .map(|(after, before)| after.saturating_sub(*before))
            .collect();
        let time = start.elapsed();
        let scored = self.scoring.rows_read() - scored;
        let of_prompts = if self.scoring.reads_much() { scored } else { 0 };
        self.pace.saw(time, steps_any, read.iter().sum::<usize>() + of_prompts);
        self.share_time(time, &read, scored);
        for slot in 0..self.slots.len() {
            self.follow(slot, on_event)?;
        }
        self.scoring.follow(on_event)
    }

    /// Rows that each slot has read of its prompts.
    fn rows_read(&self) -> Vec<usize> {
        self.slots.iter().map(|slot| slot.reading().map_or(0, |reading| reading.progress().0)).collect()
    }

    /// Each answer bears its share, so that the times of all add up with that of a judge, who has read `scored` rows.
    fn share_time(&mut self, time: Duration, read: &[usize], scored: usize) {
        let rows: Vec<usize> = self.slots.iter().zip(read).map(|(slot, read)| read + slot.rows()).collect();
        let all: usize = rows.iter().sum::<usize>() + scored;
        for (slot, (rows, read)) in self.slots.iter_mut().zip(rows.into_iter().zip(read)) {
            let Some(work) = &mut slot.work else { continue };
            let share = time.mul_f64(rows as f64 / all.max(1) as f64);
            let timings = &mut work.run.timings;
            *(if *read > 0 { &mut timings.prefill } else { &mut timings.decode }) += share;
        }
    }

    fn decode(&mut self, steps_any: bool) -> Result<()> {
        let readers = self.slots.iter().filter(|slot| slot.reading().is_some()).count();
        // Shared evenly, so that a long prompt holds up no short one.
        let judges = usize::from(self.scoring.reads_much());
        let most = self.pace.rows(steps_any).div_ceil((readers + judges).max(1));
        let mut pairs: Vec<(MutexGuard<Pair>, &mut Work)> = (self.slots.iter_mut())
            .filter_map(|slot| Some((&slot.pair, slot.work.as_mut()?)))
            .filter(|(_, work)| !matches!(work.state, State::GaveWay))
            .map(|(pair, work)| Ok((lock(pair)?, work)))
            .collect::<Result<_>>()?;
        let (mut moves, mut chunks) = (Vec::new(), Vec::new());
        for (pair, work) in &mut pairs {
            let side = work.run.side();
            match &mut work.state {
                State::Drawn(token) => moves.push(Move { pair, token: *token, side }),
                State::Reading(reading) => {
                    let branches = 2 + pair.max_singles();
                    chunks.push(Chunk { pair, reading, most: most.max(branches) });
                }
                State::GaveWay => {}
            }
        }
        step_and_read(&mut moves, &mut chunks, self.scoring.part(most))
    }

    /// What follows from a decode for the answer in a slot: the next token, once its prompts are read.
    fn follow(&mut self, slot: usize, on_event: OnEvent) -> Result<()> {
        let Some(mut work) = self.slots[slot].work.take() else { return Ok(()) };
        match &mut work.state {
            State::Drawn(_) => self.draw(slot, work, on_event),
            State::GaveWay => {
                self.slots[slot].work = Some(work);
                Ok(())
            }
            State::Reading(reading) => {
                let ((done, total), id) = (reading.progress(), work.id);
                let (is_done, prefill) = (reading.is_done(), reading.prefill());
                if !on_event(BatchEvent::Prefill { id, done, total }) {
                    return self.finish(slot, work, Finish::Cancelled, on_event);
                }
                if is_done {
                    work.run.has_read(prefill);
                    return self.draw(slot, work, on_event);
                }
                self.slots[slot].work = Some(work);
                Ok(())
            }
        }
    }

    /// Draws the next token of an answer, and keeps the answer in its slot unless it has ended.
    fn draw(&mut self, slot: usize, mut work: Work, on_event: OnEvent) -> Result<()> {
        let id = work.id;
        let next = work.run.next(&mut |record| on_event(BatchEvent::Token { id, record }));
        let finish = match next {
            Ok(Next::Token(token)) if lock(&self.slots[slot].pair)?.check_next(work.run.side()).is_ok() => {
                work.state = State::Drawn(token);
                self.slots[slot].work = Some(work);
                return Ok(());
            }
            Ok(Next::Token(_)) if work.run.shift() => {
                self.slots[slot].work = Some(work);
                return self.resume(slot, on_event);
            }
            Ok(Next::Token(_)) => Finish::ContextFull,
            Ok(Next::End(finish)) => finish,
            Err(error) => return self.end(slot, id, false, Err(error), on_event),
        };
        self.finish(slot, work, finish, on_event)
    }

    /// Lets answers that gave way continue, and starts jobs, as far as there is room.
    fn fill_slots(&mut self, on_event: OnEvent) -> Result<()> {
        for slot in 0..self.slots.len() {
            if self.slots[slot].gave_way() && self.has_cells() {
                self.resume(slot, on_event)?;
            }
        }
        while !self.waiting.is_empty() && self.has_room_to_start() {
            let Some((id, job)) = self.waiting.pop_front() else { break };
            let slot = self.idle_slot(&job)?;
            self.start(slot, id, job, on_event)?;
        }
        Ok(())
    }

    /// Who begins now may find cells.
    fn has_cells(&self) -> bool {
        !self.is_full || !self.is_active()
    }

    fn has_room_to_start(&self) -> bool {
        let gave_way = self.slots.iter().any(Slot::gave_way) || self.scoring.gave_way();
        let idle = self.slots.iter().any(|slot| slot.work.is_none());
        idle && !gave_way && self.has_cells()
    }

    /// The idle slot whose cache the job continues, or else the one that was not used for longest.
    fn idle_slot(&self, job: &Job) -> Result<usize> {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| slot.work.is_none());
        let ranked = idle.map(|(i, slot)| {
            let common = if job.cache_prompt { slot.continued_by(job)? } else { 0 };
            Ok((common, Reverse(slot.used), Reverse(i)))
        });
        let best = ranked.collect::<Result<Vec<_>>>()?.into_iter().max();
        best.map(|(.., Reverse(slot))| slot).ok_or_else(|| Error::State { reason: "no slot is idle".into() })
    }

    /// Begins to read a job's prompts.
    fn start(&mut self, slot: usize, id: usize, job: Job, on_event: OnEvent) -> Result<()> {
        let pair = &self.slots[slot].pair;
        if !job.cache_prompt {
            lock(pair)?.clear()?;
        }
        let others = self.others(slot, job.cache_prompt)?;
        let begun = Run::new(&self.model, pair, self.n_ctx, job.arm, &job.settings).and_then(|mut run| {
            let reading = run.begin(&job.prompts, &others.iter().map(|pair| &**pair).collect::<Vec<_>>())?;
            Ok((run, reading))
        });
        drop(others);
        let (run, reading) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.end(slot, id, false, Err(error), on_event),
        };
        let (done, total) = reading.progress();
        let work = Work { id, job, run, state: State::Reading(reading) };
        if !on_event(BatchEvent::Prefill { id, done, total }) {
            return self.finish(slot, work, Finish::Cancelled, on_event);
        }
        self.slots[slot].work = Some(work);
        Ok(())
    }

    /// The other pairs, whose cells may serve a prompt, if that is wanted.
    fn others(&self, slot: usize, wanted: bool) -> Result<Vec<MutexGuard<'_, Pair>>> {
        let others = self.slots.iter().enumerate().filter(|(i, _)| wanted && *i != slot);
        others.map(|(_, other)| lock(&other.pair)).collect()
    }

    /// Has an answer read its prompts and its tokens so far, after it gave way or let go of some.
    fn resume(&mut self, slot: usize, on_event: OnEvent) -> Result<()> {
        let Some(mut work) = self.slots[slot].work.take() else { return Ok(()) };
        let others = self.others(slot, work.job.cache_prompt)?;
        let resumed =
            work.run.resume(&work.job.prompts, &others.iter().map(|pair| &**pair).collect::<Vec<_>>());
        drop(others);
        match resumed {
            Ok(reading) => {
                work.state = State::Reading(reading);
                self.slots[slot].work = Some(work);
                Ok(())
            }
            Err(Error::ContextFull { .. }) => self.finish(slot, work, Finish::ContextFull, on_event),
            Err(error) => self.end(slot, work.id, false, Err(error), on_event),
        }
    }

    fn end_cancelled(&mut self, on_event: OnEvent) -> Result<()> {
        for id in std::mem::take(&mut self.cancelled) {
            if let Some(at) = self.waiting.iter().position(|(other, _)| *other == id) {
                self.waiting.remove(at);
                on_event(BatchEvent::Done { id, answer: Ok(Answer::none()) });
            }
            for slot in 0..self.slots.len() {
                if let Some(work) = self.slots[slot].work.take_if(|work| work.id == id) {
                    self.finish(slot, work, Finish::Cancelled, on_event)?;
                }
            }
            self.scoring.cancel(id, on_event)?;
        }
        Ok(())
    }

    /// Ends an answer as it stands.
    pub(super) fn finish(
        &mut self,
        slot: usize,
        work: Work,
        finish: Finish,
        on_event: OnEvent,
    ) -> Result<()> {
        // Half a prompt serves as well as far as it goes.
        let (id, keep) = (work.id, work.job.cache_prompt);
        let answer = work.run.finish(finish, &mut |text| {
            on_event(BatchEvent::Tail { id, text });
        });
        self.end(slot, id, keep, Ok(answer), on_event)
    }

    pub(super) fn end(
        &mut self,
        slot: usize,
        id: usize,
        keep: bool,
        answer: Result<Answer>,
        on_event: OnEvent,
    ) -> Result<()> {
        self.clock += 1;
        self.slots[slot].used = self.clock;
        let cleared =
            if keep { Ok(()) } else { lock(&self.slots[slot].pair).and_then(|mut pair| pair.clear()) };
        self.is_full = false;
        on_event(BatchEvent::Done { id, answer });
        cleared
    }

    /// Ends every job and every draft that was handed in, as cancelled or with one error for all. Returns the first error of its
    /// own.
    pub(super) fn end_all(&mut self, error: Option<&Error>, on_event: OnEvent) -> Result<()> {
        let mut result = Ok(());
        for slot in 0..self.slots.len() {
            let Some(work) = self.slots[slot].work.take() else { continue };
            let ended = match error {
                None => self.finish(slot, work, Finish::Cancelled, on_event),
                Some(error) => self.end(slot, work.id, false, Err(error.clone()), on_event),
            };
            result = result.and(ended);
        }
        for (id, _) in std::mem::take(&mut self.waiting) {
            let answer = error.cloned().map_or_else(|| Ok(Answer::none()), Err);
            on_event(BatchEvent::Done { id, answer });
        }
        self.cancelled.clear();
        result.and(self.scoring.end_all(error.unwrap_or(&Error::Cancelled), on_event))
    }
}
