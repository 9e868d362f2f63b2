//! Verifiable instructions. The prompts contain them; the instructed branch is told them once more, in
//! sentences made from their ids and arguments, so that steering pushes towards what is checked.

use crate::measure::Part;
use crate::measure::ifeval::Record;
use crate::measure::report::{ALL, Report};

use super::answers::{self, Question};
use super::data::Data;
use super::run::{Run, note_failures};
use super::scorer::Scorer;
use crate::failure::Outcome;
use crate::journal::Input;
use crate::record::EvalResult;
use crate::runner::Runner;

const METRICS: [&str; 4] = ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"];

/// Of records with a topic.
const TOPIC_METRICS: [&str; 2] = ["on_topic", "strict_on_topic"];

pub fn run(run: &Run, data: &Data) -> Outcome<Report> {
    let mut batch = answers::batch(run)?;
    let scorer = Scorer::new(run.args)?;
    let basis = run.basis(&scorer)?;
    let records: Vec<Result<Record, String>> =
        data.items.iter().map(|item| Record::read(&item.record)).collect();
    let unreadable: Vec<String> = data
        .items
        .iter()
        .zip(&records)
        .filter_map(|(item, record)| Some(format!("record {}: {}", item.id, record.as_ref().err()?)))
        .collect();
    note_failures("records that cannot be checked and count as failed", &unreadable);
    let mut units: Vec<Input> = Vec::new();
    for item in &data.items {
        for arm in &run.arms {
            units.push(run.unit(item, &arm.name, "answer", &basis)?);
        }
    }
    let mut runner = run.runner(&units)?;
    let questions: Vec<Question> = data
        .items
        .iter()
        .zip(&records)
        .zip(units.chunks(run.arms.len()))
        .enumerate()
        .filter_map(|(n, ((item, record), units))| {
            let record = record.as_ref().ok()?;
            let (query, instruction) = (record.prompt.clone(), record.instruction());
            Some(Question { item, query, instruction, seed: run.item_seed(n), units })
        })
        .collect();
    answers::write(run, &mut batch, &questions, &scorer, &mut runner)?;
    run.end(&runner);
    Ok(report(run, &records, &units, &runner))
}

fn report(
    run: &Run,
    records: &[Result<Record, String>],
    units: &[Input],
    runner: &Runner<EvalResult>,
) -> Report {
    let mut report = run.report();
    for (n, (record, units)) in records.iter().zip(units.chunks(run.arms.len())).enumerate() {
        for (arm, unit) in run.arms.iter().zip(units) {
            let checked = record.as_ref().ok().and_then(|record| {
                let answer = answers::answer(runner, unit)?;
                Some((record, record.check(answer)))
            });
            let Some((record, verdict)) = checked else {
                let has_topic = record.as_ref().is_ok_and(|record| !record.topic.is_empty());
                for metric in METRICS.iter().chain(TOPIC_METRICS.iter().filter(|_| has_topic)) {
                    report.add(metric, ALL, &arm.name, n, None);
                }
                continue;
            };
            for (metric, part) in verdict.parts() {
                report.add(metric, ALL, &arm.name, n, Some(part));
            }
            // A prompt with several instructions counts in the category of each.
            for (metric, followed) in
                [("instruction_strict", &verdict.strict), ("instruction_loose", &verdict.loose)]
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
    }
    report
}
