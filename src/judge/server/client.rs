//! The HTTP judge: cache, samples, retries and the server's dialect around single requests.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::cache::{Cache, CacheKey};
use super::endpoint::Endpoint;
use super::http::Http;
use super::retry;
use super::settings::Settings;
use super::step::{Failure, Step, next_step};
use super::wire::{self, Dialect};
use crate::error::{Error, Result, excerpt};
use crate::judge::{Judge, JudgeRequest, Verdict};

type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// A judge behind an OpenAI-compatible server.
///
/// One client can be used by several threads at once; they share its connections, its cache and
/// what it has learned about the server. Making one does not touch the network.
///
/// ```no_run
/// use sda::Quality;
/// use sda::judge::{Cache, Client, JudgeRequest, OnFailure, Resolution, Settings, resolve};
///
/// let settings = Settings::new("http://127.0.0.1:8080/v1", "qwen3-8b");
/// let client = Client::new(settings)?.with_cache(Cache::new("/tmp/judge-cache"));
/// let request = JudgeRequest {
///     query: "My cat died yesterday.",
///     draft: "Cats live twelve to eighteen years.",
///     instruction: "",
///     dimension: Some(Quality::Empathy),
/// };
/// match resolve(client.score(&request, &|| false), OnFailure::Instructed) {
///     Resolution::Score(score) => println!("steer by {score}"),
///     Resolution::PlainOnly(e) => println!("plain answer: {e}"),
///     Resolution::InstructedOnly(e) => println!("no steering: {e}"),
///     Resolution::Err(e) => return Err(e),
/// }
/// # Ok::<(), sda::Error>(())
/// ```
pub struct Client {
    settings: Settings,
    endpoint: Endpoint,
    http: Http,
    dialect: Mutex<Dialect>,
    cache: Option<Cache>,
    warn: Option<Warn>,
    warned_of_cache: AtomicBool,
    warned_of_key: AtomicBool,
}

impl Client {
    /// Checks the settings and reads the CA file.
    ///
    /// # Errors
    /// [`Error::Param`] for a value out of range, [`Error::Io`] for a CA file that cannot be read.
    pub fn new(settings: Settings) -> Result<Self> {
        let endpoint = settings.check()?;
        let http = Http::new(&settings, &endpoint)?;
        let dialect = Mutex::new(Dialect::first(settings.response_format));
        Ok(Client {
            settings,
            endpoint,
            http,
            dialect,
            cache: None,
            warn: None,
            warned_of_cache: AtomicBool::new(false),
            warned_of_key: AtomicBool::new(false),
        })
    }

    /// Looks verdicts up in `cache` and stores new ones there. A client without one asks every time.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Has `warn` called with what the user should know and what does not fail a score: once when
    /// the cache cannot be used, once when the key travels unencrypted. It may be called from any
    /// thread that scores. Nothing is printed without it.
    #[must_use]
    pub fn with_warnings(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warn = Some(Box::new(warn));
        self
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Scores one draft, from the cache if it is there.
    ///
    /// Blocks for at most (retries + 1) times the timeout and the waits between, for each sample.
    /// `cancel` is asked about forty times a second on the calling thread.
    ///
    /// # Errors
    /// [`Error::Judge`] when any sample has no usable score, or one that the draft or the query
    /// dictates ([`crate::judge::holds_score`]): what came back, the status, the number of attempts, the
    /// time and the host are named, the key never. [`Error::Cancelled`].
    /// [`Error::Param`] for a request without a criterion.
    pub fn score(&self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        request.validate()?;
        let key = self.cache_key(request);
        if let Some(verdict) = self.recall(&key) {
            return Ok(verdict);
        }
        self.warn_of_key();
        let mut samples = Vec::new();
        let mut attempts = 0;
        for n in 0..self.settings.samples {
            samples.push(self.sample(request, n, &mut attempts, cancel)?);
        }
        let verdict = Verdict { attempts, ..Verdict::from_samples(samples)? };
        self.store(&key, &verdict);
        Ok(verdict)
    }

    /// One score: requests until one is answered, or until the policy gives up.
    fn sample(
        &self,
        request: &JudgeRequest<'_>,
        n: u32,
        attempts: &mut u32,
        cancel: &dyn Fn() -> bool,
    ) -> Result<f32> {
        let start = Instant::now();
        let mut retries = 0;
        let mut tries = 0;
        let mut broken = 0;
        let mut looser = None;
        loop {
            let known = *self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
            let dialect = looser.unwrap_or(known);
            let prompt = self.settings.template(request.dimension).render(request, dialect.reply())?;
            let body: Arc<[u8]> = wire::body(&self.settings, dialect, &prompt, n).into();
            let outcome = self.http.post(&body, cancel)?;
            *attempts += 1;
            tries += 1;
            let failure = match outcome {
                Ok(reply) => match next_step(&self.settings, request, dialect, reply) {
                    Step::Score(score) => {
                        // What was only tried has worked.
                        self.learn(known, dialect);
                        return Ok(score);
                    }
                    Step::Adapt(next) => {
                        self.learn(dialect, next);
                        looser = looser.map(|_| next);
                        continue;
                    }
                    Step::Fail(failure) => failure,
                },
                Err(fault) => Failure { retryable: fault.retryable, ..Failure::because(fault.why) },
            };
            let last = retries >= self.settings.retry.max_retries;
            // Servers also break over a format that they do not have. The first time it may have been chance.
            broken += u32::from(failure.broken);
            let next =
                if failure.broken && (broken > 1 || last) { dialect.looser(&self.settings) } else { None };
            looser = next.or(looser);
            if !failure.retryable || (last && next.is_none()) {
                return Err(self.error(&failure, n, tries, start));
            }
            retry::sleep(self.settings.retry.wait(retries, retry::draw(), failure.wait), cancel)?;
            retries = (retries + 1).min(self.settings.retry.max_retries);
        }
    }

    /// Keeps what a reply has taught about the server.
    fn learn(&self, from: Dialect, to: Dialect) {
        let mut current = self.dialect.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have changed it already. Nothing that was given up comes back.
        if *current == from && from < to {
            *current = to;
        }
    }

    fn error(&self, failure: &Failure, n: u32, tries: u32, start: Instant) -> Error {
        let host = self.endpoint.host();
        let why = self.scrub(&failure.why);
        let seconds = start.elapsed().as_secs_f64();
        let attempts = if tries == 1 { "attempt" } else { "attempts" };
        let mut reason = format!("{host}: {why}, after {tries} {attempts} in {seconds:.2} s");
        if self.settings.samples > 1 {
            reason.push_str(&format!(", sample {} of {}", n + 1, self.settings.samples));
        }
        let shown = excerpt(&self.scrub(&failure.shown));
        if !shown.is_empty() {
            reason.push_str(&format!(": \"{shown}\""));
        }
        Error::Judge { reason }
    }

    fn scrub(&self, text: &str) -> String {
        self.settings.key.as_ref().map_or_else(|| text.to_string(), |key| key.scrub(text))
    }

    /// Everything that the verdict depends on. The nonce is left out, being new each time, and the
    /// reply form is that of the setting, since what a server takes is not known beforehand.
    fn cache_key(&self, request: &JudgeRequest<'_>) -> CacheKey {
        let s = &self.settings;
        let reply = Dialect::first(s.response_format).reply();
        let prompt = s.template(request.dimension).expand(request, reply, "");
        CacheKey::of(&[
            self.endpoint.uri().to_string().as_bytes(),
            s.model.as_bytes(),
            self.numbers().as_bytes(),
            s.response_format.name().as_bytes(),
            prompt.as_bytes(),
            // Once more on their own: inside the prompt, a text could pretend to be its neighbour.
            request.query.as_bytes(),
            request.draft.as_bytes(),
        ])
    }

    /// The numbers as 0.1.0 wrote them, whose cache this keeps: `Some(0.0) Some(1) None 1`.
    fn numbers(&self) -> String {
        let s = &self.settings;
        format!("{:?} {:?} {:?} {}", s.temperature, s.seed, s.max_tokens, s.samples)
    }

    /// A hash of what all verdicts depend on beside the request: server, model, numbers and templates.
    /// Two clients with the same one can stand in for each other. It reveals nothing about the key.
    pub fn fingerprint(&self) -> String {
        let s = &self.settings;
        let mut parts = vec![
            self.endpoint.uri().to_string(),
            s.model.clone(),
            self.numbers(),
            s.response_format.name().to_owned(),
            s.template.identity(),
        ];
        for (quality, template) in &s.templates {
            parts.extend([quality.name().to_owned(), template.identity()]);
        }
        CacheKey::of(&parts.iter().map(String::as_bytes).collect::<Vec<_>>()).to_string()
    }

    fn recall(&self, key: &CacheKey) -> Option<Verdict> {
        self.cache.as_ref()?.get(key).unwrap_or_else(|e| {
            self.warn_once(&self.warned_of_cache, &format!("judge cache cannot be read: {e}"));
            None
        })
    }

    fn store(&self, key: &CacheKey, verdict: &Verdict) {
        if let Some(Err(e)) = self.cache.as_ref().map(|cache| cache.put(key, verdict)) {
            self.warn_once(&self.warned_of_cache, &format!("judge cache cannot be written: {e}"));
        }
    }

    fn warn_of_key(&self) {
        if self.settings.key.is_some() && !self.endpoint.is_encrypted() && !self.endpoint.is_loopback() {
            let text = format!("the judge's API key is sent unencrypted to {}", self.endpoint.host());
            self.warn_once(&self.warned_of_key, &text);
        }
    }

    fn warn_once(&self, warned: &AtomicBool, text: &str) {
        if let Some(warn) = &self.warn
            && !warned.swap(true, Ordering::Relaxed)
        {
            warn(text);
        }
    }
}

impl Judge for Client {
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        Client::score(self, request, cancel)
    }

    fn describe(&self) -> String {
        Judge::describe(&self)
    }
}

/// One of several users of the same client.
impl Judge for &Client {
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        Client::score(self, request, cancel)
    }

    fn describe(&self) -> String {
        match self.settings.model.as_str() {
            "" => self.endpoint.host().to_string(),
            model => format!("{model} at {}", self.endpoint.host()),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
