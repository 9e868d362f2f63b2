//! `sda eval`: the same model, the same prompts and seeds, several arms; who does better, and how sure is it?
//!
//! A run has units of work, one for every item and arm, which are done item by item so that all arms see the
//! same machine and the same draft. Each unit's result is a line of the output file; a run that is stopped
//! goes on from there. The report is made from these results alone.

mod answers;
mod args;
mod data;
mod ifeval;
mod likelihood;
mod pair_judge;
mod scorer;
mod table;
mod winrate;

use std::cell::RefCell;

use crate::measure::report::Report;
use crate::measure::{ArmSpec, Bootstrap};
use sda::Quality;
use sda::llama::Model;
use sda::text::PromptPair;
use serde::Serialize;

pub use args::EvalArgs;
use args::Task;
use data::Data;
use scorer::{Scorer, ScorerIdentity};

use crate::args::Placement;
use crate::failure::{Failure, Outcome};
use crate::fingerprint::{ModelIdentity, Settings};
use crate::input;
use crate::journal::{Input, Journal};
use crate::load;
use crate::prompts::{PromptTexts, Prompter};
use crate::record::{self, EvalReport, EvalResult, Failed, Unit};
use crate::session::Session;
use crate::ui::console::{note, print};
use crate::ui::progress::Progress;

/// The most tokens of an answer when no other limit is given: no model should fill its context with one
/// answer that does not end.
const DEFAULT_N_PREDICT: usize = 1024;

/// Seed when none is given: a measurement should be one that can be repeated.
const DEFAULT_SEED: u32 = 1;

/// What every part of a run needs.
struct Run<'m, 'a> {
    args: &'a EvalArgs,
    arms: Vec<ArmSpec>,
    /// The settings' seed is that of the first item.
    session: Session,
    model: &'m Model,
    prompter: Prompter,
    /// What went wrong with single items.
    failures: RefCell<Vec<String>>,
}

pub fn run(mut args: EvalArgs) -> Outcome {
    let arms = ArmSpec::parse_list(&args.arms)?;
    args.check(&arms)?;
    set_defaults(&mut args);
    let args = &args;
    let seed = u32::try_from(args.common.sampling.seed).unwrap_or(DEFAULT_SEED);
    let mut settings = args.common.generation(seed, false);
    settings.n_predict = settings.n_predict.or(Some(DEFAULT_N_PREDICT));
    let session = Session::with(settings, PromptTexts::read(&args.common.prompt)?, args.common.verbose)?;
    let data = Data::read(args)?;

    let (model, prompter) = session.load(&args.common.model)?;
    session.interrupt.begin();
    let run = Run { args, arms, session, model: &model, prompter, failures: RefCell::default() };
    let report = match args.task {
        Task::TruthfulqaMc => {
            likelihood::run(&run, &data, &mut load::engine(&args.common.model, &model, &run.session.log)?)?
        }
        Task::Ifeval => ifeval::run(&run, &data)?,
        Task::Winrate => winrate::run(&run, &data)?,
    };
    note_failures("results that failed and are tried again by the next run", &run.failures.borrow());
    run.show(&report, data.items.len())
}

/// What an option means that was not given, where that depends on the task.
fn set_defaults(args: &mut EvalArgs) {
    let prompt = &mut args.common.prompt;
    let has_instruction =
        prompt.instruction.is_some() || prompt.instruction_file.is_some() || prompt.preset.is_some();
    match args.task {
        Task::TruthfulqaMc => {
            prompt.no_template |= !args.apply_chat_template;
            // In raw text "after" is after the primer, which both branches then share; in a user turn it would
            // stand between the question and its answer.
            let placement = if args.apply_chat_template { Placement::Before } else { Placement::After };
            prompt.instruction_placement.get_or_insert(placement);
            if !has_instruction {
                prompt.preset = Some(Quality::Truthfulness);
            }
        }
        Task::Ifeval => {}
        Task::Winrate => {
            if !has_instruction {
                prompt.preset = Some(args.dataset.preset());
            }
        }
    }
}

/// Everything that a result depends on beside its item and arm.
#[derive(Serialize)]
struct Basis<'a> {
    task: &'static str,
    model: ModelIdentity,
    /// The prompts of a query, which hold whatever is put around it.
    prompts: [String; 2],
    settings: Settings<'a>,
    /// Where scores come from, and the map from score to amplification.
    scorer: ScorerIdentity,
    amplify: &'static str,
    apply_chat_template: bool,
    /// Who compares answers, and with which arm; in comparisons only.
    compared: Option<[&'a str; 2]>,
}

impl Run<'_, '_> {
    fn basis(&self, scorer: &Scorer) -> Outcome<Basis<'_>> {
        let PromptPair { plain, instructed } = self.prompter.pair(&[], "QUERY")?;
        let steering = &self.args.common.steering;
        Ok(Basis {
            task: self.args.task.name(),
            model: ModelIdentity::of(&self.args.common.model),
            prompts: [plain, instructed],
            settings: Settings::of(&self.session.settings, Some(self.session.seed())),
            scorer: scorer.identity(),
            amplify: steering.amplify.name(),
            apply_chat_template: self.args.apply_chat_template,
            compared: None,
        })
    }

    /// A unit of work: an item in an arm.
    fn unit(&self, item: &data::Item, arm: &str, kind: &str, basis: &Basis) -> Outcome<Input> {
        let unit = Unit { id: format!("{} {kind} {arm}", item.id), arm, item: &item.record };
        let fields = input::typed(record::value(&unit)).map_err(Failure::Failed)?;
        Input::new(item.line, fields, basis).map_err(Failure::Failed)
    }

    fn journal(&self, units: &[Input]) -> Outcome<Journal<EvalResult>> {
        let journal = Journal::open(Some(&self.args.output), units, self.args.restart)?;
        if journal.len() > 0 {
            note(&format!("{} of {} results are there already", journal.len(), units.len()));
        }
        Ok(journal)
    }

    /// A bar for the results that are still to come.
    fn progress(&self, journal: &Journal<EvalResult>, units: &[Input]) -> Progress {
        Progress::count("evaluating", units.len() - journal.len())
    }

    /// One result more.
    fn step(&self, progress: &Progress) {
        progress.step(self.failures.borrow().len());
    }

    /// Writes down that a unit failed.
    fn append_failure(&self, journal: &mut Journal<EvalResult>, unit: &Input, why: &str) -> Outcome {
        self.failures.borrow_mut().push(format!("{}: {why}", unit.name));
        journal.append_failure(unit, &Failed { error: why.to_owned(), judge: None })
    }

    fn report(&self) -> Report {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let bootstrap = Bootstrap { resamples: self.args.resamples as usize, ..Bootstrap::default() };
        Report::new(&names, &self.args.control, bootstrap)
    }

    /// Prints the report.
    fn show(&self, report: &Report, items: usize) -> Outcome {
        if self.args.json {
            let name = self.args.common.model.model.file_stem().unwrap_or_default();
            let report = EvalReport {
                task: self.args.task.name().to_owned(),
                model: Some(name.to_string_lossy().into_owned()),
                items,
                seed: self.session.seed(),
                instruction: self.prompter.instruction.clone(),
                confidence: Some(Bootstrap::default().confidence),
                resamples: self.args.resamples,
                metrics: report.records(),
            };
            return print(&format!("{}\n", record::pretty(&report)));
        }
        print(&table::render(report, self.args.by_category))
    }

    fn stop_if_wanted(&self, done: usize) -> Outcome {
        if self.session.interrupt.is_wanted() { self.stop(done) } else { Ok(()) }
    }

    fn stop(&self, done: usize) -> Outcome {
        note(&format!("stopped with {done} results; the same command goes on from here"));
        Err(Failure::Interrupted)
    }

    /// The seed of an item, the same in all arms.
    fn item_seed(&self, n: usize) -> u32 {
        self.session.seed().wrapping_add(n as u32)
    }
}

/// Says which items failed, the first few of them by name.
fn note_failures(what: &str, reasons: &[String]) {
    const SHOWN: usize = 3;
    if reasons.is_empty() {
        return;
    }
    note(&format!("{what}: {}", reasons.len()));
    for reason in reasons.iter().take(SHOWN) {
        note(&format!("  {reason}"));
    }
    if reasons.len() > SHOWN {
        note("  and others");
    }
}
