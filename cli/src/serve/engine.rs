//! The engine's thread: one decode after another, for all jobs at once. Between two of them it takes orders.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use sda::engine::{Arm, Batch, BatchEvent, ScoreDistribution, SlotState};
use sda::host::Token;
use tokio::sync::oneshot;

use super::app::App;
use super::desk::{Order, Work};
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
    /// Who waits for the score of a draft.
    scores: HashMap<usize, Score>,
    next_id: usize,
    stopped: bool,
    failures: u32,
}

type Score = oneshot::Sender<sda::Result<ScoreDistribution>>;

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
        let (clients, scores) = (HashMap::new(), HashMap::new());
        Engine { app, batch, orders, clients, scores, next_id: 0, stopped: false, failures: 0 }
    }

    /// Works until the server is stopped.
    pub fn run(mut self) -> Outcome {
        loop {
            if self.clients.is_empty() && self.scores.is_empty() {
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
            Order::Score { prompt, reply } => self.score(prompt, reply),
            Order::Slots { reply } => drop(reply.send(self.slots())),
            Order::Stop => {
                self.stopped = true;
                for (id, client) in &mut self.clients {
                    client.is_cancelled = true;
                    self.batch.cancel(*id);
                }
                self.scores.keys().for_each(|id| self.batch.cancel(*id));
            }
        }
    }

    fn new_id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id - 1
    }

    fn take(&mut self, mut work: Work) {
        if self.stopped {
            let error = sda::Error::Cancelled.into();
            let _ = work.to.send(Told::Failed(error));
            return;
        }
        let id = self.new_id();
        let job = std::mem::take(&mut work.job);
        let prompt_tokens = match job.arm {
            Arm::Plain => job.prompts.plain.len(),
            Arm::Instructed | Arm::Steered => job.prompts.instructed.len(),
        };
        self.batch.submit(id, job);
        let (handed_in, is_cancelled, is_begun) = (Instant::now(), false, false);
        self.clients.insert(id, Client { work, prompt_tokens, handed_in, is_cancelled, is_begun });
    }

    /// Has the loaded model score a draft.
    fn score(&mut self, prompt: Vec<Token>, reply: Score) {
        if self.stopped {
            let _ = reply.send(Err(sda::Error::Cancelled));
            return;
        }
        let id = self.new_id();
        self.batch.submit_score(id, prompt);
        self.scores.insert(id, reply);
    }

    /// Jobs whose clients have gone are of no use, those in the queue as well.
    fn cancel_the_gone(&mut self) {
        for (id, client) in &mut self.clients {
            if client.work.to.is_closed() && !client.is_cancelled {
                client.is_cancelled = true;
                self.batch.cancel(*id);
            }
        }
        let unwanted = self.scores.iter().filter(|(_, reply)| reply.is_closed());
        unwanted.for_each(|(id, _)| self.batch.cancel(*id));
    }

    fn step(&mut self) -> Outcome {
        let Engine { batch, clients, scores, app, .. } = self;
        let metrics = &app.metrics;
        let (mut tokens, mut ended) = (0, Vec::new());
        let stepped = batch.step(&mut |event| {
            let (id, told) = match event {
                BatchEvent::Prefill { id, .. } if scores.contains_key(&id) => return true,
                BatchEvent::Scored { id, score } => {
                    return scores.remove(&id).is_some_and(|reply| reply.send(score).is_ok());
                }
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
