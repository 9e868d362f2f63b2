//! `sda generate -f FILE.jsonl`: a list of queries, many answers at once, and a file that the same command continues.

mod record;
mod task;
mod work;

use std::path::Path;

use sda::engine::{Batch, BatchSize, MIN_N_CTX};
use sda::llama::Model;

use crate::args::GenerateArgs;
use crate::check::Check;
use crate::failure::{Failure, Outcome};
use crate::journal::{self, Journal};
use crate::runner::{Names, Runner};
use crate::session::Session;
use crate::strength::Source;
use crate::ui::console::{note, stderr_is_terminal};

use record::Record;
use task::{Task, TaskMaker};
use work::Work;

pub fn run(args: &GenerateArgs, list: &Path) -> Outcome {
    let common = &args.common;
    if common.trace.is_some() {
        return Err(Failure::Usage("--trace is for a single query, not for a list".into()));
    }
    let source = Source::new(common)?;
    let session = Session::new(common, false)?;
    let Session { settings, interrupt, log, .. } = &session;
    let records = records(list, args)?;

    let (model, prompter) = session.load(&common.model)?;
    let arms = args.list.arms(args.compare);
    let maker = TaskMaker { args, model: &model, prompter: &prompter, settings, source: &source };
    let mut tasks = Vec::with_capacity(records.len() * arms.len());
    for record in &records {
        tasks.extend(maker.tasks(record, &arms)?);
    }
    let inputs: Vec<journal::Input> = tasks.iter().map(|task| task.input.clone()).collect();
    let journal = Journal::open(args.list.output.as_deref(), &inputs, args.list.restart)?;
    let n_pairs = usize::from(args.list.parallel).min(tasks.len().saturating_sub(journal.len()));
    if n_pairs == 0 {
        note(&format!("all {} answers are there already", tasks.len()));
        return Ok(());
    }
    if prompter.steers_nothing() && records.iter().all(|record| record.instructions.is_none()) {
        note("no instruction (-i TEXT, --preset NAME, or in the list): nothing is steered");
    }
    let before = log.kv_mib();
    let n_ctx = branch_length(args, &model, &tasks, &source);
    let n_singles = tasks.iter().map(Task::n_singles).max().unwrap_or(0);
    let size = BatchSize { n_pairs, n_ctx, n_singles, cells: None };
    let batch = Batch::with_size(&model, &size, &common.model.context_options())
        .map_err(|error| log.explain(error))?;
    if stderr_is_terminal() {
        note(&format!(
            "{n_pairs} answers at once, {n_ctx} tokens a branch, KV cache {:.0} MiB",
            log.kv_mib() - before
        ));
    }
    source.load(&session, &model, n_ctx)?;
    interrupt.begin();
    let template = prompter.template();
    let names = Names { doing: "answering", results: "answers" };
    let mut runner = Runner::new(names, journal, tasks.len(), interrupt);
    let check = args.check.as_deref().map(|command| Check { command, verbose: common.verbose, interrupt });
    Work { args, source: &source, check, template, tasks, batch }.run(&mut runner)
}

/// Reads the list and the answers' strengths and seeds in it.
fn records(list: &Path, args: &GenerateArgs) -> Outcome<Vec<Record>> {
    let records: Result<Vec<Record>, String> =
        journal::read(list)?.into_iter().map(|given| Record::new(given, &args.common.steering)).collect();
    records.map_err(|why| Failure::Failed(format!("{}: {why}", list.display())))
}

/// `--ctx-size`, or what the longest answer can need: the cache has twice as many cells for each of the
/// answers that are generated at once.
fn branch_length(args: &GenerateArgs, model: &Model, tasks: &[Task], source: &Source) -> usize {
    /// What the local judge's prompt holds beside query, instruction and draft, and something to spare.
    const JUDGE_TOKENS: usize = 512;
    let most = sda::engine::branch_length(model, 0);
    match (args.common.model.load.ctx_size as usize, usize::try_from(args.common.sampling.n_predict)) {
        (0, Ok(n_predict)) => {
            let longest = tasks.iter().map(|task| task.longest_prompt()).max().unwrap_or(0);
            let judge = match source {
                // It reads its prompt into the cells of one pair, which are those of two branches.
                Source::Judged(assessor) if assessor.is_local() => JUDGE_TOKENS / 2,
                _ => 0,
            };
            (longest + n_predict + judge).clamp(MIN_N_CTX, most)
        }
        (0, Err(_)) => most,
        (n, _) => n,
    }
}
