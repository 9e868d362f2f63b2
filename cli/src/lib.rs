//! The `sda` command: [`main`] is all of it. It is a library so that fuzz/ can link it.

mod args;
mod assess;
mod check;
mod cli;
mod commands;
mod devices;
mod failure;
mod fingerprint;
mod foreign;
mod input;
mod journal;
mod judge_file;
mod load;
mod measure;
mod prompts;
mod record;
mod runner;
#[cfg(feature = "server")]
mod serve;
mod session;
mod strength;
mod ui;
mod variables;
mod verbatim;

use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use commands::{bench, chat, eval, generate, list, manual, plot, score};
use failure::Failure;

/// What must hold for any input: fuzz/ calls these with random ones, a test with the seeds.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    pub use crate::commands::plot::fuzz::trace;
    pub use crate::journal::fuzz::lines;

    /// Calls `check` with each seed of a fuzz target.
    #[cfg(test)]
    pub fn each_seed(target: &str, check: impl Fn(&[u8])) {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds")).join(target);
        let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(!seeds.is_empty());
        seeds.iter().for_each(|seed| check(&std::fs::read(seed.path()).unwrap()));
    }
}

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    // Status 1, as for other failures.
    sda::llama::on_fatal(1, |reason| eprintln!("sda: error: llama.cpp had to stop: {reason}"));
    let args = cli::expand(std::env::args_os());
    let command = cli::command();
    let (args, used) = match variables::apply(&command, args, &|name| std::env::var_os(name)) {
        Ok(applied) => applied,
        Err(failure) => return ended(Err(failure)),
    };
    if let Some(rpc_servers) = cli::asks_for_devices(&args) {
        return ended(devices::list(&rpc_servers));
    }
    let matches = command.clone().try_get_matches_from(&args);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            eprintln!("sda: error: {}", cli::not_utf8(&args));
            return ExitCode::from(2);
        }
        Err(error) => {
            if let Some(text) = foreign::unknown(&error, &args) {
                return ended(Err(Failure::Usage(text)));
            }
            // Help and version go to stdout and are no error; clap prints usage errors to stderr.
            let _ = error.print();
            let no_model = || foreign::no_model(&error, &|name| std::env::var_os(name));
            if let Some(text) = variables::blame(&used, &error).or_else(no_model) {
                eprintln!("sda: {text}");
            }
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            };
        }
    };
    let outcome = match cli.command {
        Command::Generate(args) => match args.list_file() {
            Some(file) => list::run(&args, file),
            None => generate::run(&args),
        },
        Command::Chat(args) => chat::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Score(args) => score::run(&args),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Plot(args) => plot::run(&args),
        Command::Completions(args) => manual::completions(&command, &args),
        Command::Manual(args) => manual::run(command, &cli::SHORT_WORDS, &args),
    };
    ended(outcome)
}

/// The exit status of a command that ended so; says why.
fn ended(outcome: failure::Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("sda: error: {text}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            eprintln!("sda: error: {text}");
            ExitCode::FAILURE
        }
        Err(Failure::Interrupted) => ExitCode::from(ui::interrupt::EXIT_INTERRUPTED),
    }
}
