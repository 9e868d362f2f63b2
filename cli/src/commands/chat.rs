//! `sda chat`: turns; both branches keep the history.

use std::io::{IsTerminal, Write};

use clap::Args;
use sda::text::Turn;

use crate::args::CommonArgs;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::record;
use crate::session::Session;
use crate::strength::{self, Scene, Source};
use crate::ui::color;
use crate::ui::console::note;
use crate::ui::output::{self, Format, Output};

const HELP: &str = "/clear forgets the conversation, /undo takes the last turn back, /exit or Ctrl-D ends";

#[derive(Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Accepted for llama.cpp's sake: this is the conversation.
    #[arg(long, hide = true)]
    conversation: bool,
}

pub fn run(args: &ChatArgs) -> Outcome {
    let common = &args.common;
    let source = Source::new(common)?;
    let mut output = Output::new(Format::Text, common.trace.as_deref())?;
    let session = Session::new(common, output.wants_records())?;
    let (settings, interrupt) = (&session.settings, &session.interrupt);

    let (model, prompter) = session.load(&common.model)?;
    let mut engine = session.engine(&common.model, &model, prompter.n_singles()?)?;
    source.load(&session, &model, engine.n_ctx())?;
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        note(HELP);
    }
    let mut history: Vec<Turn> = Vec::new();
    let mut lines = Lines { interactive, is_first: true };
    while let Some(query) = lines.next()? {
        match query.trim() {
            "" => continue,
            "/exit" => break,
            "/help" => note(HELP),
            "/clear" => history.clear(),
            "/undo" => drop(history.pop()),
            _ => {
                let prompts = prompter.tokens(&model, &prompter.set(&history, &query)?)?;
                interrupt.begin();
                let scene =
                    Scene { prompter: &prompter, prompts: &prompts, query: &query, settings, interrupt };
                let resolved = match strength::resolve(&source, common, &mut engine, &scene, &mut output) {
                    Ok(resolved) => resolved,
                    // Ctrl-C while the draft is written or judged: back to the prompt.
                    Err(Failure::Interrupted) => {
                        interrupt.end();
                        continue;
                    }
                    // The conversation is as it was before this turn, and its user may try again.
                    Err(Failure::Failed(text)) if interactive => {
                        interrupt.end();
                        note(&text);
                        continue;
                    }
                    Err(failure) => return Err(failure),
                };
                let arm = resolved.arm;
                let mut steered = settings.clone();
                steered.params = resolved.params(&settings.params)?;
                let answer =
                    engine.generate(arm, &prompts, &steered, &mut output.events(arm, true, interrupt));
                interrupt.end();
                let answer = match answer {
                    Ok(answer) => answer,
                    // The conversation is as it was before this turn, so it can go on after /clear.
                    Err(error @ sda::Error::ContextFull { .. }) => {
                        note(&format!("{error}: /clear or /undo makes room"));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let record = record::Answer::new(arm, &answer);
                let record = record.steered_by(resolved.score(), &steered.params, session.seed());
                output.answer(record.weighted(&prompter.instructions))?;
                output::report(arm, &answer, engine.n_ctx());
                history.push(Turn { query, answer: answer.text });
            }
        }
    }
    Ok(())
}

/// The lines that the user types.
struct Lines {
    interactive: bool,
    is_first: bool,
}

impl Lines {
    fn next(&mut self) -> Outcome<Option<String>> {
        if self.interactive {
            eprint!("{}", color::prompt("> "));
            let _ = std::io::stderr().flush();
        }
        input::read_line(&mut std::io::stdin().lock(), std::mem::take(&mut self.is_first))
    }
}
