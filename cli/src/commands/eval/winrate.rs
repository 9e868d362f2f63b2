//! Win rate: the answers of each arm against those of one arm, by a judge that sees both orders.

use crate::measure::Part;
use crate::measure::report::{ALL, Report};
use crate::measure::winrate::{Item as Read, is_gibberish, outcome};

use super::answers::{self, Question};
use super::data::Data;
use super::pair_judge::{Comparison, PairJudge};
use super::run::{Run, note_failures};
use crate::failure::Outcome;
use crate::journal::Input;
use crate::record::{self, EvalResult};
use crate::runner::Runner;

/// Units of work: the answers of all arms, then the comparisons of all arms but one.
struct Units {
    arms: usize,
    answers: Vec<Input>,
    /// By item and arm; None for the arm that the others are compared with.
    comparisons: Vec<Option<Input>>,
}

pub fn run(run: &Run, data: &Data) -> Outcome<Report> {
    let judge = run.pair_judge.as_ref().expect("the options were checked");
    let mut batch = answers::batch(run, run.prompter.n_singles()?)?;
    let items: Vec<Result<Read, String>> =
        data.items.iter().map(|item| run.args.dataset.read(item.record.as_str())).collect();
    let unreadable: Vec<String> = data
        .items
        .iter()
        .zip(&items)
        .filter_map(|(item, read)| Some(format!("record {}: {}", item.id, read.as_ref().err()?)))
        .collect();
    note_failures("records that cannot be read and count as failed", &unreadable);
    let units = units(run, data, judge)?;
    let all: Vec<Input> = units.answers.iter().chain(units.comparisons.iter().flatten()).cloned().collect();
    let mut runner = run.runner(&all)?;
    let questions: Vec<Question> = data
        .items
        .iter()
        .zip(&items)
        .zip(units.answers.chunks(units.arms))
        .enumerate()
        .filter_map(|(n, ((item, read), units))| {
            let query = read.as_ref().ok()?.query.clone();
            let instructions = run.prompter.instructions.clone();
            Some(Question { item, query, parts: Vec::new(), instructions, seed: run.item_seed(n), units })
        })
        .collect();
    answers::write(run, &mut batch, &questions, &mut runner)?;
    drop(batch);
    compare(run, judge, &items, &units, &mut runner)?;
    run.end(&runner);
    Ok(report(run, &items, &units, &runner))
}

fn units(run: &Run, data: &Data, judge: &PairJudge) -> Outcome<Units> {
    let mut units = Units { arms: run.arms.len(), answers: Vec::new(), comparisons: Vec::new() };
    let basis = run.basis()?;
    let compared = run.basis()?.compared(judge.identity(), &run.args.against);
    for item in &data.items {
        for arm in &run.arms {
            units.answers.push(run.unit(item, &arm.name, "answer", &basis));
            units.comparisons.push(if arm.name == run.args.against {
                None
            } else {
                Some(run.unit(item, &arm.name, "comparison", &compared))
            });
        }
    }
    Ok(units)
}

/// Asks the judge for what has not been compared yet.
fn compare(
    run: &Run,
    judge: &PairJudge,
    items: &[Result<Read, String>],
    units: &Units,
    runner: &mut Runner<EvalResult>,
) -> Outcome {
    let reference = run.arms.iter().position(|arm| arm.name == run.args.against).unwrap_or(0);
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (index, unit) in units.comparisons.iter().enumerate() {
        let Some(unit) = unit.as_ref().filter(|unit| runner.result(&unit.key).is_none()) else { continue };
        let (item, arm) = (index / units.arms, index % units.arms);
        let Ok(read) = &items[item] else { continue };
        let text = |arm: usize| answers::answer(run, runner, &units.answers[item * units.arms + arm]);
        match (text(arm), text(reference)) {
            (Some(answer), Some(against)) => comparisons.push(Comparison {
                unit: index,
                query: read.query.clone(),
                answer: answer.to_owned(),
                against: against.to_owned(),
            }),
            _ => runner.fail(unit, "there are not two answers to compare")?,
        }
    }
    judge.compare(run, comparisons, &mut |comparison, preferences| {
        let unit =
            units.comparisons[comparison.unit].as_ref().expect("only units that there are were asked for");
        match preferences {
            Ok([first, second]) => {
                let result = record::Comparison {
                    outcome: outcome(first.preference, second.preference),
                    score_as_first: first.score,
                    score_as_second: second.score,
                    judge: judge.name(),
                    against: run.args.against.clone(),
                };
                runner.append(unit, EvalResult::Comparison(result))
            }
            Err(why) => runner.fail(unit, &why),
        }
    })
}

/// `omega` over all items, `omega_refined` without those whose plain answer is gibberish.
fn report(run: &Run, items: &[Result<Read, String>], units: &Units, runner: &Runner<EvalResult>) -> Report {
    let mut report = run.report();
    let reference = run.arms.iter().position(|arm| arm.name == run.args.against).unwrap_or(0);
    for (metric, refined) in [("omega", false), ("omega_refined", true)] {
        for (n, read) in items.iter().enumerate() {
            let base = answers::answer(run, runner, &units.answers[n * units.arms + reference]);
            if refined && base.is_some_and(is_gibberish) {
                continue;
            }
            let category = read.as_ref().ok().and_then(|read| read.category.as_deref());
            for (arm, unit) in run.arms.iter().zip(&units.comparisons[n * units.arms..]) {
                let Some(unit) = unit else { continue };
                let value = match runner.result(&unit.key) {
                    Some(EvalResult::Comparison(comparison)) => Some(comparison.outcome),
                    _ => None,
                };
                for category in [Some(ALL), category].into_iter().flatten() {
                    report.add(metric, category, &arm.name, n, value.map(Part::one));
                }
            }
        }
    }
    report
}
