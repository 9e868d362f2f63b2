//! What a reply means for what the client does next.

use std::time::Duration;

use super::complaint::{self, Complaint};
use super::endpoint::printable;
use super::http::Reply;
use super::reply::{self, Kind, Unusable};
use super::settings::{ResponseFormat, Settings};
use super::wire::Dialect;
use super::{retry, shapes};
use crate::judge::JudgeRequest;
use crate::judge::parse::{holds_score, read_score};

/// What to do after a reply.
pub(super) enum Step {
    Score(f32),
    /// The same again, in the dialect that the reply has taught.
    Adapt(Dialect),
    Fail(Failure),
}

pub(super) struct Failure {
    pub(super) why: String,
    /// What came back, whole and unscrubbed.
    pub(super) shown: String,
    pub(super) retryable: bool,
    /// The wait that the server asks for.
    pub(super) wait: Option<Duration>,
    /// The server itself failed, perhaps over what it was asked.
    pub(super) broken: bool,
}

impl Failure {
    pub(super) fn because(why: String) -> Self {
        Failure { why, shown: String::new(), retryable: false, wait: None, broken: false }
    }
}

/// What to do after a reply to this request.
pub(super) fn next_step(
    settings: &Settings,
    request: &JudgeRequest<'_>,
    dialect: Dialect,
    reply: Reply,
) -> Step {
    let Reply { status, wait, location, body } = reply;
    if (200..300).contains(&status) {
        let text = match reply::text(&body, dialect.asked(settings)) {
            Ok(text) => text,
            Err(Unusable { why, kind: Kind::Refused(complaint), .. }) => {
                return refused(settings, dialect, complaint.code, why, wait, complaint);
            }
            Err(Unusable { why, shown, kind }) => {
                let broken = kind == Kind::Broken;
                let retryable = broken || kind == Kind::Garbled;
                return Step::Fail(Failure { shown, retryable, broken, ..Failure::because(why) });
            }
        };
        return match read_score(&text) {
            Ok(score) if [request.draft, request.query].iter().any(|t| holds_score(t, score)) => {
                let why = format!("the score {score} stands in the judged text and may be its echo");
                Step::Fail(Failure { shown: text, ..Failure::because(why) })
            }
            Ok(score) => Step::Score(score),
            Err(why) => Step::Fail(Failure { shown: text, ..Failure::because(why) }),
        };
    }
    let mut why = format!("status {status}");
    if (300..400).contains(&status) {
        let target = location.as_deref().map(printable).unwrap_or_default();
        why = format!("status {status}: redirects are not followed, the judge url should be {target}");
    } else if matches!(status, 401 | 403) {
        why.push_str(if settings.key.is_some() { " with an API key" } else { " without an API key" });
    }
    refused(settings, dialect, Some(status), why, wait, complaint::in_error_reply(&body))
}

/// What a client with this format and otherwise the defaults makes of a reply to its first request: a score, or why
/// there is none. For fuzz/, which has no server.
#[doc(hidden)]
pub fn read_reply(
    format: ResponseFormat,
    request: &JudgeRequest<'_>,
    status: u16,
    body: &[u8],
) -> Result<f32, String> {
    let settings = Settings { response_format: format, ..Settings::new("http://localhost", "") };
    let reply = Reply { status, wait: None, location: None, body: body.to_vec() };
    match next_step(&settings, request, Dialect::first(format), reply) {
        Step::Score(score) => Ok(score),
        Step::Adapt(_) => Err("the same again in another dialect".into()),
        Step::Fail(failure) => Err(failure.why),
    }
}

/// What an error means that the server put in words. `status` is its own, or that of the reply.
fn refused(
    settings: &Settings,
    dialect: Dialect,
    status: Option<u16>,
    mut why: String,
    wait: Option<Duration>,
    complaint: Complaint,
) -> Step {
    let about_request = matches!(status, None | Some(400 | 404 | 405 | 415 | 422 | 424 | 500..=502));
    if about_request && let Some(next) = dialect.after(&complaint, settings) {
        return Step::Adapt(next);
    }
    if let Some(advice) = shapes::advice(status, &complaint.full) {
        why.push_str(&format!(" ({advice})"));
    }
    Step::Fail(Failure {
        why,
        shown: complaint.text,
        retryable: status.map_or(complaint.passing, retry::is_retryable),
        wait: wait.or(complaint.wait),
        broken: matches!(status, Some(500 | 501)),
    })
}
