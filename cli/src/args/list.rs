//! Options for lists of queries.

use std::path::PathBuf;

use clap::Args;
use sda::engine::{Arm, MAX_PAIRS};

#[derive(Args)]
#[command(next_help_heading = "List of queries (-f FILE.jsonl)")]
pub struct ListArgs {
    /// Treat the file of -f as a list of queries, whatever its name.
    #[arg(long, requires = "file")]
    pub batch: bool,
    /// Answers that are generated at once. [also -np]
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_PAIRS as i64))]
    pub parallel: u16,
    /// Where the answers go, one JSON record a line; a stopped run continues there. [default: standard output]
    #[arg(short, long, value_name = "FILE", requires = "file")]
    pub output: Option<PathBuf>,
    /// Drop the answers that are in --output already.
    #[arg(long, requires = "output")]
    pub restart: bool,
    /// Which answers to generate for each query: plain, instructed, steered. [default: steered]
    #[arg(long, value_name = "ARM,...", value_delimiter = ',', value_parser = arm, requires = "file", conflicts_with = "compare")]
    arms: Vec<Arm>,
}

impl ListArgs {
    /// The option that is for lists only, if one was given.
    pub fn needs_list(&self) -> Option<&'static str> {
        let given = [("--output", self.output.is_some()), ("--arms", !self.arms.is_empty())];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    /// The arms that are wanted, each once, in their usual order.
    pub fn arms(&self, compare: bool) -> Vec<Arm> {
        let wanted = match (compare, self.arms.is_empty()) {
            (true, _) => &[Arm::Plain, Arm::Instructed, Arm::Steered][..],
            (false, true) => &[Arm::Steered],
            (false, false) => &self.arms,
        };
        let all = [Arm::Plain, Arm::Instructed, Arm::Steered];
        all.into_iter().filter(|arm| wanted.contains(arm)).collect()
    }
}

/// Parses the name of an arm, for clap.
fn arm(name: &str) -> Result<Arm, String> {
    let arms = [Arm::Plain, Arm::Instructed, Arm::Steered];
    arms.into_iter()
        .find(|arm| arm.name() == name)
        .ok_or_else(|| "must be plain, instructed or steered".to_owned())
}
