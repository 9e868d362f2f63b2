//! The engine's thread: one decode after another, for all jobs at once. Between two of them it takes orders.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use sda::engine::{Arm, Batch, BatchEvent, SlotState};
use sda::judge::{Judge, Verdict};

use super::app::App;
use super::desk::{Draft, Order, Work};
use super::told::Told;
use crate::failure::{Failure, Outcome};
use crate::ui::console::note;

/// Decodes that may fail one after another before the server gives up.
const MOST_FAILURES: u32 = 3;

pub struct Engine {
    app: Arc<App>,
    batch: Batch,
    orders: mpsc::Receiver<Order>,
    clients: HashMap<usize, Client>,
    next_id: usize,
    stopped: bool,
    failures: u32,
}

/// Who waits for a job.
struct Client {
    work: Work,
    prompt_tokens: usize,
    handed_in: Instant,
    is_cancelled: bool,
    is_begun: bool,
}

impl Engine {
    pub fn new(app: Arc<App>, batch: Batch, orders: mpsc::Receiver<Order>) -> Engine {
        Engine { app, batch, orders, clients: HashMap::new(), next_id: 0, stopped: false, failures: 0 }
    }

    /// Works until the server is stopped.
    pub fn run(mut self) -> Outcome {
        loop {
            if self.clients.is_empty() {
                if self.stopped {
                    return Ok(());
                }
                match self.orders.recv() {
                    Ok(order) => self.carry_out(order),
                    // Nobody is left who could ask.
                    Err(mpsc::RecvError) => return Ok(()),
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                self.carry_out(order);
            }
            self.cancel_the_gone();
            self.step()?;
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Answer(work) => self.take(*work),
            Order::Score { draft, reply } => drop(reply.send(self.score(&draft))),
            Order::Slots { reply } => drop(reply.send(self.slots())),
            Order::Stop => {
                self.stopped = true;
                for (id, client) in &mut self.clients {
                    client.is_cancelled = true;
                    self.batch.cancel(*id);
                }
            }
        }
    }

    fn take(&mut self, mut work: Work) {
        if self.stopped {
            let error = sda::Error::Cancelled.into();
            let _ = work.to.send(Told::Failed(error));
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let job = std::mem::take(&mut work.job);
        let prompt_tokens = match job.arm {
            Arm::Plain => job.prompts.plain.len(),
            Arm::Instructed | Arm::Steered => job.prompts.instructed.len(),
        };
        self.batch.submit(id, job);
        let (handed_in, is_cancelled, is_begun) = (Instant::now(), false, false);
        self.clients.insert(id, Client { work, prompt_tokens, handed_in, is_cancelled, is_begun });
    }

    /// Jobs whose clients have gone are of no use, those in the queue as well.
    fn cancel_the_gone(&mut self) {
        for (id, client) in &mut self.clients {
            if client.work.to.is_closed() && !client.is_cancelled {
                client.is_cancelled = true;
                self.batch.cancel(*id);
            }
        }
    }

    fn step(&mut self) -> Outcome {
        let Engine { batch, clients, app, .. } = self;
        let metrics = &app.metrics;
        let (mut tokens, mut ended) = (0, Vec::new());
        let stepped = batch.step(&mut |event| {
            let (id, told) = match event {
                BatchEvent::Prefill { id, done, total } => (id, Tell::Prefill { done, total }),
                BatchEvent::Token { id, record } => (id, Tell::Token(record)),
                BatchEvent::Tail { id, text } => (id, Tell::Tail(text)),
                BatchEvent::Done { id, answer } => {
                    ended.push(id);
                    (id, Tell::Done(answer))
                }
                // It continues with what it has.
                BatchEvent::GaveWay { .. } => return true,
            };
            let Some(client) = clients.get_mut(&id) else { return false };
            let choice = client.work.choice;
            let told = match told {
                Tell::Prefill { done, total } => Told::Prefill { choice, done, total },
                Tell::Token(record) => {
                    tokens += 1;
                    if !std::mem::replace(&mut client.is_begun, true) {
                        metrics.first_token(client.handed_in.elapsed());
                    }
                    Told::Token { choice, record: record.clone() }
                }
                Tell::Tail(text) => Told::Tail { choice, text: text.to_owned() },
                Tell::Done(answer) => {
                    metrics.answered(answer.as_ref().ok(), client.handed_in.elapsed());
                    Told::Done { choice, answer }
                }
            };
            client.work.to.send(told).is_ok()
        });
        metrics.stepped(tokens);
        for id in &ended {
            clients.remove(id);
        }
        match stepped {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                note(&format!("the engine failed, and with it {} answers: {error}", ended.len()));
                if self.failures >= MOST_FAILURES {
                    return Err(Failure::from(error));
                }
            }
        }
        Ok(())
    }

    /// Has the loaded model score a draft, while all answers wait.
    fn score(&mut self, draft: &Draft) -> sda::Result<Verdict> {
        let loaded = self.app.present().ok_or(sda::Error::Cancelled)?;
        let mut judge = self.batch.judge(loaded.prompter.template()).with_n_ctx_name("--ctx-size");
        judge.score(&draft.request(), &draft.is_unwanted)
    }

    fn slots(&self) -> sda::Result<Vec<(SlotState, usize)>> {
        let tokens = |slot: &SlotState| {
            slot.job.and_then(|id| self.clients.get(&id)).map_or(0, |client| client.prompt_tokens)
        };
        Ok(self.batch.slots()?.into_iter().map(|slot| (slot, tokens(&slot))).collect())
    }
}

/// An event without its job.
enum Tell<'a> {
    Prefill { done: usize, total: usize },
    Token(&'a sda::engine::StepRecord),
    Tail(&'a str),
    Done(sda::Result<sda::engine::Answer>),
}
