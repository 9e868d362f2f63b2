//! `sda score`: a score for every record of a JSON Lines file.
//!
//! Drafts that are missing are written by the loaded model, one after another, while a judge behind a URL
//! scores the ones before on threads of its own.

mod items;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use clap::Args;
use sda::engine::{Arm, Engine, Finish, Generation, Prompts};
use sda::judge::{Client, Judge, score_each};
use sda::llama::Model;
use sda::{Error, Params};
use serde::Serialize;

use crate::args::judge::{JudgeArgs, JudgeAt};
use crate::args::{ModelArgs, PromptArgs, SamplingArgs};
use crate::assess::{Assessment, Assessor};
use crate::failure::{Failure, Outcome};
use crate::fingerprint::{JudgeIdentity, ModelIdentity, Settings};
use crate::input::Fields;
use crate::journal::{self, Journal};
use crate::prompts::{PromptTexts, Prompter};
use crate::record::Scored;
use crate::session::Session;
use crate::ui::console::note;
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;
use items::Item;

/// Failures that are shown as they come; all of them are in the output.
const SHOWN_FAILURES: usize = 3;

#[derive(Args)]
// A judge at a URL needs no model, unless there are drafts to write.
#[command(mut_arg("model", |arg| arg.required(false)))]
pub struct ScoreArgs {
    /// Records to score, one JSON object a line; - is standard input. Fields: query; draft or answer, or
    /// neither if -m is given, which then writes the draft; instruction; dimension; id.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where the scored records go. A run that was stopped goes on here, and tries again what failed.
    /// [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Drop the scores that the output holds.
    #[arg(long, requires = "output")]
    pub restart: bool,
    /// Who scores: an OpenAI-compatible server, or "local", the loaded model.
    #[arg(long, value_name = "local|URL")]
    pub judge: JudgeAt,
    /// Requests under way at once, to a judge at a URL.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    #[command(flatten)]
    pub judge_args: JudgeArgs,
    #[command(flatten)]
    pub model: Option<ModelArgs>,
    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Show llama.cpp's log.
    #[arg(short, long)]
    pub verbose: bool,
}

pub fn run(args: &ScoreArgs) -> Outcome {
    let assessor = Assessor::new(&args.judge, &args.judge_args, args.prompt.preset)?;
    if assessor.is_local() && args.model.is_none() {
        return Err(Failure::Usage("--judge local needs a model: give -m FILE".into()));
    }
    let session = Session::with(generation(args), PromptTexts::read(&args.prompt)?, args.verbose)?;
    let Session { settings, texts, interrupt, .. } = &session;
    let inputs = journal::read(&args.file, &Basis::new(args, texts, &assessor, settings))?;
    let items = items::read(args, &texts.instruction, &inputs)?;
    let mut journal = Journal::open(args.output.as_deref(), &inputs, args.restart)?;
    let pending: Vec<&Item> = items.iter().filter(|i| journal.result(&i.input.key).is_none()).collect();
    if pending.len() < items.len() {
        note(&format!("{} of {} records have a score already", items.len() - pending.len(), items.len()));
    }

    let wants_model = |item: &&Item| assessor.is_local() || item.draft.is_none();
    let loaded = match &args.model {
        Some(args) if pending.iter().any(wants_model) => Some((session.load(args)?, args)),
        _ => None,
    };
    let mut writer = match &loaded {
        None => None,
        Some(((model, prompter), model_args)) => {
            let engine = session.engine(model_args, model)?;
            Some(Writer { prompter, engine, model, settings, interrupt })
        }
    };
    interrupt.begin();
    let mut tally =
        Tally { journal: &mut journal, progress: Progress::count("scoring", pending.len()), failed: 0 };
    match (assessor.client(), &mut writer) {
        (Some(client), writer) => {
            let parallel = args.parallel.into();
            score_on_threads(client, &pending, writer.as_mut(), parallel, interrupt, &mut tally)?;
        }
        (None, Some(writer)) => score_locally(&assessor, &pending, writer, &mut tally)?,
        // The loaded model has nothing to do.
        (None, None) => {}
    }
    tally.end()
}

/// How drafts are written.
fn generation(args: &ScoreArgs) -> Generation {
    // No model, no draft, and so no seed to tell of.
    let seed = if args.model.is_some() { args.sampling.seed() } else { 0 };
    Generation {
        params: Params { temperature: args.sampling.temp, ..Params::default() },
        sampling: args.sampling.sampling(seed),
        n_predict: usize::try_from(args.sampling.n_predict).ok(),
        stop: args.sampling.reverse_prompt.clone(),
        ..Generation::default()
    }
}

/// Everything that the scores depend on beside the records.
#[derive(Serialize)]
struct Basis<'a> {
    judge: JudgeIdentity,
    instruction: &'a str,
    drafts: Option<Drafts<'a>>,
}

/// How missing drafts are written.
#[derive(Serialize)]
struct Drafts<'a> {
    model: ModelIdentity,
    prompts: &'a PromptTexts,
    settings: Settings<'a>,
}

impl<'a> Basis<'a> {
    fn new(
        args: &ScoreArgs,
        texts: &'a PromptTexts,
        assessor: &Assessor,
        settings: &'a Generation,
    ) -> Basis<'a> {
        // The seed as it was asked for, since a new one each time is no reason to start over.
        let seed = u32::try_from(args.sampling.seed).ok();
        Basis {
            judge: JudgeIdentity::of(assessor),
            instruction: &texts.instruction,
            drafts: args.model.as_ref().map(|model| Drafts {
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
        let plain = self.model.tokenize_prompt(&self.prompter.plain(query)?)?;
        let prompts = Prompts { plain, instructed: Vec::new() };
        let answer = self
            .engine
            .generate(Arm::Plain, &prompts, self.settings, &mut |_| !self.interrupt.is_wanted())?;
        match answer.finish {
            Finish::Cancelled => Err(Error::Cancelled),
            _ => Ok(answer.text),
        }
    }
}

/// A record on its way.
struct Job<'a> {
    item: &'a Item<'a>,
    /// None if the record brings its own.
    draft: sda::Result<Option<String>>,
}

impl<'a> Job<'a> {
    /// Sees to the draft. `earlier` is what a run before wrote and could not get judged.
    fn new(item: &'a Item<'a>, writer: Option<&mut Writer>, earlier: Option<&Fields>) -> Job<'a> {
        let kept = earlier.and_then(|fields| fields.get("draft")?.as_str());
        let draft = match (&item.draft, kept, writer) {
            (Some(_), _, _) => Ok(None),
            (None, Some(text), _) => Ok(Some(text.to_owned())),
            (None, None, Some(writer)) => writer.draft(&item.query).map(Some),
            // Refused when the records were read.
            (None, None, None) => {
                Err(Error::Judge { reason: "there is no draft, and no model to write one".into() })
            }
        };
        Job { item, draft }
    }

    /// Gets the draft judged, if there is one.
    fn judge(&self, judge: &mut dyn Judge, cancel: &dyn Fn() -> bool) -> Assessment {
        match &self.draft {
            Err(error) => Assessment::failed(judge, error.clone()),
            Ok(draft) => Assessment::new(judge, &self.item.request(draft.as_deref()), cancel),
        }
    }
}

fn score_locally(assessor: &Assessor, pending: &[&Item], writer: &mut Writer, tally: &mut Tally) -> Outcome {
    for item in pending {
        let job = Job::new(item, Some(writer), tally.journal.failed(&item.input.key));
        let (engine, template) = (&mut writer.engine, writer.prompter.template());
        let mut judge = assessor.judge(|| engine.judge(template));
        let assessment = job.judge(&mut *judge, &|| writer.interrupt.is_wanted());
        drop(judge);
        tally.add(&job, &assessment)?;
    }
    Ok(())
}

fn score_on_threads(
    client: &Client,
    pending: &[&Item],
    mut writer: Option<&mut Writer>,
    parallel: usize,
    interrupt: &Interrupt,
    tally: &mut Tally,
) -> Outcome {
    // Taken along, since the journal is in use while further drafts are written.
    let earlier: Vec<_> = pending.iter().map(|item| tally.journal.failed(&item.input.key).cloned()).collect();
    let (sender, receiver) = mpsc::sync_channel::<Job>(parallel);
    thread::scope(|scope| {
        let scoring = scope.spawn(move || {
            let mut failure = Ok(());
            let score = |job: &Job, cancel: &dyn Fn() -> bool| job.judge(&mut &*client, cancel);
            let done = |job: Job, assessment| {
                failure = tally.add(&job, &assessment);
                // Only stops the run; the reason is kept beside.
                if failure.is_ok() { Ok(()) } else { Err(Error::Cancelled) }
            };
            let scored = score_each(receiver.into_iter(), parallel, score, &|| interrupt.is_wanted(), done);
            failure.and(scored.map_err(Failure::from))
        });
        for (item, earlier) in pending.iter().zip(&earlier) {
            let job = Job::new(item, writer.as_deref_mut(), earlier.as_ref());
            if job.draft == Err(Error::Cancelled) || sender.send(job).is_err() {
                break;
            }
        }
        drop(sender);
        scoring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    interrupt.check()
}

/// Where results are written and counted.
struct Tally<'a> {
    journal: &'a mut Journal<Scored>,
    progress: Progress,
    failed: usize,
}

impl Tally<'_> {
    fn add(&mut self, job: &Job, assessment: &Assessment) -> Outcome {
        let item = job.item;
        if assessment.verdict == Err(Error::Cancelled) {
            return Err(Failure::Interrupted);
        }
        let draft = job.draft.clone().ok().flatten();
        let scored = Scored { assessed: assessment.record(), draft };
        match &assessment.verdict {
            Ok(_) => self.journal.append(item.input, scored)?,
            Err(error) => {
                self.journal.append_failure(item.input, &scored)?;
                self.failed += 1;
                if self.failed <= SHOWN_FAILURES {
                    self.progress.above(|| note(&format!("line {}: {error}", item.input.line)));
                }
            }
        }
        self.progress.step(self.failed);
        Ok(())
    }

    fn end(self) -> Outcome {
        self.progress.end();
        match self.failed {
            0 => Ok(()),
            n => Err(Failure::Failed(format!(
                "{n} of {} records have no score, see their \"error\"; the same command tries them again",
                self.journal.len() + n
            ))),
        }
    }
}
