//! Options of `sda eval`.

use std::path::{Path, PathBuf};

use crate::measure::ArmSpec;
use crate::measure::winrate::Dataset;
use clap::{Args, ValueEnum};
use sda::engine::MAX_PAIRS;
use sda::judge::OnFailure;

use crate::args::CommonArgs;
use crate::args::judge::{JudgeAt, judge_at};
use crate::failure::{Failure, Outcome};
use crate::load::is_same_file;

#[derive(Args)]
pub struct EvalArgs {
    /// What to measure.
    #[arg(value_enum)]
    pub task: Task,
    #[command(flatten)]
    pub common: CommonArgs,
    /// Records to measure on: JSON Lines, or a JSON list.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub data: PathBuf,
    /// Results of single items, one JSON record a line. A stopped run continues with them.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Drop the results that are there, and start over.
    #[arg(long)]
    pub restart: bool,
    /// Ways to answer, parted by commas: plain, instructed, guidance=G, amplification=A, sda, and given=FIELD
    /// for answers that the records hold. Settings of one arm follow a colon, as in sda:sigma=0.01,t_min=0.2
    /// (k, sigma, t_min, max_kl, mean_kl, temp;
    /// in ifeval split=1, which steers by each instruction of a record by itself).
    #[arg(long, value_name = "LIST", default_value = "plain,instructed,guidance=2:mean_kl=0.2")]
    pub arms: String,
    /// The arm that the others are compared with.
    #[arg(long, value_name = "ARM", default_value = "instructed")]
    pub control: String,
    /// Take every other record only: the 1st, 3rd, ... or the 2nd, 4th, ..., to tune on one half and to
    /// report on the other.
    #[arg(long, value_enum)]
    pub half: Option<Half>,
    /// Take this many records only, the first ones.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// ifeval: answer each record this many times in every arm, with other seeds. A record counts once in the
    /// intervals, however often it is answered.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Single tasks")]
    pub repeat: u32,
    /// ifeval: a GGUF model that is to tell from an answer which of eight queries it answers. Adds the metrics
    /// query_found and strict_query_found.
    #[arg(long, value_name = "FILE", help_heading = "Single tasks")]
    pub query_model: Option<PathBuf>,
    /// Answers that are written at once, and drafts that a judge at a URL scores at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=MAX_PAIRS as i64))]
    pub parallel: u32,
    /// Draws of the bootstrap that gives the 95% intervals.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub resamples: u32,
    /// Print the report as JSON, for sda plot.
    #[arg(long)]
    pub json: bool,
    /// Show the rows of every category in the table, too; --json always has them.
    #[arg(long)]
    pub by_category: bool,
    /// truthfulqa-mc: put the question into the model's chat template instead of raw text.
    #[arg(long, help_heading = "Single tasks")]
    pub apply_chat_template: bool,
    /// winrate: what the records are.
    #[arg(long, value_name = "NAME", default_value = "own", value_parser = dataset, help_heading = "Single tasks")]
    pub dataset: Dataset,
    /// winrate: the arm that answers have to beat.
    #[arg(long, value_name = "ARM", default_value = "plain", help_heading = "Single tasks")]
    pub against: String,
    /// winrate: who says which answer is better: an OpenAI-compatible server, a GGUF model, or "local", the loaded
    /// model.
    #[arg(long, value_name = "local|URL|FILE", help_heading = "Single tasks", value_parser = judge_at())]
    pub pair_judge: Option<JudgeAt>,
    /// winrate: name of the model at the URL of --pair-judge.
    #[arg(long, value_name = "NAME", help_heading = "Single tasks")]
    pub pair_judge_model: Option<String>,
    /// winrate: allow the same judge for the scores that steer and for the comparison, which favours sda.
    #[arg(long, help_heading = "Single tasks")]
    pub allow_same_judge: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// TruthfulQA's MC1 and MC2, from likelihoods.
    TruthfulqaMc,
    /// Verifiable instructions, IFEval's four numbers.
    Ifeval,
    /// Pairwise win rate by a judge.
    Winrate,
}

impl Task {
    pub fn name(self) -> &'static str {
        match self {
            Task::TruthfulqaMc => "truthfulqa-mc",
            Task::Ifeval => "ifeval",
            Task::Winrate => "winrate",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Half {
    /// The 1st, 3rd, 5th record and so on.
    First,
    /// The others.
    Second,
}

fn dataset(name: &str) -> Result<Dataset, String> {
    let found = Dataset::ALL.into_iter().find(|dataset| dataset.name() == name);
    found.ok_or_else(|| format!("must be one of {}", Dataset::ALL.map(Dataset::name).join(", ")))
}

impl EvalArgs {
    /// Refuses combinations that could only mislead.
    pub fn check(&self, arms: &[ArmSpec]) -> Outcome {
        let usage = |text: String| Err(Failure::Usage(text));
        let steering = &self.common.steering;
        if steering.guidance.is_some() || steering.amplification.is_some() {
            return usage("--guidance and --amplification belong into --arms, as in guidance=1.5".into());
        }
        if steering.on_judge_failure != OnFailure::Error {
            let text = "--on-judge-failure is not for eval, where an item without a score has failed";
            return usage(text.into());
        }
        if self.common.trace.is_some() {
            return usage("--trace is not for eval; --output has a record of every result".into());
        }
        let prompt = &self.common.prompt;
        if self.task == Task::Ifeval && prompt.has_instruction() {
            return usage(
                "ifeval makes the instruction of each prompt itself: leave -i and --preset out".into(),
            );
        }
        if self.task != Task::Ifeval && self.repeat > 1 {
            return usage(format!("--repeat is {}, must be 1 but for ifeval", self.repeat));
        }
        if self.task != Task::Ifeval && self.query_model.is_some() {
            return usage("--query-model is for ifeval only".into());
        }
        if self.task == Task::TruthfulqaMc
            && let Some(arm) = arms.iter().find(|arm| arm.given.is_some())
        {
            return usage(format!("--arms holds {}, which truthfulqa-mc has no use for", arm.name));
        }
        if self.task == Task::TruthfulqaMc
            && let Some(option) = self.common.sampling.constraint.given()
        {
            return usage(format!("truthfulqa-mc generates nothing, and has no use for {option}"));
        }
        if self.task == Task::TruthfulqaMc && prompt.negative_prompt.is_some() {
            return usage("truthfulqa-mc knows no --negative-prompt".into());
        }
        if self.task == Task::TruthfulqaMc
            && (prompt.instruction.len().max(prompt.instruction_file.len()) > 1
                || prompt.instruction_weights.iter().any(|&weight| weight != 1.0))
        {
            return usage("truthfulqa-mc knows a single instruction, of weight 1".into());
        }
        if let Some(arm) = arms.iter().find(|arm| arm.is_split && self.task != Task::Ifeval) {
            return usage(format!(
                "{}: split=1 is for ifeval, whose records have several instructions",
                arm.name
            ));
        }
        if self.task == Task::Winrate {
            let Some(judge) = &self.pair_judge else {
                return usage(
                    "winrate needs --pair-judge local|URL|FILE: who says which answer is better".into(),
                );
            };
            let same = match (&steering.judge, judge) {
                (Some(JudgeAt::Url(one)), JudgeAt::Url(other)) => one == other,
                (Some(one), other) => match (self.model_file(one), self.model_file(other)) {
                    (Some(one), Some(other)) => is_same_file(one, other),
                    _ => false,
                },
                (None, _) => false,
            };
            if same && arms.iter().any(ArmSpec::needs_score) && !self.allow_same_judge {
                return usage(format!(
                    "--judge and --pair-judge are the same, {}: a judge would compare answers that were \
                     steered by its own scores (--allow-same-judge to do it all the same)",
                    judge
                ));
            }
            if !arms.iter().any(|arm| arm.name == self.against) {
                return usage(format!("--against is {}, must be one of --arms", self.against));
            }
        }
        Ok(())
    }

    /// The file of a judge that is no server.
    pub fn model_file<'a>(&'a self, judge: &'a JudgeAt) -> Option<&'a Path> {
        match judge {
            JudgeAt::Local => Some(&self.common.model.model),
            JudgeAt::File(path) => Some(path),
            JudgeAt::Url(_) => None,
        }
    }
}
