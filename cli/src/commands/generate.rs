//! `sda generate`: one query, one answer (or three, to compare).

use sda::engine::{Answer, Arm, Engine, Finish, Generation};

use crate::args::GenerateArgs;
use crate::failure::{Failure, Outcome};
use crate::load::{self, Log};
use crate::prompts::{self, PromptTexts, Prompter};
use crate::record;
use crate::strength::{self, Resolved, Scene, Source};
use crate::ui::console::{Interrupt, note, per_second, stderr_is_terminal};
use crate::ui::output::{Format, Output};

pub fn run(args: &GenerateArgs) -> Outcome {
    let common = &args.common;
    let query = prompts::query(args)?;
    let texts = PromptTexts::read(&common.prompt)?;
    let source = Source::new(common)?;
    let seed = common.sampling.seed();
    let format = if args.json { Format::Json } else { Format::Text };
    let mut output = Output::new(format, common.trace.as_deref())?;
    let interrupt = Interrupt::install().map_err(Failure::Failed)?;
    let settings = common.generation(seed, output.wants_records());
    settings.params.validate()?;
    settings.sampling.validate()?;

    let log = Log::capture(common.verbose);
    let model = load::model(&common.model, &log, &interrupt)?;
    let prompter = Prompter::new(texts, &model)?;
    if prompter.steers_nothing() {
        note("no instruction (-i TEXT, --preset NAME): both branches are the same, nothing is steered");
    }
    let pair = prompter.pair(&[], &query)?;
    let prompts = prompter.tokens(&model, &pair)?;
    let mut engine = load::engine(&common.model, &model, &log)?;
    interrupt.begin();

    let scene = Scene {
        prompter: &prompter,
        prompts: &prompts,
        query: &query,
        settings: &settings,
        interrupt: &interrupt,
    };
    let resolved = strength::resolve(&source, common, &mut engine, &scene, &mut output)?;
    let mut steered = settings.clone();
    steered.params = resolved.params(&settings.params)?;
    if common.steering.steer_after_think {
        steered.steer_after_think = Some(pair.instructed.clone());
    }
    let mut show = |arm, settings: &Generation, output: &mut Output, resolved: Option<&Resolved>| {
        answer(&mut engine, arm, &scene, settings, output, resolved)
    };
    if args.compare {
        for (arm, title) in [(Arm::Plain, "plain"), (Arm::Instructed, "instruction only")] {
            output.heading(title);
            show(arm, &settings, &mut output, None)?;
        }
        output.heading(&match resolved.arm {
            Arm::Steered => format!("steered, guidance {:.2}", steered.params.guidance()),
            arm => format!("{}, for want of a score", arm.name()),
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
    let streamed = std::cell::Cell::new(0);
    let answer = {
        let mut events = output.events(arm, true, scene.interrupt);
        engine.generate(arm, scene.prompts, settings, &mut |event| {
            if let sda::engine::Event::Token(record) = &event {
                streamed.set(streamed.get() + record.text.len());
            }
            events(event)
        })?
    };
    let mut record = record::Answer::new(arm, &answer);
    if let Some(resolved) = resolved {
        record = record.steered_by(resolved.score(), &settings.params, settings.sampling.seed);
    }
    output.answer(record, streamed.get())?;
    report(arm, &answer, engine.n_ctx());
    match answer.finish {
        Finish::Cancelled => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// What an answer cost, and if it was cut short.
pub fn report(arm: Arm, answer: &Answer, n_ctx: usize) {
    if answer.finish == Finish::ContextFull {
        note(&format!("the context of {n_ctx} tokens a branch is full: the answer was cut (see --ctx-size)"));
    }
    if !stderr_is_terminal() {
        return;
    }
    let timings = &answer.timings;
    let n = answer.tokens.len();
    let divergence =
        answer.mean_divergence.map_or(String::new(), |js| format!(", mean divergence {js:.3} nats"));
    note(&format!(
        "{}: {} prompt tokens read ({} shared) in {:.0} ms, {n} tokens at {:.1}/s{divergence}",
        arm.name(),
        answer.prefill.decoded,
        answer.prefill.shared,
        timings.prefill.as_secs_f64() * 1e3,
        per_second(n, timings.decode + timings.sample),
    ));
}
