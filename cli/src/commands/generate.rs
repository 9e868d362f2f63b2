//! `sda generate`: one query, one answer (or three, to compare; or a second one, where the first fails its check).

use sda::engine::{Arm, Engine, Finish, Generation};

use crate::args::GenerateArgs;
use crate::check::Check;
use crate::failure::{Failure, Outcome};
use crate::prompts;
use crate::record::{self, Checked, Record};
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
    if let Some(command) = &args.check {
        let check = Check { command, verbose: common.verbose, interrupt };
        if instructed(&mut engine, &check, &scene, &mut output, args.json)? == Checked::Passed {
            return Ok(());
        }
        note("the instructed answer fails the check: steered");
    }
    let check = args.check.as_ref().map(|_| Checked::Failed);
    let mut show = |arm, settings: &Generation, output: &mut Output, resolved: Option<&Resolved>| {
        answer(&mut engine, arm, &scene, settings, output, resolved, check)
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

/// Generates the instructed answer and has it checked. It is shown if it stands; its records are written anyway.
fn instructed(
    engine: &mut Engine,
    check: &Check,
    scene: &Scene,
    output: &mut Output,
    json: bool,
) -> Outcome<Checked> {
    let (arm, settings) = (Arm::Instructed, scene.settings);
    let answer =
        engine.generate(arm, scene.prompts, settings, &mut output.events(arm, json, scene.interrupt))?;
    let checked = match answer.finish {
        Finish::Cancelled => Err(Failure::Interrupted),
        _ => check.run(&answer.text, scene.prompts.thinking),
    };
    let record = record::Answer::new(arm, &answer);
    if matches!(checked, Ok(Checked::Passed)) {
        output.text(&answer.text);
        let record = record.steered_by(None, &settings.params, settings.sampling.seed);
        output.answer(record::Answer { check: Some(Checked::Passed), ..record })?;
    } else {
        output.record(&Record::Answer(record))?;
    }
    output::report(arm, &answer, engine.n_ctx());
    checked
}

/// Generates and shows one answer; `resolved` is what the steered one is steered by, `check` what became of the
/// instructed one before it.
fn answer(
    engine: &mut Engine,
    arm: Arm,
    scene: &Scene,
    settings: &Generation,
    output: &mut Output,
    resolved: Option<&Resolved>,
    check: Option<Checked>,
) -> Outcome {
    let answer =
        engine.generate(arm, scene.prompts, settings, &mut output.events(arm, true, scene.interrupt))?;
    let mut record = record::Answer::new(arm, &answer);
    if let Some(resolved) = resolved {
        record = record.steered_by(resolved.score(), &settings.params, settings.sampling.seed);
        record = record::Answer { check, ..record.weighted(&scene.prompter.instructions) };
    }
    output.answer(record)?;
    output::report(arm, &answer, engine.n_ctx());
    match answer.finish {
        Finish::Cancelled => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}
