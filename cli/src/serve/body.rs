//! The body of a request, and work that would hold up others.

use axum::body::to_bytes;
use axum::extract::Request;
use std::time::Duration;

use super::app::App;
use super::error::ApiError;

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request as text.
pub async fn text(app: &App, request: Request) -> Result<String, ApiError> {
    let limit = app.args.server.max_body as usize * 1024 * 1024;
    let read = tokio::time::timeout(PATIENCE, to_bytes(request.into_body(), limit));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return Err(ApiError::too_large(limit)),
        Ok(Err(error)) => return Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
        Err(_) => return Err(ApiError::timeout(PATIENCE.as_secs())),
    };
    String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid("the body is not UTF-8"))
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
