//! The `sda` command.

mod args;
mod assess;
mod check;
mod cli;
mod commands;
mod failure;
mod fingerprint;
mod input;
mod journal;
mod judge_file;
mod load;
mod measure;
mod prompts;
mod record;
mod runner;
mod session;
mod strength;
mod ui;
mod verbatim;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use commands::{bench, chat, eval, generate, list, plot, score};
use failure::Failure;

fn main() -> ExitCode {
    let args = cli::expand(std::env::args_os());
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            eprintln!("sda: error: {}", cli::not_utf8(&args));
            return ExitCode::from(2);
        }
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
        Command::Generate(args) => match args.list_file() {
            Some(file) => list::run(&args, file),
            None => generate::run(&args),
        },
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
        Err(Failure::Interrupted) => ExitCode::from(ui::interrupt::EXIT_INTERRUPTED),
    }
}
