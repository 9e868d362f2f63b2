//! The endpoints that answer: chat completions, completions, and llama-server's own.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::app::{App, now};
use super::body;
use super::error::ApiError;
use super::plan::{Plan, Question, plan};
use super::reply::Reply;
use super::request::{self, Common, Thoughts};
use super::shape::{self, Shape};
use super::stream::{Wanted, respond};

pub async fn chat(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    answer(app, request, |app, body| {
        let (common, chat) = (Common::read(body)?, request::parse::<request::Chat>(body)?);
        let logprobs = chat.logprobs()?;
        let question = Question::Chat { talk: chat.talk()?, variables: chat.variables() };
        let plan = plan(app, app.loaded()?, &common, &[question], logprobs)?;
        let shape = shape::Chat {
            logprobs,
            include_usage: includes_usage(&common),
            timings_per_token: common.timings_per_token.unwrap_or(false),
        };
        wanted(app, plan, &common, "chatcmpl", chat.thoughts()? == Thoughts::Apart, Box::new(shape))
    })
    .await
}

pub async fn completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    answer(app, request, |app, body| {
        let (common, text) = (Common::read(body)?, request::parse::<request::Text>(body)?);
        let logprobs = text.logprobs()?;
        let plan = plan(app, app.loaded()?, &common, &questions(&text)?, logprobs)?;
        let shape = shape::Text {
            logprobs,
            include_usage: includes_usage(&common),
            timings_per_token: common.timings_per_token.unwrap_or(false),
        };
        wanted(app, plan, &common, "cmpl", false, Box::new(shape))
    })
    .await
}

pub async fn native(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    answer(app, request, |app, body| {
        let (common, text) = (Common::read(body)?, request::parse::<request::Text>(body)?);
        let logprobs = text.logprobs()?;
        let questions = questions(&text)?;
        let is_list = questions
            .iter()
            .any(|question| matches!(question, Question::Text { field, .. } if field.ends_with(']')));
        let plan = plan(app, app.loaded()?, &common, &questions, logprobs)?;
        let shape = shape::Native {
            logprobs,
            timings_per_token: common.timings_per_token.unwrap_or(false),
            return_tokens: text.return_tokens.unwrap_or(false),
            is_list,
        };
        wanted(app, plan, &common, "cmpl", false, Box::new(shape))
    })
    .await
}

/// Reads the request and answers it. Templates and tokens take their time, so they have a thread of their own.
async fn answer(
    app: Arc<App>,
    request: Request,
    read: impl FnOnce(&App, &str) -> Result<Wanted, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    app.loaded()?;
    let body = body::text(&app, request).await?;
    let shared = Arc::clone(&app);
    let wanted = body::blocking(move || read(&shared, &body)).await?;
    respond(app, wanted).await
}

fn questions(text: &request::Text) -> Result<Vec<Question>, ApiError> {
    let question = |(field, prompt)| Question::Text { field, prompt };
    Ok(text.prompts()?.into_iter().map(question).collect())
}

fn includes_usage(common: &Common) -> bool {
    common.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
}

fn wanted(
    app: &App,
    plan: Plan,
    common: &Common,
    prefix: &str,
    apart: bool,
    shape: Box<dyn Shape>,
) -> Result<Wanted, ApiError> {
    let model = app.loaded()?.model.clone();
    let id = format!("{prefix}-{:08x}{:08x}", request::new_seed(), request::new_seed());
    let reply = Reply::new(Arc::new(plan), model, id, now(), app.model_name(), apart);
    let progress = common.return_progress.unwrap_or(false);
    Ok(Wanted { reply, shape, streamed: common.is_streamed(), progress })
}
