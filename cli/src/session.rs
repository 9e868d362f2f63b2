//! What all commands begin with that generate: settings that are checked before a model is loaded, Ctrl-C, llama.cpp's
//! log, and then the model.

use sda::engine::{Engine, Generation};
use sda::llama::Model;

use crate::args::{CommonArgs, ModelArgs};
use crate::failure::Outcome;
use crate::load::{self, Log};
use crate::prompts::{PromptTexts, Prompter};
use crate::ui::color;
use crate::ui::interrupt::Interrupt;

pub struct Session {
    /// How answers are generated; the amplification may have to wait for a judge.
    pub settings: Generation,
    pub texts: PromptTexts,
    pub interrupt: Interrupt,
    pub log: Log,
}

impl Session {
    /// `trace` asks for what records of each token need.
    pub fn new(common: &CommonArgs, trace: bool) -> Outcome<Session> {
        let texts = PromptTexts::read(&common.prompt)?;
        color::set(common.color());
        let settings = common.generation(common.sampling.seed(), trace)?;
        Session::with(settings, texts, common.verbose)
    }

    /// With settings of the caller's.
    pub fn with(settings: Generation, texts: PromptTexts, verbose: bool) -> Outcome<Session> {
        settings.params.validate()?;
        settings.sampling.validate()?;
        let interrupt = Interrupt::install()?;
        Ok(Session { settings, texts, interrupt, log: Log::capture(verbose) })
    }

    /// Loads the model, and what turns queries into prompts for it.
    pub fn load(&self, args: &ModelArgs) -> Outcome<(Model, Prompter)> {
        let model = load::own_model(args, &self.log, &self.interrupt)?;
        self.settings.validate(&model)?;
        let prompter = Prompter::new(&self.texts, &model)?;
        Ok((model, prompter))
    }

    /// Makes the engine, with room for some branches of single instructions.
    pub fn engine(&self, args: &ModelArgs, model: &Model, n_singles: usize) -> Outcome<Engine> {
        load::engine(args, model, n_singles, &self.log)
    }

    /// Seed of the draws.
    pub fn seed(&self) -> u32 {
        self.settings.sampling.seed
    }
}
