//! Options of `sda generate`, for one query or for a list of them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::common::CommonArgs;
use super::list::ListArgs;

#[derive(Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// The query.
    #[arg(short, long, conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the query from a file; - is standard input. A file *.jsonl is a list of queries, one record
    /// {"query", "instruction"?, "score"? or "guidance"? or "amplification"?, "seed"?, "id"?} a line.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print the plain, the instruction-only and the steered answer one after another.
    #[arg(long)]
    pub compare: bool,
    /// Print one JSON record a line instead of text: every token, then the answer.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

impl GenerateArgs {
    /// The list of queries, if the command line names one.
    pub fn list_file(&self) -> Option<&Path> {
        let file = self.file.as_deref()?;
        let is_list = self.list.batch || file.extension().is_some_and(|extension| extension == "jsonl");
        is_list.then_some(file)
    }
}
