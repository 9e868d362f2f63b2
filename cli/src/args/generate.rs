//! Options of `sda generate`, for one query or for a list of them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::common::CommonArgs;
use super::list::ListArgs;

/// What the names of JSON Lines files end in, in small or capital letters.
const LIST_ENDINGS: [&str; 3] = ["jsonl", "ndjson", "jsonlines"];

#[derive(Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// The query.
    #[arg(short, long, conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the query from a file; - is standard input. A file *.jsonl, *.ndjson or *.jsonlines is a list of queries, one record
    /// {"query", "instruction"?, "score"? or "guidance"? or "amplification"?, "seed"?, "id"?} a line.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print the plain, the instruction-only and the steered answer one after another.
    #[arg(long)]
    pub compare: bool,
    /// Steer only an answer that fails a check: the instructed answer goes to the standard input of this shell command,
    /// and stands if its exit status is 0. If that is 1 to 125, the query is answered again, steered.
    #[arg(
        long,
        value_name = "COMMAND",
        conflicts_with_all = ["judge", "compare", "arms"],
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub check: Option<String>,
    /// Print one JSON record a line instead of text: every token, then the answer.
    #[arg(long)]
    pub json: bool,
    /// Accepted for llama.cpp's sake: there is one turn. [also -st]
    #[arg(long, hide = true)]
    single_turn: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

impl GenerateArgs {
    /// The list of queries, if the command line names one.
    pub fn list_file(&self) -> Option<&Path> {
        let file = self.file.as_deref()?;
        let ending = file.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        let is_list = self.list.batch || LIST_ENDINGS.contains(&ending.as_str());
        is_list.then_some(file)
    }
}
