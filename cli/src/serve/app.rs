//! What all requests share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sda::llama::Model;
use tokio::sync::watch;

use super::args::ServeArgs;
use super::desk::Desk;
use super::error::ApiError;
use super::keys::{Keys, Origins};
use super::metrics::Metrics;
use crate::failure::{Failure, Outcome};
use crate::prompts::Prompter;
use crate::session::Session;
use crate::strength::Source;

pub struct App {
    pub args: ServeArgs,
    pub session: Session,
    /// Where the strength comes from if a request does not say.
    pub source: Source,
    pub keys: Keys,
    pub origins: Origins,
    pub metrics: Metrics,
    /// When the server was started, in seconds since 1970.
    pub created: u64,
    loaded: OnceLock<Loaded>,
    /// The server is being stopped: there are no new answers.
    closing: AtomicBool,
    /// Answers are ended as they are.
    stopping: watch::Sender<bool>,
    requests: AtomicU64,
}

/// What is there once the model is loaded.
pub struct Loaded {
    pub model: Model,
    pub prompter: Prompter,
    /// Tokens that a branch can hold.
    pub n_ctx: usize,
    /// Branches of single instructions that a slot has.
    pub n_singles: usize,
    pub desk: Desk,
}

impl App {
    /// Checks all settings; nothing is loaded.
    pub fn new(args: ServeArgs) -> Outcome<App> {
        let common = &args.common;
        if common.trace.is_some() {
            let instead = "requests ask for \"sda\": {\"trace\": true}";
            return Err(Failure::Usage(format!("--trace is not for sda serve: {instead}")));
        }
        let source = Source::new(common)?;
        // Each request gets a seed of its own where none was given.
        let seed = u32::try_from(common.sampling.seed).unwrap_or(0);
        let texts = crate::prompts::PromptTexts::read(&common.prompt)?;
        let session = Session::with(common.generation(seed, false)?, texts, common.verbose)?;
        Ok(App {
            keys: Keys::new(&args.server.api_key, args.server.api_key_file.as_deref())?,
            origins: Origins::new(&args.server.cors_origins),
            metrics: Metrics::new(),
            created: now(),
            loaded: OnceLock::new(),
            closing: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            requests: AtomicU64::new(0),
            session,
            source,
            args,
        })
    }

    /// What is loaded; an error while it is not, and once the server is being stopped.
    pub fn loaded(&self) -> Result<&Loaded, ApiError> {
        if self.is_closing() {
            return Err(sda::Error::Cancelled.into());
        }
        self.loaded.get().ok_or_else(ApiError::loading)
    }

    pub fn set_loaded(&self, loaded: Loaded) {
        let _ = self.loaded.set(loaded);
    }

    /// The same while the server is being stopped, too.
    pub fn present(&self) -> Option<&Loaded> {
        self.loaded.get()
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Ends all answers as they are.
    pub fn stop(&self) {
        let _ = self.stopping.send(true);
        if let Some(loaded) = self.present() {
            loaded.desk.stop();
        }
    }

    /// Ends once all answers are to end.
    pub async fn stopped(&self) {
        // The sender is this app's, and so lives.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// A number for each request, from 1.
    pub fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The model's name, as clients see it.
    pub fn model_name(&self) -> String {
        let path = &self.args.common.model.model;
        let name = || path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        self.args.server.alias.clone().unwrap_or_else(name)
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
