//! Many answers side by side in one context: each step decodes the rows of all of them at once, and a
//! finished answer's place is taken by the next job.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::run::{Next, Run};
use super::{
    Answer, Arm, Finish, Generation, Prompts, ScoreDistribution, StepRecord, branch_length, local_judge,
};
use crate::branch::{Move, Pair, SharedPair, lock, step_many};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::{ContextOptions, Model};

/// One answer to generate.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Which distribution it is drawn from.
    pub arm: Arm,
    /// The prompts; an arm that runs on one branch reads that one only.
    pub prompts: Prompts,
    /// How to generate it.
    pub settings: Generation,
}

/// What the caller is told while answers are generated. `id` is what the caller gave the job.
pub enum BatchEvent<'a> {
    /// Rows of a job's prompts that were read, of all.
    Prefill {
        /// The job.
        id: usize,
        /// Rows done.
        done: usize,
        /// Rows in all.
        total: usize,
    },
    /// A token of a job was generated.
    Token {
        /// The job.
        id: usize,
        /// The token.
        record: &'a StepRecord,
    },
    /// A job had to give way, because the cells of [`Batch::with_cells`] ran out. Its tokens so far are void:
    /// it starts anew later.
    PutBack {
        /// The job.
        id: usize,
    },
    /// A job is done: exactly once for each.
    Done {
        /// The job.
        id: usize,
        /// Its answer, or why there is none.
        answer: Result<Answer>,
    },
}

type Jobs<'a> = &'a mut dyn FnMut() -> Option<(usize, Job)>;
type OnEvent<'a> = &'a mut dyn FnMut(BatchEvent) -> bool;

/// A context for many answers at once; it keeps the model. May move between threads; not used by two at once.
pub struct Batch {
    pairs: Vec<SharedPair>,
    judge: Context,
    model: Model,
    n_ctx: usize,
}

impl Batch {
    /// Makes a context for `n_pairs` answers at once. `n_ctx` is as in [`Engine::new`](super::Engine::new):
    /// the most tokens that each branch can hold, 0 leaves it to us. The KV cache gets twice as many cells a
    /// pair, in sliding-window layers too, so that no answer can take another's.
    pub fn new(model: &Model, n_pairs: usize, n_ctx: usize, options: &ContextOptions) -> Result<Batch> {
        let n_ctx = branch_length(model, n_ctx);
        Batch::with_cells(model, n_pairs, n_ctx, 2 * n_ctx * n_pairs, options)
    }

    /// As [`Batch::new`], with another number of KV cells, at least those of one pair: for answers that are
    /// mostly much shorter than `n_ctx`. When the cells run out, the answer with the fewest tokens gives way
    /// and starts anew later.
    pub fn with_cells(
        model: &Model,
        n_pairs: usize,
        n_ctx: usize,
        cells: usize,
        options: &ContextOptions,
    ) -> Result<Batch> {
        let n_ctx = branch_length(model, n_ctx);
        if n_pairs == 0 {
            return Err(Error::param("n_pairs", n_pairs, "at least 1"));
        }
        if cells < 2 * n_ctx {
            return Err(Error::param("cells", cells, "at least twice n_ctx"));
        }
        let cells = u32::try_from(cells)
            .map_err(|_| Error::param("cells", cells, "at most 4294967295, as are 2 n_ctx n_pairs"))?;
        // One more sequence is the local judge's.
        let n_seq_max = u32::try_from(2 * n_pairs + 1)
            .map_err(|_| Error::param("n_pairs", n_pairs, "at most 2147483647"))?;
        if (options.n_batch as usize) < 2 * n_pairs {
            return Err(Error::param("n_batch", options.n_batch, "at least 2 a pair"));
        }
        let options = ContextOptions { n_ctx: cells, n_seq_max, ..*options };
        let context = model.new_context(&options)?;
        let pairs = (0..n_pairs as SeqId).map(|i| {
            let mut pair = Pair::new(context.clone(), 2 * i, 2 * i + 1)?;
            pair.set_limit(n_ctx);
            Ok(Arc::new(Mutex::new(pair)))
        });
        let pairs = pairs.collect::<Result<_>>()?;
        Ok(Batch { pairs, judge: context, model: model.clone(), n_ctx })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The most tokens that each branch can hold.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// The most answers at once.
    pub fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// One of the pairs, for programs that run their own loop. [`Error::Panic`] if a panic has left it in an
    /// unknown state.
    ///
    /// # Panics
    /// Panics if `i` is not below [`Batch::n_pairs`].
    pub fn pair(&self, i: usize) -> Result<MutexGuard<'_, Pair>> {
        lock(&self.pairs[i])
    }

    /// Runs jobs until `jobs` has no more and all are done. Each is given an id by the caller, under which
    /// `on_event` hears of it; false stops, and every job that was taken is [`BatchEvent::Done`] with the
    /// answer so far.
    ///
    /// A job's failure is its own. An error of the context as a whole fails the jobs that were running, and
    /// is returned.
    ///
    /// A job starts on empty sequences, so with one pair an answer is the same as
    /// [`Engine::generate`](super::Engine::generate) gives in a new engine. With more, the batches have
    /// another shape, and the rounding of quantized weights may choose another token.
    pub fn run(&mut self, jobs: Jobs, on_event: OnEvent) -> Result<()> {
        let mut shift = Shift {
            model: &self.model,
            n_ctx: self.n_ctx,
            places: self.pairs.iter().map(|pair| Place { pair, work: None }).collect(),
            jobs,
            put_back: VecDeque::new(),
            is_full: false,
            on_event,
            stopped: false,
        };
        shift.work()
    }

    /// Scores a draft between two runs, as [`Engine::score`](super::Engine::score) does.
    pub fn score(
        &mut self,
        judge_prompt: &[Token],
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<ScoreDistribution> {
        let seq = 2 * self.pairs.len() as SeqId;
        local_judge::score(&self.model, &mut self.judge, seq, judge_prompt, progress)
    }
}

/// A pair and the answer that is written in it.
struct Place<'b> {
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

/// One call of [`Batch::run`].
struct Shift<'a, 'b> {
    model: &'b Model,
    n_ctx: usize,
    places: Vec<Place<'b>>,
    jobs: Jobs<'a>,
    /// Jobs that had no room.
    put_back: VecDeque<(usize, Job)>,
    /// The cells ran out, and no answer has ended since: nobody is let in.
    is_full: bool,
    on_event: OnEvent<'a>,
    stopped: bool,
}

impl Shift<'_, '_> {
    fn work(&mut self) -> Result<()> {
        loop {
            for place in 0..self.places.len() {
                // Logits do not outlive a decode, so a newcomer's first token is drawn before the next one.
                while self.places[place].work.is_none() && self.may_start() {
                    let Some((id, job)) = self.put_back.pop_front().or_else(|| (self.jobs)()) else { break };
                    self.start(place, id, job)?;
                }
            }
            if self.stopped {
                return self.send_home();
            }
            if self.running() == 0 {
                return Ok(());
            }
            self.step()?;
        }
    }

    fn may_start(&self) -> bool {
        !self.stopped && (!self.is_full || self.running() == 0)
    }

    fn running(&self) -> usize {
        self.places.iter().filter(|place| place.work.is_some()).count()
    }

    /// Reads a job's prompts and draws its first token.
    fn start(&mut self, place: usize, id: usize, job: Job) -> Result<()> {
        let pair = self.places[place].pair;
        let mut run = match Run::new(self.model, pair, self.n_ctx, job.arm, &job.settings) {
            Ok(run) => run,
            Err(error) => return self.end(place, id, Err(error)),
        };
        let on_event = &mut *self.on_event;
        match run.read(&job.prompts, &mut |done, total| on_event(BatchEvent::Prefill { id, done, total })) {
            Ok(()) => self.draw(place, Work { id, job, run, token: 0 }),
            Err(Error::Cancelled) => {
                self.stopped = true;
                self.end(place, id, Ok(run.finish(Finish::Cancelled)))
            }
            Err(Error::ContextFull { .. }) if self.running() > 0 && self.fits(&job) => {
                self.put_back(id, job);
                Ok(())
            }
            Err(error) => self.end(place, id, Err(error)),
        }
    }

    /// True if a job has room as soon as others have left.
    fn fits(&self, job: &Job) -> bool {
        job.prompts.plain.len().max(job.prompts.instructed.len()) <= self.n_ctx
    }

    fn put_back(&mut self, id: usize, job: Job) {
        self.is_full = true;
        self.put_back.push_front((id, job));
    }

    /// Draws the next token of an answer, and keeps the answer in its place unless it has ended.
    fn draw(&mut self, place: usize, mut work: Work) -> Result<()> {
        let (id, on_event) = (work.id, &mut *self.on_event);
        let next = work.run.next(&mut |record| on_event(BatchEvent::Token { id, record }));
        let answer = match next {
            Ok(Next::Token(token)) if lock(self.places[place].pair)?.check_next(work.run.side()).is_ok() => {
                work.token = token;
                self.places[place].work = Some(work);
                return Ok(());
            }
            Ok(Next::Token(_)) => Ok(work.run.finish(Finish::ContextFull)),
            Ok(Next::End(finish)) => {
                self.stopped |= finish == Finish::Cancelled;
                Ok(work.run.finish(finish))
            }
            Err(error) => Err(error),
        };
        self.end(place, id, answer)
    }

    /// Decodes one token of every answer and draws the next ones.
    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let working = self.places.iter().filter_map(|place| Some((place.pair, place.work.as_ref()?)));
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
            Err(error) => return self.fail(error),
        }
        // Each answer bears its share, so that the times of all add up.
        let share = start.elapsed() / self.running().max(1) as u32;
        for place in 0..self.places.len() {
            let Some(mut work) = self.places[place].work.take() else { continue };
            work.run.timings.decode += share;
            self.draw(place, work)?;
        }
        Ok(())
    }

    /// The answer that loses least gives way; an answer that is alone has come to its end.
    fn make_room(&mut self) -> Result<()> {
        let with_work = |place: &usize| self.places[*place].work.is_some();
        let length = |place: &usize| self.places[*place].work.as_ref().map_or(0, |work| work.run.len());
        let Some(place) = (0..self.places.len()).filter(with_work).min_by_key(length) else { return Ok(()) };
        let alone = self.running() == 1;
        let Some(work) = self.places[place].work.take() else { return Ok(()) };
        if alone {
            return self.end(place, work.id, Ok(work.run.finish(Finish::ContextFull)));
        }
        lock(self.places[place].pair)?.clear()?;
        self.stopped |= !(self.on_event)(BatchEvent::PutBack { id: work.id });
        self.put_back(work.id, work.job);
        Ok(())
    }

    fn end(&mut self, place: usize, id: usize, answer: Result<Answer>) -> Result<()> {
        let cleared = lock(self.places[place].pair).and_then(|mut pair| pair.clear());
        self.is_full = false;
        self.stopped |= !(self.on_event)(BatchEvent::Done { id, answer });
        cleared
    }

    /// Ends everything that runs or waits, as the caller wants it.
    fn send_home(&mut self) -> Result<()> {
        for place in 0..self.places.len() {
            if let Some(Work { id, run, .. }) = self.places[place].work.take() {
                self.end(place, id, Ok(run.finish(Finish::Cancelled)))?;
            }
        }
        while let Some((id, job)) = self.put_back.pop_front() {
            let run = Run::new(self.model, self.places[0].pair, self.n_ctx, job.arm, &job.settings);
            self.end(0, id, run.map(|run| run.finish(Finish::Cancelled)))?;
        }
        Ok(())
    }

    /// Ends everything that runs or waits with the same error.
    fn fail(&mut self, error: Error) -> Result<()> {
        for place in 0..self.places.len() {
            if let Some(Work { id, .. }) = self.places[place].work.take() {
                self.end(place, id, Err(error.clone()))?;
            }
        }
        while let Some((id, _)) = self.put_back.pop_front() {
            self.end(0, id, Err(error.clone()))?;
        }
        Err(error)
    }
}
