//! Verifiable instructions. The prompts contain them; the instructed branch is told them once more, in
//! sentences made from their ids and arguments, so that steering pushes towards what is checked.

use sda::text::Instruction;

use crate::measure::ifeval::{Record, Verdict};
use crate::measure::report::{ALL, Report};
use crate::measure::{ArmSpec, Part};

use super::answers::{self, Question};
use super::data::Data;
use super::query_model::{OTHERS, QueryModel};
use super::run::{Basis, Run, note_failures};
use crate::failure::Outcome;
use crate::journal::Input;
use crate::record::EvalResult;
use crate::runner::Runner;

const METRICS: [&str; 4] = ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"];

/// Of records with a topic.
const TOPIC_METRICS: [&str; 2] = ["on_topic", "strict_on_topic"];

/// With a model that is to find the query.
const FOUND_METRICS: [&str; 2] = ["query_found", "strict_query_found"];

pub fn run(run: &Run, data: &Data) -> Outcome<Report> {
    let basis = run.basis()?;
    let records: Vec<Result<Record, String>> =
        data.items.iter().map(|item| Record::read(item.record.as_str())).collect();
    let unreadable: Vec<String> = data
        .items
        .iter()
        .zip(&records)
        .filter_map(|(item, record)| Some(format!("record {}: {}", item.id, record.as_ref().err()?)))
        .collect();
    note_failures("records that cannot be checked and count as failed", &unreadable);
    // One branch for each instruction, where there are several.
    let parts = records.iter().flatten().map(|record| record.instructions.len()).filter(|&n| n > 1).max();
    let is_split = run.arms.iter().any(|arm| arm.is_split);
    let mut batch = answers::batch(run, parts.filter(|_| is_split).unwrap_or(0))?;
    let query_model = run.args.query_model.as_ref().map(|path| QueryModel::new(run, path)).transpose()?;
    let units = Units::new(run, data, &records, &basis, query_model.as_ref());
    let mut runner = run.runner(&units.all())?;
    let questions: Vec<Question> = (units.answers.chunks(run.arms.len()).enumerate())
        .filter_map(|(at, answers)| {
            let (n, repeat) = (at / units.repeats, at % units.repeats);
            let record = records[n].as_ref().ok()?;
            Some(Question {
                item: &data.items[n],
                query: record.prompt.clone(),
                instructions: vec![Instruction::new(record.instruction())],
                parts: record.parts().map(Instruction::new).collect(),
                seed: run.repeated_seed(n, repeat),
                units: answers,
            })
        })
        .collect();
    answers::write(run, &mut batch, &questions, &mut runner)?;
    drop(batch);
    if let Some(model) = &query_model {
        find_queries(run, model, &records, &units, &mut runner)?;
    }
    run.end(&runner);
    Ok(report(run, &records, &units, &runner))
}

/// Units of work: by item, repeat and arm.
struct Units {
    arms: usize,
    repeats: usize,
    answers: Vec<Input>,
    /// Whether the query is found from the answer; empty without a model for it.
    recognitions: Vec<Input>,
}

impl Units {
    fn new(
        run: &Run,
        data: &Data,
        records: &[Result<Record, String>],
        basis: &Basis,
        query_model: Option<&QueryModel>,
    ) -> Units {
        let (arms, repeats) = (run.arms.len(), run.args.repeat as usize);
        let mut units = Units { arms, repeats, answers: Vec::new(), recognitions: Vec::new() };
        for (n, item) in data.items.iter().enumerate() {
            let others = others(records, n);
            for repeat in 0..repeats {
                let kind = |kind: &str| match repeat {
                    0 => kind.to_owned(),
                    repeat => format!("{kind} {}", repeat + 1),
                };
                for arm in &run.arms {
                    units.answers.push(run.unit(item, &arm.name, &kind("answer"), basis));
                    if let Some(model) = query_model {
                        let settings = (basis, model.identity(&others));
                        units.recognitions.push(run.unit(item, &arm.name, &kind("query"), &settings));
                    }
                }
            }
        }
        units
    }

    fn all(&self) -> Vec<Input> {
        self.answers.iter().chain(&self.recognitions).cloned().collect()
    }

    /// The item that the answer at a place is of.
    fn item(&self, at: usize) -> usize {
        at / (self.repeats * self.arms)
    }
}

/// Queries of other records that an answer to this one should not be taken for: the next ones with another text and
/// another topic.
fn others(records: &[Result<Record, String>], n: usize) -> Vec<&str> {
    let Ok(own) = &records[n] else { return Vec::new() };
    let mut others: Vec<&str> = Vec::new();
    let after = records[n + 1..].iter().chain(&records[..n]).flatten();
    for record in after {
        let same_topic = !own.topic.is_empty() && record.topic.iter().any(|word| own.topic.contains(word));
        let known = record.prompt == own.prompt || others.contains(&record.prompt.as_str());
        if !same_topic && !known && others.len() < OTHERS {
            others.push(&record.prompt);
        }
    }
    others
}

/// Has the model find the queries of answers that it has not been shown yet.
fn find_queries(
    run: &Run,
    model: &QueryModel,
    records: &[Result<Record, String>],
    units: &Units,
    runner: &mut Runner<EvalResult>,
) -> Outcome {
    let mut reader = None;
    for (at, unit) in units.recognitions.iter().enumerate() {
        runner.check()?;
        if runner.result(&unit.key).is_some() {
            continue;
        }
        let n = units.item(at);
        let Ok(record) = &records[n] else { continue };
        let Some(answer) = answers::answer(run, runner, &units.answers[at]) else {
            runner.fail(unit, "there is no answer")?;
            continue;
        };
        let reader = match &mut reader {
            Some(reader) => reader,
            none => none.insert(model.load(run)?),
        };
        match reader.recognise(answer, &record.prompt, &others(records, n)) {
            Ok(found) => runner.append(unit, EvalResult::Recognition(found))?,
            Err(error) => runner.fail(unit, &error.to_string())?,
        }
    }
    Ok(())
}

fn report(
    run: &Run,
    records: &[Result<Record, String>],
    units: &Units,
    runner: &Runner<EvalResult>,
) -> Report {
    let mut report = run.report();
    for (at, unit) in units.answers.iter().enumerate() {
        let (n, arm) = (units.item(at), &run.arms[at % units.arms]);
        let record = records[n].as_ref().ok();
        let verdict = record.and_then(|record| Some(record.check(answers::answer(run, runner, unit)?)));
        let Some((record, verdict)) = record.zip(verdict) else {
            let has_topic = record.is_some_and(|record| !record.topic.is_empty());
            let found = FOUND_METRICS.iter().filter(|_| !units.recognitions.is_empty());
            for metric in METRICS.iter().chain(TOPIC_METRICS.iter().filter(|_| has_topic)).chain(found) {
                report.add(metric, ALL, &arm.name, n, None);
            }
            continue;
        };
        for (metric, part) in verdict.parts() {
            report.add(metric, ALL, &arm.name, n, Some(part));
        }
        add_categories(&mut report, arm, n, record, &verdict);
        if let Some(unit) = units.recognitions.get(at) {
            let found = match runner.result(&unit.key) {
                Some(EvalResult::Recognition(found)) => Some(found.query_found),
                _ => None,
            };
            let both = found.map(|found| found && verdict.is_followed());
            for (metric, found) in FOUND_METRICS.iter().zip([found, both]) {
                report.add(metric, ALL, &arm.name, n, found.map(|found| Part::one(f64::from(found))));
            }
        }
    }
    report
}

/// A prompt with several instructions counts in the category of each.
fn add_categories(report: &mut Report, arm: &ArmSpec, n: usize, record: &Record, verdict: &Verdict) {
    for (metric, followed) in [("instruction_strict", &verdict.strict), ("instruction_loose", &verdict.loose)]
    {
        let mut ids: Vec<&str> = record.ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let of = record.ids.iter().zip(followed).filter(|(other, _)| *other == id);
            let (hits, count) =
                of.fold((0.0, 0.0), |(hits, count), (_, &f)| (hits + f64::from(f), count + 1.0));
            report.add(metric, id, &arm.name, n, Some(Part { hits, count }));
        }
    }
}
