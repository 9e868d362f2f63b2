//! `sda eval`: the same model, the same prompts and seeds, several arms; who does better, and how sure is it?
//!
//! A run has units of work, one for every item and arm, which are done item by item so that all arms see the
//! same machine and the same draft. Each unit's result is a line of the output file; a run that is stopped
//! continues from there. The report is made from these results alone.

mod answers;
mod args;
mod data;
mod ifeval;
mod likelihood;
mod pair_judge;
mod query_model;
mod run;
mod scorer;
mod table;
mod winrate;

use sda::Quality;
use sda::engine::branch_length;

pub use args::EvalArgs;
use args::Task;
use data::Data;
use pair_judge::PairJudge;
use run::Run;
use scorer::Scorer;

use crate::args::Placement;
use crate::failure::Outcome;
use crate::measure::ArmSpec;
use crate::prompts::PromptTexts;
use crate::session::Session;

/// The most tokens of an answer when no other limit is given: no model should fill its context with one
/// answer that does not end.
const DEFAULT_N_PREDICT: usize = 1024;

/// Seed when none is given: a measurement should be one that can be repeated.
const DEFAULT_SEED: u32 = 1;

pub fn run(mut args: EvalArgs) -> Outcome {
    let arms = ArmSpec::parse_list(&args.arms)?;
    args.check(&arms)?;
    set_defaults(&mut args);
    let args = &args;
    let seed = u32::try_from(args.common.sampling.seed).unwrap_or(DEFAULT_SEED);
    let mut settings = args.common.generation(seed, false)?;
    settings.n_predict = settings.n_predict.or(Some(DEFAULT_N_PREDICT));
    let session = Session::with(settings, PromptTexts::read(&args.common.prompt)?, args.common.verbose)?;
    let data = Data::read(args)?;
    let scorer = Scorer::new(args)?;
    let pair_judge = match (args.task, &args.pair_judge) {
        (Task::Winrate, Some(judge)) => Some(PairJudge::new(args, judge)?),
        _ => None,
    };

    let (model, prompter) = session.load(&args.common.model)?;
    let branch = branch_length(&model, args.common.model.load.ctx_size as usize);
    if let Some(assessor) = scorer.assessor().filter(|_| arms.iter().any(ArmSpec::needs_score)) {
        assessor.load(&session, &[&model], branch)?;
    }
    if let Some(judge) = &pair_judge {
        judge.load(&session, &model, scorer.assessor(), branch)?;
    }
    session.interrupt.begin();
    let thinking = prompter.single("QUERY")?.thinking;
    let run = Run { args, arms, session, model: &model, prompter, scorer, pair_judge, thinking };
    let report = match args.task {
        Task::TruthfulqaMc => {
            likelihood::run(&run, &data, &mut run.session.engine(&args.common.model, &model, 0)?)?
        }
        Task::Ifeval => ifeval::run(&run, &data)?,
        Task::Winrate => winrate::run(&run, &data)?,
    };
    run.show(&report, data.items.len())
}

/// What an option means that was not given, where that depends on the task.
fn set_defaults(args: &mut EvalArgs) {
    // An arm has the limits that its name says.
    args.common.steering.mean_kl.get_or_insert(f32::INFINITY);
    let prompt = &mut args.common.prompt;
    let has_instruction = prompt.has_instruction();
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
