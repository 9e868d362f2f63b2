//! From events to replies: one JSON object, or server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::answer;
use super::app::App;
use super::error::ApiError;
use super::reply::Reply;
use super::shape::Shape;
use super::thoughts::Piece;
use super::told::{Steering, Told};

/// Events that wait for a slow reader; further ones wait in the request's channel, at most as many as its answers have
/// tokens.
const AHEAD: usize = 16;

/// How long a stream is silent before a comment keeps its connection open.
const PING: Duration = Duration::from_secs(15);

/// What ends a stream of OpenAI's.
const DONE: &str = "[DONE]";

/// What a request wants of its reply.
pub struct Wanted {
    pub reply: Reply,
    pub shape: Box<dyn Shape>,
    pub streamed: bool,
    pub progress: bool,
}

/// Hands in the jobs and replies.
pub async fn respond(app: Arc<App>, wanted: Wanted) -> Result<Response, ApiError> {
    let seconds = app.args.server.timeout;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let told = answer::begin(&app, &wanted.reply.plan)?;
    if !wanted.streamed {
        let whole = timeout_at(deadline, whole(told, wanted)).await;
        return whole.unwrap_or_else(|_| Err(ApiError::timeout(seconds)));
    }
    let (to, events) = mpsc::channel(AHEAD);
    let says_done = wanted.shape.says_done();
    tokio::spawn(async move {
        let streamed = tokio::select! {
            // The client has gone; what is dropped with this ends its jobs.
            () = to.closed() => return,
            streamed = timeout_at(deadline, stream(&to, told, wanted)) => streamed,
        };
        if let Err(error) = streamed.unwrap_or_else(|_| Err(ApiError::timeout(seconds))) {
            let _ = to.send(data(&error.body())).await;
            if says_done {
                let _ = to.send(Event::default().data(DONE)).await;
            }
        }
    });
    let events = ReceiverStream::new(events).map(Ok::<Event, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING)).into_response())
}

async fn whole(mut told: UnboundedReceiver<Told>, mut wanted: Wanted) -> Result<Response, ApiError> {
    let Wanted { reply, shape, .. } = &mut wanted;
    while !reply.is_done() {
        follow(reply, told.recv().await)?;
    }
    let body = [(axum::http::header::CONTENT_TYPE, "application/json; charset=utf-8")];
    Ok((body, shape.whole(reply).to_string()).into_response())
}

async fn stream(
    to: &mpsc::Sender<Event>,
    mut told: UnboundedReceiver<Told>,
    mut wanted: Wanted,
) -> Result<(), ApiError> {
    let Wanted { reply, shape, progress, .. } = &mut wanted;
    // Whoever does not read any more is noticed by the caller.
    let send = async |event: Event| drop(to.send(event).await);
    for chunk in shape.begin(reply) {
        send(data(&chunk)).await;
    }
    while !reply.is_done() {
        match follow(reply, told.recv().await)? {
            News::Stage(stage) => send(Event::default().comment(format!("sda {stage}"))).await,
            News::Progress { choice, done, total } if *progress => {
                send(data(&shape.progress(reply, choice, done, total))).await;
            }
            News::Progress { .. } => {}
            News::Piece { choice, piece, is_token } => {
                let says_something =
                    piece != Piece::default() || is_token && reply.plan.settings.trace_top > 0;
                if says_something || is_token && reply.plan.settings.trace {
                    send(data(&shape.piece(reply, choice, &piece, is_token))).await;
                }
            }
            News::End { choice, piece } => {
                if piece != Piece::default() {
                    send(data(&shape.piece(reply, choice, &piece, false))).await;
                }
                send(data(&shape.end(reply, choice))).await;
            }
        }
    }
    if let Some(usage) = shape.usage(reply) {
        send(data(&usage)).await;
    }
    if shape.says_done() {
        send(Event::default().data(DONE)).await;
    }
    Ok(())
}

fn data(value: &serde_json::Value) -> Event {
    Event::default().data(value.to_string())
}

/// What is new about a reply.
enum News {
    Stage(String),
    Progress { choice: usize, done: usize, total: usize },
    Piece { choice: usize, piece: Piece, is_token: bool },
    End { choice: usize, piece: Piece },
}

/// Takes an event over into the reply.
fn follow(reply: &mut Reply, told: Option<Told>) -> Result<News, ApiError> {
    Ok(match told {
        Some(Told::Stage(stage)) => News::Stage(stage.to_owned()),
        Some(Told::Steered { part, steering }) => {
            let stage = stage(&steering);
            reply.steering[part] = Some(steering);
            News::Stage(stage)
        }
        Some(Told::Prefill { choice, done, total }) => News::Progress { choice, done, total },
        Some(Told::Token { choice, record }) => {
            News::Piece { choice, piece: reply.token(choice, record), is_token: true }
        }
        Some(Told::Tail { choice, text }) => {
            News::Piece { choice, piece: reply.tail(choice, &text), is_token: false }
        }
        Some(Told::Done { choice, answer }) => News::End { choice, piece: reply.done(choice, answer?) },
        Some(Told::Failed(error)) => return Err(error),
        None => return Err(ApiError::internal("the engine has stopped")),
    })
}

/// What a comment in the stream says of the steering.
fn stage(steering: &Steering) -> String {
    match (steering.score, &steering.judge, &steering.judge_error) {
        (_, Some(_), Some(_)) => format!("no score, {} answer", steering.arm.name()),
        (Some(score), Some(_), _) => {
            format!("score {score:.1}, guidance {:.2}", steering.params.guidance())
        }
        _ => steering.arm.name().to_owned(),
    }
}
