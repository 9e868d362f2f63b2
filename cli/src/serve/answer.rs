//! From the plan to the events of its answers: hands in the jobs, after a draft and a judge's score where the strength
//! depends on one.

use std::sync::Arc;

use sda::engine::{Arm, Finish, Generation, Job, Prompts, local_prompt, local_verdict};
use sda::judge::{Judge, JudgeRequest, Verdict};
use sda::text::strip_think;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::app::App;
use super::desk::{Desk, Places, Work};
use super::error::ApiError;
use super::plan::{How, Judging, Plan};
use super::told::{Steering, Told};
use crate::assess::{Assessment, Assessor, Who};
use crate::strength::{Source, decide};

/// Hands in the jobs of a plan. Dropping the receiver cancels them.
pub fn begin(app: &Arc<App>, plan: &Arc<Plan>) -> Result<UnboundedReceiver<Told>, ApiError> {
    let desk = &app.loaded()?.desk;
    let places = desk.reserve(plan.choices())?;
    let (to, told) = unbounded_channel();
    let asks_a_judge = plan.parts.iter().any(|part| matches!(part.how, How::Judged(_)));
    let hand_in = HandIn { app: Arc::clone(app), plan: Arc::clone(plan), places, to };
    if asks_a_judge {
        tokio::spawn(hand_in.judged());
    } else {
        for (part, one) in plan.parts.iter().enumerate() {
            if let How::Known(steering) = &one.how {
                hand_in.answers(desk, part, steering.clone())?;
            }
        }
    }
    Ok(told)
}

struct HandIn {
    app: Arc<App>,
    plan: Arc<Plan>,
    places: Places,
    to: UnboundedSender<Told>,
}

impl HandIn {
    /// Hands in all answers to a prompt.
    fn answers(&self, desk: &Desk, part: usize, steering: Steering) -> Result<(), ApiError> {
        let n = self.plan.n;
        let Steering { arm, params, .. } = steering;
        let _ = self.to.send(Told::Steered { part, steering });
        for choice in part * n..(part + 1) * n {
            let mut settings = Generation { params, ..self.plan.settings.clone() };
            settings.sampling.seed = self.plan.seed(choice);
            self.hand_in(desk, arm, part, settings, choice, self.to.clone())?;
        }
        Ok(())
    }

    fn hand_in(
        &self,
        desk: &Desk,
        arm: Arm,
        part: usize,
        settings: Generation,
        choice: usize,
        to: UnboundedSender<Told>,
    ) -> Result<(), ApiError> {
        let prompts: Prompts = self.plan.parts[part].prompts.clone();
        let job = Job { arm, prompts, settings, cache_prompt: self.plan.cache_prompt };
        desk.answer(Work { job, choice, to, _places: Arc::clone(&self.places) })
    }

    /// Hands in the answers to each prompt once its draft has a score.
    async fn judged(self) {
        for part in 0..self.plan.parts.len() {
            // Nobody may want it any more.
            let steering = tokio::select! {
                () = self.to.closed() => return,
                () = self.app.stopped() => Err(sda::Error::Cancelled.into()),
                steering = self.steering(part) => steering,
            };
            let handed_in = steering.and_then(|steering| self.answers(self.desk()?, part, steering));
            if let Err(error) = handed_in {
                let _ = self.to.send(Told::Failed(error));
                return;
            }
        }
    }

    /// Also while the server is being stopped: what has begun may end.
    fn desk(&self) -> Result<&Desk, ApiError> {
        self.app.present().map(|loaded| &loaded.desk).ok_or_else(ApiError::loading)
    }

    async fn steering(&self, part: usize) -> Result<Steering, ApiError> {
        let judging = match &self.plan.parts[part].how {
            How::Known(steering) => return Ok(steering.clone()),
            How::Judged(judging) => judging,
        };
        let desk = self.desk()?;
        let _ = self.to.send(Told::Stage("drafting"));
        let text = self.draft(desk, part).await?;
        let _ = self.to.send(Told::Stage("judging"));
        let assessment = self.assess(desk, judging, text).await;
        self.app.metrics.judged(if assessment.verdict.is_ok() { "score" } else { "failure" });
        self.decide(judging, assessment)
    }

    /// Writes the plain answer, as the answer itself will be written.
    async fn draft(&self, desk: &Desk, part: usize) -> Result<String, ApiError> {
        let (to, mut told) = unbounded_channel();
        let settings = Generation { trace: false, trace_top: 0, ..self.plan.settings.clone() };
        self.hand_in(desk, Arm::Plain, part, settings, 0, to)?;
        while let Some(told) = told.recv().await {
            match told {
                Told::Done { answer, .. } => {
                    let answer = answer?;
                    if answer.finish == Finish::Cancelled {
                        break;
                    }
                    let thinking = self.plan.parts[part].prompts.thinking;
                    return Ok(strip_think(&answer.text, thinking).text.to_owned());
                }
                Told::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Err(sda::Error::Cancelled.into())
    }

    async fn assess(&self, desk: &Desk, judging: &Judging, text: String) -> Assessment {
        let start = std::time::Instant::now();
        let draft = Draft {
            query: judging.query.clone(),
            text,
            instruction: judging.instruction.clone(),
            dimension: judging.dimension,
        };
        let (name, verdict) = match &self.app.source {
            Source::Judged(assessor) if !judging.local && !assessor.is_local() => {
                (name(assessor), self.ask(draft).await)
            }
            _ => (crate::args::judge::LOCAL.to_owned(), self.ask_the_loaded_model(desk, draft).await),
        };
        Assessment { name, verdict, time: start.elapsed() }
    }

    /// A request that waits, or a model with a context of its own: on a thread of its own neither holds up the others.
    async fn ask(&self, draft: Draft) -> sda::Result<Verdict> {
        let (app, to) = (Arc::clone(&self.app), self.to.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&app, &draft.request(), &|| to.is_closed()));
        asked.await.unwrap_or(Err(sda::Error::Panic))
    }

    /// The engine reads the judge's prompt beside the answers.
    async fn ask_the_loaded_model(&self, desk: &Desk, draft: Draft) -> sda::Result<Verdict> {
        let app = Arc::clone(&self.app);
        let prompt = tokio::task::spawn_blocking(move || {
            let loaded = app.present().ok_or(sda::Error::Cancelled)?;
            local_prompt(&loaded.model, loaded.prompter.template(), &draft.request())
        });
        let prompt = prompt.await.unwrap_or(Err(sda::Error::Panic))?;
        local_verdict(desk.score(prompt).await, "--ctx-size")
    }

    /// What follows from a verdict, by the choice of the command line for failures.
    fn decide(&self, judging: &Judging, assessment: Assessment) -> Result<Steering, ApiError> {
        let base = &self.plan.settings.params;
        let judge = Some(assessment.record().judge);
        let on_failure = self.app.args.common.steering.on_judge_failure;
        let (resolved, error) = decide(assessment.verdict, on_failure, judging.amplify)?;
        let (params, score) = (resolved.params(base)?, resolved.score());
        let judge_error = error.map(|error| error.to_string());
        Ok(Steering { arm: resolved.arm, params, score, judge, judge_error })
    }
}

/// What replies call the judge.
fn name(assessor: &Assessor) -> String {
    match &assessor.who {
        Who::Local => crate::args::judge::LOCAL.to_owned(),
        Who::Server(client) => Judge::describe(&&**client),
        Who::File(judge) => judge.name(),
    }
}

/// What a judge is to score.
struct Draft {
    query: String,
    text: String,
    instruction: String,
    dimension: Option<sda::Quality>,
}

impl Draft {
    fn request(&self) -> JudgeRequest<'_> {
        let Draft { query, text, instruction, dimension } = self;
        JudgeRequest { query, draft: text, instruction, dimension: *dimension }
    }
}

/// Asks the judge of the command line that is not the loaded model.
fn ask(app: &App, request: &JudgeRequest, is_unwanted: &dyn Fn() -> bool) -> sda::Result<Verdict> {
    let Source::Judged(assessor) = &app.source else { return Err(sda::Error::Cancelled) };
    match &assessor.who {
        Who::Local => Err(sda::Error::Cancelled),
        Who::Server(client) => Judge::score(&mut &**client, request, is_unwanted),
        Who::File(judge) => judge.judge(|_, _| {}).score(request, is_unwanted),
    }
}
