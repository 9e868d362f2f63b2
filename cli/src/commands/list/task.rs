//! What is to be done for a list: one task for each record and arm.

use sda::Quality;
use sda::engine::{Arm, Generation, Job, Prompts};
use sda::llama::Model;
use sda::text::Instruction;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::record::Record;
use crate::args::GenerateArgs;
use crate::assess::Assessor;
use crate::failure::Outcome;
use crate::fingerprint::{JudgeIdentity, ModelIdentity, Settings};
use crate::journal::Input;
use crate::prompts::Prompter;
use crate::record::{Checked, Judgement};
use crate::strength::{Resolved, Source};

/// One answer that is wanted.
pub struct Task {
    /// The record with its arm: what the answer is kept under.
    pub input: Input,
    pub query: String,
    pub instructions: Vec<Instruction>,
    /// What a judge scores by; None is the instruction.
    pub dimension: Option<Quality>,
    prompts: Prompts,
    /// How it is generated.
    pub settings: Generation,
    /// What it is drawn from.
    pub resolved: Resolved,
    /// A judge has yet to score the plain answer to this record, whose key this is.
    pub draft: Option<String>,
    /// The judge that was asked, and why it gave no score, if another answer stands in.
    pub judge: Option<Judgement>,
    pub judge_error: Option<String>,
    /// What a check said of the instructed answer.
    pub check: Option<Checked>,
    /// Why it cannot be done.
    pub blocked: Option<String>,
}

impl Task {
    /// The work for [`sda::engine::Batch`].
    pub fn job(&self) -> Job {
        let (arm, prompts) = (self.resolved.arm, self.prompts.clone());
        Job { arm, prompts, settings: self.settings.clone(), ..Job::default() }
    }

    /// The work for the instructed answer in its place, which is checked.
    pub fn instructed(&self) -> Job {
        let mut settings = self.settings.clone();
        settings.steer_after_think = false;
        Job { arm: Arm::Instructed, prompts: self.prompts.clone(), settings, ..Job::default() }
    }

    /// What it is drawn from, once that is known.
    pub fn resolve(&mut self, resolved: Resolved) -> sda::Result<()> {
        self.settings.params = resolved.params(&self.settings.params)?;
        self.resolved = resolved;
        Ok(())
    }

    /// True if its answer begins in a `<think>` block that the prompts have opened.
    pub fn is_thinking(&self) -> bool {
        self.prompts.thinking
    }

    /// Tokens of the longest prompt that it may read.
    pub fn longest_prompt(&self) -> usize {
        let prompts = &self.prompts;
        match self.resolved.arm {
            Arm::Plain => prompts.plain.len(),
            Arm::Instructed => prompts.instructed.len(),
            Arm::Steered => prompts.longest(),
        }
    }

    /// Branches of single instructions that it needs.
    pub fn n_singles(&self) -> usize {
        if self.resolved.arm == Arm::Steered { self.prompts.singles.len() } else { 0 }
    }
}

/// What all tasks have in common.
pub struct TaskMaker<'a> {
    pub args: &'a GenerateArgs,
    pub model: &'a Model,
    pub prompter: &'a Prompter,
    /// The seed is that of the command line, or a new one.
    pub settings: &'a Generation,
    pub source: &'a Source,
}

impl TaskMaker<'_> {
    /// The tasks for one record. A record that a judge must score gets its plain answer first, which is the
    /// draft.
    pub fn tasks(&self, record: &Record, arms: &[Arm]) -> Outcome<Vec<Task>> {
        let instructions = record.instructions.as_ref().unwrap_or(&self.prompter.instructions);
        let set = self.prompter.set_with(&[], &record.query, instructions)?;
        let prompts = self.prompter.tokens(self.model, &set)?;
        let mut settings = self.settings.clone();
        settings.params.max_kl = record.max_kl.unwrap_or(settings.params.max_kl);
        settings.params.mean_kl = record.mean_kl.unwrap_or(settings.params.mean_kl);
        settings.sampling.seed =
            record.seed.unwrap_or_else(|| seed_of(settings.sampling.seed, &record.given.name));
        settings.grammar = record.grammar.clone().or(settings.grammar);
        let (given, assessor) = match (record.strength, self.source) {
            (Some(given), _) => (Some(given), None),
            (None, Source::Given(given)) => (Some(*given), None),
            (None, Source::Judged(assessor)) => (None, Some(&**assessor)),
        };
        // A preset's dimension is for the preset's instruction.
        let dimension = match record.instructions {
            Some(_) => self.args.common.judge.dimension(None),
            None => assessor.and_then(|assessor| assessor.dimension),
        };
        let needs_draft = arms.contains(&Arm::Steered) && record.error.is_none() && assessor.is_some();
        let arms = [Arm::Plain, Arm::Instructed, Arm::Steered]
            .into_iter()
            .filter(|arm| arms.contains(arm) || needs_draft && *arm == Arm::Plain);
        let mut tasks: Vec<Task> = Vec::new();
        for arm in arms {
            let mut settings = settings.clone();
            let mut resolved = Resolved { arm, strength: None };
            let (mut judge, mut blocked) = (None, None);
            if arm == Arm::Steered {
                resolved.strength = given;
                settings.params = resolved.params(&settings.params)?;
                judge = assessor;
                // A record without the score that it should have is not steered by anything else instead.
                blocked.clone_from(&record.error);
            } else {
                settings.steer_after_think = false;
            }
            let (plain, instructed) = match arm {
                Arm::Plain => (&*set.pair.plain, ""),
                Arm::Instructed => ("", &*set.pair.instructed),
                Arm::Steered => (&*set.pair.plain, &*set.pair.instructed),
            };
            let weighted = if arm == Arm::Steered { set.beyond_pair() } else { None };
            let basis = self.basis(record, [plain, instructed], weighted, &settings, judge);
            let input = record.given.input(&record.query, Some(arm.name()), &basis);
            let draft = match (judge, &blocked) {
                (Some(_), None) => tasks.first().map(|plain| plain.input.key.clone()),
                _ => None,
            };
            tasks.push(Task {
                input,
                query: record.query.clone(),
                instructions: instructions.clone(),
                dimension,
                prompts: prompts.clone(),
                settings,
                resolved,
                draft,
                judge: None,
                judge_error: None,
                check: None,
                blocked,
            });
        }
        Ok(tasks)
    }

    /// What an answer depends on.
    fn basis<'b>(
        &self,
        record: &Record,
        prompts: [&'b str; 2],
        weighted: Option<Weighted<'b>>,
        settings: &'b Generation,
        judge: Option<&Assessor>,
    ) -> Basis<'b>
    where
        Self: 'b,
    {
        let steering = &self.args.common.steering;
        // Where every run draws another one, they may go on with each other's work.
        let is_new = record.seed.is_none() && self.args.common.sampling.seed < 0;
        let seed = (!is_new).then_some(settings.sampling.seed);
        Basis {
            model: ModelIdentity::of(&self.args.common.model),
            prompts,
            weighted,
            settings: Settings::of(settings, seed),
            judge: judge.map(|judge| {
                let by = (steering.on_judge_failure.name(), steering.amplify.name());
                (JudgeIdentity::of(judge), by)
            }),
            check: self.args.check.as_deref(),
        }
    }
}

/// The weight of the instructed branch, and the prompts of single instructions with theirs.
type Weighted<'a> = (f32, Vec<(&'a str, f32)>);

/// Everything that an answer depends on beside its record.
#[derive(Serialize)]
struct Basis<'a> {
    model: ModelIdentity,
    prompts: [&'a str; 2],
    /// Absent with one instruction of weight 1, as in files that are older than several.
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted: Option<Weighted<'a>>,
    /// With amplification 0 where a judge has yet to say.
    settings: Settings<'a>,
    /// Who scores, the answer for a failure, and the map from score to amplification.
    judge: Option<(JudgeIdentity, (&'static str, &'static str))>,
    /// The command that decides which answer it is. Absent without one, as in files that are older than checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a str>,
}

/// The seed of a record that brings none: the first four bytes of the SHA-256 of "SEED:NAME", where NAME is
/// its id, or "line N". So it does not depend on the other records, and no two records draw alike.
fn seed_of(seed: u32, name: &str) -> u32 {
    let digest = Sha256::digest(format!("{seed}:{name}"));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[cfg(test)]
mod tests {
    use super::seed_of;

    #[test]
    fn a_records_seed_is_what_sha256sum_prints() {
        // printf '7:line 1' | sha256sum | head -c 8
        assert_eq!(seed_of(7, "line 1"), 0x0718_aa0e);
        assert_ne!(seed_of(8, "line 1"), seed_of(7, "line 1"));
        assert_ne!(seed_of(7, "line 2"), seed_of(7, "line 1"));
    }
}
