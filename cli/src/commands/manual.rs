//! What describes the command itself: completions, man pages, and a list of its options for scripts/options.py.

use std::path::PathBuf;

use clap::{Arg, Args, Command};
use clap_complete::Shell;

use crate::failure::{Failure, Outcome};
use crate::ui::console::print;
use crate::variables;

#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub struct ManualArgs {
    /// Where the man pages go.
    #[arg(value_name = "DIR", required_unless_present = "options")]
    folder: Option<PathBuf>,
    /// List the options instead: command, names and variable, with tabs between them.
    #[arg(long, conflicts_with = "folder")]
    options: bool,
}

pub fn completions(command: &Command, args: &CompletionsArgs) -> Outcome {
    // clap_complete would name the hidden commands as well.
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut visible = Command::new("sda").version("").subcommands(commands);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible, "sda", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// `short_words` are options of several letters behind one dash, with their long names.
pub fn run(command: Command, short_words: &[(&str, &str)], args: &ManualArgs) -> Outcome {
    match &args.folder {
        Some(folder) => {
            let fail = |e| Failure::Failed(format!("{}: {e}", folder.display()));
            std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(command, folder))
                .map_err(fail)
        }
        None => print(&list(command, short_words)),
    }
}

fn list(mut command: Command, short_words: &[(&str, &str)]) -> String {
    command.build();
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    let commands = std::iter::once(&command).chain(commands);
    let lines = commands.flat_map(|command| {
        let options = command.get_arguments().filter(|arg| arg.get_long().is_some());
        options.map(|arg| line(command.get_name(), arg, short_words))
    });
    lines.collect()
}

fn line(command: &str, arg: &Arg, short_words: &[(&str, &str)]) -> String {
    let long = arg.get_long().unwrap_or_default();
    let aliases = arg.get_all_aliases().unwrap_or_default();
    let mut names: Vec<String> =
        [&[long][..], &aliases].concat().iter().map(|name| format!("--{name}")).collect();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    let words: Vec<&str> = short_words
        .iter()
        .filter(|(_, of)| names.iter().any(|name| name == of))
        .map(|(word, _)| *word)
        .collect();
    names.extend(words.iter().map(|&word| word.to_owned()));
    let own = arg.get_env().map(|name| name.to_string_lossy().into_owned());
    let variable = own.or_else(|| variables::of_option(long).map(str::to_owned)).unwrap_or_default();
    format!("{command}\t{}\t{variable}\n", names.join(" "))
}
