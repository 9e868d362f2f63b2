//! The desk before the engine: where requests hand in their jobs. The engine has a thread of its own and never waits
//! for a client; the desk has a bound, so that no more jobs wait than it was told.

use std::sync::{Arc, mpsc};

use sda::engine::{Job, ScoreDistribution, SlotState};
use sda::host::Token;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::ApiError;
use super::told::Told;

/// Room for some jobs, until the last of them has dropped it.
pub type Places = Arc<OwnedSemaphorePermit>;

/// Hands orders to the engine's thread.
pub struct Desk {
    orders: mpsc::Sender<Order>,
    places: Arc<Semaphore>,
    /// Slots and places in the queue.
    room: usize,
}

/// What the engine is asked to do.
pub enum Order {
    Answer(Box<Work>),
    /// Have the loaded model read a judge's prompt; nobody wants the score any more once nobody waits for the reply.
    Score {
        prompt: Vec<Token>,
        reply: oneshot::Sender<sda::Result<ScoreDistribution>>,
    },
    Slots {
        reply: oneshot::Sender<sda::Result<Vec<(SlotState, usize)>>>,
    },
    /// End all jobs, and take no others.
    Stop,
}

/// One answer that is wanted. It is cancelled when nobody listens any more.
pub struct Work {
    pub job: Job,
    /// Which of its request's answers it is.
    pub choice: usize,
    pub to: UnboundedSender<Told>,
    /// Held until the job is done.
    pub _places: Places,
}

impl Desk {
    /// A desk for `slots` answers at once and `queue` that wait, and where its orders arrive.
    pub fn new(slots: usize, queue: usize) -> (Desk, mpsc::Receiver<Order>) {
        let (orders, arriving) = mpsc::channel();
        let room = slots + queue;
        (Desk { orders, places: Arc::new(Semaphore::new(room)), room }, arriving)
    }

    /// Room for `n` jobs.
    pub fn reserve(&self, n: usize) -> Result<Places, ApiError> {
        if n > self.room {
            let allowed = format!("at most {} in all, the slots and the queue of this server", self.room);
            return Err(ApiError::field("n", format!("{n} answers"), &allowed));
        }
        let places = Arc::clone(&self.places).try_acquire_many_owned(n as u32);
        places.map(Arc::new).map_err(|_| {
            ApiError::unavailable(format!("all slots are busy and the queue is full ({} answers)", self.room))
        })
    }

    /// Jobs under way or waiting.
    pub fn taken(&self) -> usize {
        self.room - self.places.available_permits()
    }

    pub fn answer(&self, work: Work) -> Result<(), ApiError> {
        self.send(Order::Answer(Box::new(work)))
    }

    /// Has the loaded model read a judge's prompt, beside the answers. Dropping this ends it.
    pub async fn score(&self, prompt: Vec<Token>) -> sda::Result<ScoreDistribution> {
        let (reply, score) = oneshot::channel();
        let sent = self.send(Order::Score { prompt, reply });
        if sent.is_err() {
            return Err(sda::Error::Cancelled);
        }
        score.await.unwrap_or(Err(sda::Error::Cancelled))
    }

    /// What the slots are doing; beside each the tokens of its job's prompt.
    pub async fn slots(&self) -> Result<Vec<(SlotState, usize)>, ApiError> {
        let (reply, slots) = oneshot::channel();
        self.send(Order::Slots { reply })?;
        Ok(slots.await.unwrap_or(Err(sda::Error::Cancelled))?)
    }

    /// Ends all jobs.
    pub fn stop(&self) {
        let _ = self.send(Order::Stop);
    }

    fn send(&self, order: Order) -> Result<(), ApiError> {
        self.orders.send(order).map_err(|_| sda::Error::Cancelled.into())
    }
}
