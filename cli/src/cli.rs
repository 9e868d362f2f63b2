//! The command line: the commands, and llama.cpp's way to write options.

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory, Parser, Subcommand};
use clap_lex::OsStrExt;

use crate::args::GenerateArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::chat::ChatArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::manual::{CompletionsArgs, ManualArgs};
use crate::commands::plot::PlotArgs;
use crate::commands::score::ScoreArgs;
use crate::foreign;
use crate::variables;

/// llama.cpp's options of several letters behind one dash, which clap does not know.
pub const SHORT_WORDS: [(&str, &str); 32] = [
    ("-tb", "--threads-batch"),
    ("-ub", "--ubatch-size"),
    ("-ngl", "--n-gpu-layers"),
    ("-dev", "--device"),
    ("-sm", "--split-mode"),
    ("-ts", "--tensor-split"),
    ("-mg", "--main-gpu"),
    ("-ot", "--override-tensor"),
    ("-cmoe", "--cpu-moe"),
    ("-ncmoe", "--n-cpu-moe"),
    ("-kvo", "--kv-offload"),
    ("-nkvo", "--no-kv-offload"),
    ("-nr", "--no-repack"),
    ("-Cr", "--cpu-range"),
    ("-sys", "--system-prompt"),
    ("-sysf", "--system-prompt-file"),
    ("-fa", "--flash-attn"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-lm", "--load-mode"),
    ("-co", "--color"),
    ("-cnv", "--conversation"),
    ("-no-cnv", "--no-conversation"),
    ("-st", "--single-turn"),
    ("-cb", "--cont-batching"),
    ("-fit", "--fit"),
    ("-if", "--instruction-file"),
    ("-iw", "--instruction-weights"),
    ("-jp", "--judge-prompt"),
    ("-np", "--parallel"),
    ("-to", "--timeout"),
    ("-jf", "--json-schema-file"),
];

/// Replaces [`SHORT_WORDS`], and those that are refused, in a command line, which may hold file names that are not UTF-8.
pub fn expand(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    args.map(|arg| {
        literal |= arg == "--";
        let (name, value) = match arg.split_once("=") {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_os_str(), None),
        };
        let own = || SHORT_WORDS.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
        let long = || own().or_else(|| foreign::long_name(name.to_str()?));
        match (!literal).then(long).flatten() {
            Some(long) => {
                let mut whole = OsString::from(long);
                for part in value.map(|value| [OsStr::new("="), value]).into_iter().flatten() {
                    whole.push(part);
                }
                whole
            }
            None => arg,
        }
    })
    .collect()
}

/// The command line as clap sees it.
pub fn command() -> clap::Command {
    variables::describe(Cli::command())
}

/// Why a command line with texts that are not UTF-8 is refused. clap does not say which argument it is.
pub fn not_utf8(args: &[OsString]) -> String {
    let wrong: Vec<String> =
        args.iter().filter(|arg| arg.to_str().is_none()).map(|arg| format!("{arg:?}")).collect();
    format!("{} is not UTF-8, must be, unless it names a file", wrong.join(", "))
}

/// The RPC servers of a command line with `--list-devices`; None for one without. As in llama.cpp nothing else is needed
/// there: no model, and no prompt.
pub fn asks_for_devices(args: &[OsString]) -> Option<Vec<String>> {
    if !args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--list-devices") {
        return None;
    }
    // What is missing is no error.
    let matches = command().ignore_errors(true).try_get_matches_from(args).ok()?;
    let (_, matches) = matches.subcommand()?;
    // A command may have no such option.
    let is_asked = matches!(matches.try_get_one::<bool>("list_devices"), Ok(Some(true)));
    let servers = matches.try_get_many::<String>("rpc").ok().flatten();
    is_asked.then(|| servers.into_iter().flatten().cloned().collect())
}

/// Steers a local GGUF model towards an instruction, without fine-tuning.
#[derive(Parser)]
#[command(name = "sda", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Answer one prompt, or a list of them.
    Generate(GenerateArgs),
    /// Talk in turns; both branches keep the history.
    Chat(ChatArgs),
    /// Measure what steering costs on this machine.
    Bench(BenchArgs),
    /// Score drafts from a JSON Lines file.
    Score(ScoreArgs),
    /// Serve OpenAI's API, every answer steered as its request or the command line says.
    #[cfg(feature = "server")]
    Serve(crate::serve::ServeArgs),
    /// Measure how well arms align: plain, instructed, steered.
    Eval(EvalArgs),
    /// Draw the method, a trace or results, as SVG, PNG or a page.
    Plot(PlotArgs),
    /// Print a script that completes this command's options in a shell.
    Completions(CompletionsArgs),
    /// Write the man pages, or list the options.
    #[command(hide = true)]
    Manual(ManualArgs),
}
