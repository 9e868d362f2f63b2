//! Loading the model and making the engine, with progress and llama.cpp's log kept in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sda::engine::Engine;
use sda::llama::{self, Model, ModelOptions};

use crate::args::{LoadArgs, ModelArgs};
use crate::devices;
use crate::failure::{Failure, Outcome};
use crate::ui::console::{note, stderr_is_terminal};
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

/// Warnings and errors of llama.cpp that are shown when something fails.
const KEPT_LINES: usize = 8;

/// What llama.cpp logged, as far as it is of use.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    complaints: VecDeque<String>,
    kv_mib: f64,
    /// The whole log.
    file: Option<File>,
}

impl Log {
    /// Takes over llama.cpp's log: shown if `verbose`, else kept for error messages.
    pub fn capture(verbose: bool) -> Log {
        let log = Log::default();
        let sink = log.clone();
        llama::set_log(move |line| {
            if verbose {
                eprint!("{}", line.text);
            }
            let mut kept = sink.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(file) = &mut kept.file {
                // A disk that is full ends no answer.
                let _ = file.write_all(line.text.as_bytes());
            }
            kept.kv_mib += kv_mib(line.text).unwrap_or(0.0);
            if matches!(line.level, 3 | 4) {
                kept.complaints.push_back(line.text.trim_end().to_owned());
                if kept.complaints.len() > KEPT_LINES {
                    kept.complaints.pop_front();
                }
            }
        });
        log
    }

    /// From now on the log is written to a file as well; the first one that is named is kept.
    fn write_to(&self, path: &Path) -> Outcome {
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.file.is_none() {
            let fail = |e| Failure::Failed(format!("--log-file {}: {e}", path.display()));
            kept.file = Some(File::create(path).map_err(fail)?);
        }
        Ok(())
    }

    /// Adds what llama.cpp complained about to an error.
    pub fn explain(&self, error: sda::Error) -> Failure {
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match Failure::from(error) {
            Failure::Failed(text) if !kept.complaints.is_empty() => {
                let lines: Vec<String> =
                    kept.complaints.iter().map(|l| format!("\n  llama.cpp: {l}")).collect();
                Failure::Failed(format!("{text}{}", lines.concat()))
            }
            other => other,
        }
    }

    /// Size of the KV buffers made so far.
    pub fn kv_mib(&self) -> f64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).kv_mib
    }
}

/// Size in a line such as "CPU KV buffer size = 90.00 MiB", the only place where llama.cpp tells it.
fn kv_mib(line: &str) -> Option<f64> {
    let (_, size) = line.split_once("KV buffer size =")?;
    size.split_whitespace().next()?.parse().ok()
}

/// Loads the model of -m.
pub fn own_model(args: &ModelArgs, log: &Log, interrupt: &Interrupt) -> Outcome<Model> {
    load(&args.model, &args.load, &args.model_options(), log, interrupt)
}

/// Loads another one.
pub fn model(path: &Path, args: &LoadArgs, log: &Log, interrupt: &Interrupt) -> Outcome<Model> {
    load(path, args, &args.model_options(), log, interrupt)
}

fn load(
    path: &Path,
    args: &LoadArgs,
    options: &ModelOptions,
    log: &Log,
    interrupt: &Interrupt,
) -> Outcome<Model> {
    if let Some(path) = &args.log_file {
        log.write_to(path)?;
    }
    devices::warn(&args.device)?;
    if let Some(numa) = args.cpu.numa {
        llama::use_numa(numa)?;
    }
    let bar = Progress::share("loading");
    let (shown, stop) = (bar.handle(), interrupt.clone());
    interrupt.begin();
    let loaded = Model::load(path, options, move |share| {
        shown.set((share * 1000.0) as usize, 1000);
        !stop.is_wanted()
    });
    interrupt.end();
    bar.set(1, 1);
    interrupt.check()?;
    loaded.map_err(|error| log.explain(error))
}

/// True if two paths lead to one file.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Makes the engine, with room for some branches of single instructions, and says what it costs in memory.
pub fn engine(args: &ModelArgs, model: &Model, n_singles: usize, log: &Log) -> Outcome<Engine> {
    let before = log.kv_mib();
    let engine = Engine::with_singles(model, args.load.ctx_size as usize, n_singles, &args.context_options())
        .map_err(|error| log.explain(error))?;
    let kv = log.kv_mib() - before;
    if stderr_is_terminal() && kv > 0.0 {
        let others = if n_singles == 0 { "second branch" } else { "other branches" };
        note(&format!(
            "{} tokens a branch, KV cache {kv:.0} MiB, of it {:.0} MiB for the {others}",
            engine.n_ctx(),
            kv * (1 + n_singles) as f64 / (2 + n_singles) as f64
        ));
    }
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use super::kv_mib;

    #[test]
    fn the_size_is_found_in_llama_cpps_line() {
        assert_eq!(kv_mib("llama_kv_cache:        CPU KV buffer size =    90.00 MiB\n"), Some(90.0));
        assert_eq!(kv_mib("llama_context: n_ctx = 4096"), None);
    }
}
