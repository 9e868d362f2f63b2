//! The body of a request, and work that would hold up others.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use std::time::Duration;

use super::app::App;
use super::error::ApiError;

/// Seconds that a client may take to send its body, if a request may take as long.
const PATIENCE: u64 = 60;

/// The body of a request as text.
pub async fn text(app: &App, request: Request) -> Result<String, ApiError> {
    let limit = app.args.server.max_body as usize * 1024 * 1024;
    if is_announced(request.headers(), limit) {
        return Err(ApiError::too_large(limit));
    }
    let seconds = PATIENCE.min(app.args.server.timeout);
    let read = tokio::time::timeout(Duration::from_secs(seconds), to_bytes(request.into_body(), limit));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return Err(ApiError::too_large(limit)),
        Ok(Err(error)) => return Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
        Err(_) => return Err(ApiError::slow(seconds)),
    };
    String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid("the body is not UTF-8"))
}

/// True for a client that says how much it will send, and waits to be told to: it need not send what is too much. Another
/// one is sending already, and would not read the reply before that is done.
fn is_announced(headers: &HeaderMap, limit: usize) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let waits = text(header::EXPECT).is_some_and(|what| what.eq_ignore_ascii_case("100-continue"));
    waits && length.is_some_and(|length| length > limit as u64)
}

fn is_limit(error: &axum::Error) -> bool {
    use std::error::Error;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Runs what takes its time on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ApiError::internal("the request could not be read: a panic was caught")))
}
