//! The `sda` command.

mod args;
mod assess;
mod batch;
mod bench;
mod chat;
mod console;
mod eval;
mod generate;
mod jsonl;
mod judge_args;
mod load;
mod output;
mod plot;
mod progress;
mod prompts;
mod score;
mod strength;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command};

/// Why a command ended early.
enum Failure {
    /// The command line cannot be carried out as given: exit status 2.
    Usage(String),
    /// Something went wrong on the way: exit status 1.
    Failed(String),
    /// The user pressed Ctrl-C: exit status 130.
    Interrupted,
}

type Outcome<T = ()> = Result<T, Failure>;

impl From<sda::Error> for Failure {
    fn from(error: sda::Error) -> Failure {
        match error {
            sda::Error::Cancelled => Failure::Interrupted,
            // A setting that came from the command line and was found out of range later.
            sda::Error::Param { .. } => Failure::Usage(error.to_string()),
            other => Failure::Failed(other.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(args::expand(std::env::args())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error; clap prints usage errors to stderr.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            };
        }
    };
    let outcome = match cli.command {
        Command::Generate(args) => generate::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Eval(args) => eval::run(args),
        Command::Plot(args) => plot::run(&args),
    };
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
        Err(Failure::Interrupted) => ExitCode::from(console::EXIT_INTERRUPTED),
    }
}
