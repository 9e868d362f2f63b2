//! `sda generate`: one query, one answer (or three, to compare).

use sda::engine::{Arm, Engine, Finish, Generation};

use crate::args::GenerateArgs;
use crate::failure::{Failure, Outcome};
use crate::prompts;
use crate::record;
use crate::session::Session;
use crate::strength::{self, Resolved, Scene, Source};
use crate::ui::console::note;
use crate::ui::output::{self, Format, Output};

pub fn run(args: &GenerateArgs) -> Outcome {
    let common = &args.common;
    let query = prompts::query(args)?;
    let source = Source::new(common)?;
    let format = if args.json { Format::Json } else { Format::Text };
    let mut output = Output::new(format, common.trace.as_deref())?;
    let session = Session::new(common, output.wants_records())?;
    let (settings, interrupt) = (&session.settings, &session.interrupt);

    let (model, prompter) = session.load(&common.model)?;
    if prompter.steers_nothing() {
        note("no instruction (-i TEXT, --preset NAME): both branches are the same, nothing is steered");
    }
    let prompts = prompter.tokens(&model, &prompter.set(&[], &query)?)?;
    let mut engine = session.engine(&common.model, &model, prompts.singles.len())?;
    source.load(&session, &model, engine.n_ctx())?;
    interrupt.begin();

    let scene = Scene { prompter: &prompter, prompts: &prompts, query: &query, settings, interrupt };
    let resolved = strength::resolve(&source, common, &mut engine, &scene, &mut output)?;
    let mut steered = settings.clone();
    steered.params = resolved.params(&settings.params)?;
    let mut show = |arm, settings: &Generation, output: &mut Output, resolved: Option<&Resolved>| {
        answer(&mut engine, arm, &scene, settings, output, resolved)
    };
    if args.compare {
        for (arm, title) in [(Arm::Plain, "plain"), (Arm::Instructed, "instruction only")] {
            output.heading(title);
            show(arm, settings, &mut output, None)?;
        }
        output.heading(&match resolved.arm {
            Arm::Steered => format!("steered, guidance {:.2}", steered.params.guidance()),
            arm => format!("{}, since there is no score", arm.name()),
        });
    }
    show(resolved.arm, &steered, &mut output, Some(&resolved))
}

/// Generates and shows one answer; `resolved` is what the steered one is steered by.
fn answer(
    engine: &mut Engine,
    arm: Arm,
    scene: &Scene,
    settings: &Generation,
    output: &mut Output,
    resolved: Option<&Resolved>,
) -> Outcome {
    let answer =
        engine.generate(arm, scene.prompts, settings, &mut output.events(arm, true, scene.interrupt))?;
    let mut record = record::Answer::new(arm, &answer);
    if let Some(resolved) = resolved {
        record = record.steered_by(resolved.score(), &settings.params, settings.sampling.seed);
        record = record.weighted(&scene.prompter.instructions);
    }
    output.answer(record)?;
    output::report(arm, &answer, engine.n_ctx());
    match answer.finish {
        Finish::Cancelled => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}
