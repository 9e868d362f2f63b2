//! What is measured, and on what texts.

use clap::Args;
use sda::engine::Prompts;
use sda::host::Token;
use sda::llama::{ContextOptions, Model};

use crate::args::ModelArgs;
use crate::failure::{Failure, Outcome};
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

/// The longest text that is measured, in tokens.
const MOST: i64 = 1 << 20;

#[derive(Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens that both prompts begin with.
    #[arg(short = 'p', long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST))]
    pub n_prompt: u32,
    /// Tokens of the instruction, after them.
    #[arg(short = 'i', long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST))]
    pub n_instruction: u32,
    /// Tokens to generate in each measurement.
    #[arg(short = 'n', long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=MOST))]
    pub n_gen: u32,
    /// Rounds: everything is measured once in each.
    #[arg(short = 'r', long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,
    /// Pairs in one context.
    #[arg(short = 'N', long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 2, 4, 8], value_parser = clap::value_parser!(u32).range(1..=64))]
    pub pairs: Vec<u32>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Show llama.cpp's log.
    #[arg(short, long)]
    pub verbose: bool,
}

/// What is measured: texts of known length.
pub struct Scene<'m> {
    pub model: &'m Model,
    pub options: ContextOptions,
    pub prompts: Prompts,
    /// What bare decodes are fed.
    pub text: Vec<Token>,
    /// Tokens that a branch must hold.
    pub n_ctx: usize,
}

/// Asked between measurements.
pub struct Pace<'a> {
    pub bar: Progress,
    pub interrupt: &'a Interrupt,
    pub done: usize,
    pub total: usize,
}

impl Pace<'_> {
    /// One measurement is done. Error if the user wants no more.
    pub fn tick(&mut self) -> Outcome {
        self.done += 1;
        self.bar.set(self.done, self.total);
        self.interrupt.check()
    }
}

impl<'m> Scene<'m> {
    pub fn new(args: &BenchArgs, model: &'m Model) -> Outcome<Scene<'m>> {
        let (shared, instruction, text) =
            (args.n_prompt as usize, args.n_instruction as usize, args.n_gen as usize);
        // Two tokens more than the text: the last of each prompt is read in each branch by itself.
        let needed = shared + instruction + text + 2;
        let n_ctx = match args.model.load.ctx_size as usize {
            0 => needed,
            n if n < needed => {
                let why = format!("--ctx-size is {n}, must be at least {needed} for these lengths");
                return Err(Failure::Usage(why));
            }
            n => n,
        };
        let words = words(model, shared + instruction + text + 2)?;
        let (prompt, rest) = words.split_at(shared);
        let (instruction, rest) = rest.split_at(instruction);
        let (end, text) = rest.split_at(2);
        let prompts = Prompts::new([prompt, &end[..1]].concat(), [prompt, instruction, &end[1..]].concat());
        let options = args.model.context_options();
        Ok(Scene { model, options, prompts, text: text.to_vec(), n_ctx })
    }
}

/// Tokens of an English text, as many as are wanted.
fn words(model: &Model, n: usize) -> Outcome<Vec<Token>> {
    const STORY: &str = "The ship left the harbour before the sun was up, and the men on the deck spoke \
        little. A cold wind came from the north. The captain had told nobody where they were going, only \
        that there was food for forty days and that he would pay twice what any other ship paid. When the \
        coast was out of sight he opened an old map and laid it on the table. ";
    // Joined texts may have fewer tokens than each by itself, but never as few as half of them.
    let one = model.tokenize_prompt(STORY)?.len().max(1);
    let mut tokens = model.tokenize_prompt(&STORY.repeat(2 * n / one + 1))?;
    tokens.truncate(n);
    Ok(tokens)
}
