//! What gives way when the cells of a batch have run out.

use super::scheduler::Scheduler;
use super::slot::{Slot, State};
use super::types::{BatchEvent, Finish, OnEvent};
use crate::branch::lock;
use crate::error::{Error, Result};

impl Scheduler {
    /// The cells have run out. Cached prompts go first, then a judge's, then what has only begun, and then the answer that
    /// loses least; one that is alone has come to its end.
    pub(super) fn make_room(&mut self, error: Error, on_event: OnEvent) -> Result<()> {
        if self.drop_oldest_cache()? {
            return Ok(());
        }
        if self.scoring.is_active() {
            if !self.is_active() {
                return self.scoring.end(Err(error), on_event);
            }
            self.is_full = true;
            return self.scoring.give_way();
        }
        let active = |slot: &usize| self.slots[*slot].is_active();
        let length = |slot: &usize| self.slots[*slot].work.as_ref().map_or(0, |work| work.run.len());
        // Of equals the last one, which has waited for less.
        let loser = (0..self.slots.len()).rev().filter(active).min_by_key(length);
        let alone = (0..self.slots.len()).filter(active).count() == 1;
        let Some(slot) = loser else { return Err(error) };
        let Some(mut work) = self.slots[slot].work.take() else { return Err(error) };
        if alone && work.run.len() == 0 {
            return self.end(slot, work.id, false, Err(error), on_event);
        }
        if alone {
            return self.finish(slot, work, Finish::ContextFull, on_event);
        }
        lock(&self.slots[slot].pair)?.clear()?;
        self.is_full = true;
        if work.run.len() == 0 {
            self.waiting.push_front((work.id, work.job));
            return Ok(());
        }
        if !on_event(BatchEvent::GaveWay { id: work.id }) {
            return self.finish(slot, work, Finish::Cancelled, on_event);
        }
        work.state = State::GaveWay;
        self.slots[slot].work = Some(work);
        Ok(())
    }

    /// Empties the idle slot that was not used for longest and holds anything. False if none does.
    pub(super) fn drop_oldest_cache(&mut self) -> Result<bool> {
        let mut idle: Vec<&mut Slot> = self.slots.iter_mut().filter(|slot| slot.work.is_none()).collect();
        idle.sort_by_key(|slot| slot.used);
        for slot in idle {
            let mut pair = lock(&slot.pair)?;
            if pair.held() > 0 {
                pair.clear()?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
