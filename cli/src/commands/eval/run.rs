//! What every part of an evaluation needs.

use sda::llama::Model;
use serde::Serialize;

use super::args::EvalArgs;
use super::data::Item;
use super::pair_judge::PairJudge;
use super::scorer::{Scorer, ScorerIdentity};
use super::table;
use crate::failure::Outcome;
use crate::fingerprint::{ModelIdentity, PairJudgeIdentity, Settings};
use crate::journal::{ITEM, Input, Journal};
use crate::measure::report::Report;
use crate::measure::{ArmSpec, Bootstrap};
use crate::prompts::Prompter;
use crate::record::{self, EvalReport, EvalResult};
use crate::runner::{Names, Runner};
use crate::session::Session;
use crate::ui::console::{note, print};
use crate::verbatim::Verbatim;

/// One evaluation: the model, the arms, and how they are drawn.
pub struct Run<'m, 'a> {
    pub args: &'a EvalArgs,
    pub arms: Vec<ArmSpec>,
    /// The settings' seed is that of the first item.
    pub session: Session,
    pub model: &'m Model,
    pub prompter: Prompter,
    /// Where the strengths come from.
    pub scorer: Scorer,
    /// Who compares answers, in winrate.
    pub pair_judge: Option<PairJudge>,
    /// Answers begin in a `<think>` block that the chat template has opened.
    pub thinking: bool,
}

/// Everything that a result depends on beside its item and arm.
#[derive(Serialize)]
pub struct Basis<'a> {
    task: &'static str,
    model: ModelIdentity,
    /// The prompts of a query, which hold whatever is put around it.
    prompts: [String; 2],
    /// The weight of the instructed branch, and the prompts of single instructions with theirs. Absent with one
    /// instruction of weight 1, as in files that are older than several.
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted: Option<(f32, Vec<(String, f32)>)>,
    settings: Settings<'a>,
    /// Where the strengths come from.
    scorer: ScorerIdentity,
    apply_chat_template: bool,
    /// Who compares answers, and with which arm; in comparisons only.
    compared: Option<(PairJudgeIdentity, &'a str)>,
}

impl<'a> Basis<'a> {
    /// The same for comparisons by a judge with the answers of an arm.
    pub fn compared(self, judge: PairJudgeIdentity, against: &'a str) -> Basis<'a> {
        Basis { compared: Some((judge, against)), ..self }
    }
}

/// More than a data set has items.
const SEEDS_A_REPEAT: u32 = 1_000_000;

impl Run<'_, '_> {
    pub fn basis(&self) -> Outcome<Basis<'_>> {
        let set = self.prompter.set(&[], "QUERY")?;
        let weighted = set.beyond_pair().map(|(own, singles)| {
            let owned = singles.into_iter().map(|(text, weight)| (text.to_owned(), weight));
            (own, owned.collect())
        });
        Ok(Basis {
            task: self.args.task.name(),
            model: ModelIdentity::of(&self.args.common.model),
            prompts: [set.pair.plain, set.pair.instructed],
            weighted,
            settings: Settings::of(&self.session.settings, Some(self.session.seed())),
            scorer: self.scorer.identity(),
            apply_chat_template: self.args.apply_chat_template,
            compared: None,
        })
    }

    /// A unit of work: an item in an arm.
    pub fn unit(&self, item: &Item, arm: &str, kind: &str, basis: &impl Serialize) -> Input {
        let id = format!("{} {kind} {arm}", item.id);
        let hashed = (basis, arm, item.record.fields());
        let fields = [("id", Verbatim::of(&id)), ("arm", Verbatim::of(&arm)), (ITEM, item.record.clone())];
        Input::new(item.line, id, fields, &hashed)
    }

    /// A run of units, of which the output file may hold some already.
    pub fn runner(&self, units: &[Input]) -> Outcome<Runner<'_, EvalResult>> {
        let journal = Journal::open(Some(&self.args.output), units, self.args.restart)?;
        if journal.len() > 0 {
            note(&format!("{} of {} results are there already", journal.len(), units.len()));
        }
        let names = Names { doing: "evaluating", results: "results" };
        Ok(Runner::new(names, journal, units.len(), &self.session.interrupt))
    }

    /// Says what failed.
    pub fn end(&self, runner: &Runner<EvalResult>) {
        note_failures("results that failed and are tried again by the next run", runner.end());
    }

    pub fn report(&self) -> Report {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let bootstrap = Bootstrap { resamples: self.args.resamples as usize, ..Bootstrap::default() };
        Report::new(&names, &self.args.control, bootstrap)
    }

    /// Prints the report.
    pub fn show(&self, report: &Report, items: usize) -> Outcome {
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

    /// The seed of an item, the same in all arms.
    pub fn item_seed(&self, n: usize) -> u32 {
        self.session.seed().wrapping_add(n as u32)
    }

    /// The seed of the answer to an item that is written again, `repeat` counting from 0.
    pub fn repeated_seed(&self, n: usize, repeat: usize) -> u32 {
        self.item_seed(n).wrapping_add((repeat as u32).wrapping_mul(SEEDS_A_REPEAT))
    }
}

/// Says which items failed, the first few of them by name.
pub fn note_failures(what: &str, reasons: &[String]) {
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
