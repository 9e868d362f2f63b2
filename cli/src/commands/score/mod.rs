//! `sda score`: a score for every record of a JSON Lines file.
//!
//! Drafts that are missing are written by the loaded model, one after another, while a judge behind a URL
//! scores the ones before on threads of its own.

mod args;
mod items;

use sda::engine::{Arm, DEFAULT_N_CTX, Engine, Finish, Generation, LocalJudge, Prompts};
use sda::llama::Model;
use sda::{Error, Params};
use serde::Serialize;

use crate::args::ModelArgs;
use crate::assess::Assessor;
use crate::failure::{Failure, Outcome};
use crate::fingerprint::{JudgeIdentity, ModelIdentity, Settings};
use crate::journal::{self, Input, Journal};
use crate::prompts::{PromptTexts, Prompter};
use crate::record::Scored;
use crate::runner::{Draft, Drafts, Names, Runner};
use crate::session::Session;
use crate::ui::console::note;
use crate::ui::interrupt::Interrupt;
pub use args::ScoreArgs;
use items::Item;

/// Failures that are shown as they come; all of them are in the output.
const SHOWN_FAILURES: usize = 3;

pub fn run(args: &ScoreArgs) -> Outcome {
    let assessor = Assessor::new(&args.judge, &args.judge_args, &args.load, args.prompt.preset)?;
    let writer_args = args.model();
    if assessor.is_local() && writer_args.is_none() {
        return Err(Failure::Usage("--judge local needs a model: give -m FILE".into()));
    }
    let session = Session::with(generation(args)?, PromptTexts::read(&args.prompt)?, args.verbose)?;
    let Session { settings, texts, interrupt, .. } = &session;
    let basis = Basis::new(args, writer_args.as_ref(), texts, &assessor, settings);
    let items = items::read(args, &texts.instruction, &journal::read(&args.file)?, &basis)?;
    let inputs: Vec<Input> = items.iter().map(|item| item.input.clone()).collect();
    let journal = Journal::open(args.output.as_deref(), &inputs, args.restart)?;
    let pending: Vec<&Item> = items.iter().filter(|i| journal.result(&i.input.key).is_none()).collect();
    if pending.len() < items.len() {
        note(&format!("{} of {} records have a score already", items.len() - pending.len(), items.len()));
    }

    let wants_model = |item: &&Item| assessor.is_local() || item.draft.is_none();
    let loaded = match &writer_args {
        Some(args) if pending.iter().any(wants_model) => Some((session.load(args)?, args)),
        _ => None,
    };
    let mut writer = match &loaded {
        None => None,
        Some(((model, prompter), model_args)) => {
            let engine = session.engine(model_args, model, 0)?;
            Some(Writer { prompter, engine, model, settings, interrupt })
        }
    };
    if !pending.is_empty() {
        let models: Vec<&Model> = writer.iter().map(|writer| writer.model).collect();
        let asked = if args.load.ctx_size == 0 { DEFAULT_N_CTX } else { args.load.ctx_size as usize };
        let branch = writer.as_ref().map_or(asked, |writer| writer.engine.n_ctx());
        assessor.load(&session, &models, branch)?;
    }
    interrupt.begin();
    // Taken along, since the results are written while further drafts are.
    let earlier: Vec<Option<String>> = pending.iter().map(|item| earlier_draft(&journal, item)).collect();
    let names = Names { doing: "scoring", results: "scores" };
    let mut runner = Runner::new(names, journal, items.len(), interrupt);
    let mut drafts = ItemDrafts { items: pending.into_iter().zip(earlier), writer: &mut writer };
    runner.score(&assessor, args.parallel.into(), &mut drafts, |runner, item, draft, assessment| {
        let draft = draft.text.ok().filter(|_| item.draft.is_none());
        let scored = Scored { assessed: assessment.record(), draft };
        let Err(error) = &assessment.verdict else { return runner.append(&item.input, scored) };
        let why = error.to_string();
        runner.append_failure(&item.input, &why, &scored)?;
        if runner.failures().len() <= SHOWN_FAILURES {
            runner.say(&format!("line {}: {why}", item.input.line));
        }
        Ok(())
    })?;
    match runner.end().len() {
        0 => Ok(()),
        n => Err(Failure::Failed(format!(
            "{n} of {} records have no score, see their \"error\"; the same command tries them again",
            items.len()
        ))),
    }
}

/// The draft that an earlier run wrote and could not get judged.
fn earlier_draft(journal: &Journal<Scored>, item: &Item) -> Option<String> {
    Some(journal.failed(&item.input.key)?.get("draft")?.as_str()?.to_owned())
}

/// How drafts are written.
fn generation(args: &ScoreArgs) -> Outcome<Generation> {
    // No model, no draft, and so no seed to tell of.
    let seed = if args.model().is_some() { args.sampling.seed() } else { 0 };
    Ok(Generation {
        params: Params { temperature: args.sampling.temp, ..Params::default() },
        sampling: args.sampling.sampling(seed, &args.prompt.escapes)?,
        logit_bias: args.sampling.constraint.logit_bias(),
        ignore_eos: args.sampling.samplers.ignore_eos,
        grammar: args.sampling.constraint.grammar()?,
        n_predict: usize::try_from(args.sampling.n_predict).ok(),
        context_shift: args.sampling.context_shift,
        stop: args.prompt.escapes.read_all("--reverse-prompt", &args.sampling.reverse_prompt)?,
        ..Generation::default()
    })
}

/// Everything that the scores depend on beside the records.
#[derive(Serialize)]
struct Basis<'a> {
    judge: JudgeIdentity,
    instruction: &'a str,
    drafts: Option<Writing<'a>>,
}

/// How missing drafts are written.
#[derive(Serialize)]
struct Writing<'a> {
    model: ModelIdentity,
    prompts: &'a PromptTexts,
    settings: Settings<'a>,
}

impl<'a> Basis<'a> {
    fn new(
        args: &ScoreArgs,
        model: Option<&ModelArgs>,
        texts: &'a PromptTexts,
        assessor: &Assessor,
        settings: &'a Generation,
    ) -> Basis<'a> {
        // The seed as it was asked for, since a new one each time is no reason to start over.
        let seed = u32::try_from(args.sampling.seed).ok();
        Basis {
            judge: JudgeIdentity::of(assessor),
            instruction: &texts.instruction,
            drafts: model.map(|model| Writing {
                model: ModelIdentity::of(model),
                prompts: texts,
                settings: Settings::of(settings, seed),
            }),
        }
    }
}

/// The loaded model, as it writes drafts.
struct Writer<'a> {
    prompter: &'a Prompter,
    engine: Engine,
    model: &'a Model,
    settings: &'a Generation,
    interrupt: &'a Interrupt,
}

impl Writer<'_> {
    /// The plain answer to a query. Cancelled is Ctrl-C; any other failure is this record's alone.
    fn draft(&mut self, query: &str) -> sda::Result<String> {
        let pair = self.prompter.single(query)?;
        let plain = self.model.tokenize_prompt(&pair.plain)?;
        let prompts = Prompts { thinking: pair.thinking, ..Prompts::new(plain, Vec::new()) };
        let answer = self
            .engine
            .generate(Arm::Plain, &prompts, self.settings, &mut |_| !self.interrupt.is_wanted())?;
        match answer.finish {
            Finish::Cancelled => Err(Error::Cancelled),
            _ => Ok(answer.text),
        }
    }
}

/// The records' own drafts, those of an earlier run, and for the others new ones.
struct ItemDrafts<'w, 'a, I> {
    items: I,
    writer: &'w mut Option<Writer<'a>>,
}

impl<'i, I: Iterator<Item = (&'i Item, Option<String>)>> Drafts for ItemDrafts<'_, '_, I> {
    type Unit = &'i Item;

    fn next(&mut self) -> Option<(&'i Item, Draft)> {
        let (item, earlier) = self.items.next()?;
        // Of a draft that was brought nobody knows the prompt.
        let thinking = item.draft.is_none()
            && self
                .writer
                .as_ref()
                .is_some_and(|writer| writer.prompter.single(&item.query).is_ok_and(|pair| pair.thinking));
        let text = match (item.draft.clone().or(earlier), &mut *self.writer) {
            (Some(text), _) => Ok(text),
            (None, Some(writer)) => writer.draft(&item.query),
            // Refused when the records were read.
            (None, None) => {
                Err(Error::Judge { reason: "there is no draft, and no model to write one".into() })
            }
        };
        Some((item, item.to_judge(text, thinking)))
    }

    fn local(&mut self) -> LocalJudge<'_> {
        let writer = self.writer.as_mut().expect("a local judge has a loaded model");
        writer.engine.judge(writer.prompter.template())
    }
}
