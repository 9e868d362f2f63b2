//! Errors as OpenAI's API gives them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::input::Misfit;

/// Seconds after which a client may try again that found the queue full, or the model not loaded yet.
const RETRY_AFTER: &str = "2";

/// Characters of the longest message: of its beginning, and of its end, which says what is allowed.
const LONGEST: [usize; 2] = [400, 200];

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// The field that is wrong.
    param: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    r#type: &'a str,
    code: u16,
    param: Option<&'a str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> ApiError {
        let mut message = message.into();
        // A client's value may be as long as its body.
        let [head, tail] = LONGEST;
        if message.chars().count() > head + tail {
            let at = |(at, _): (usize, char)| at;
            let from = message.char_indices().nth(head).map_or(0, at);
            let to = message.char_indices().rev().nth(tail - 1).map_or(from, at);
            message.replace_range(from..to, "...");
        }
        ApiError { status, kind, message, param: None }
    }

    /// A field has a value that it cannot have.
    pub fn field(name: impl Into<String>, value: impl std::fmt::Display, allowed: &str) -> ApiError {
        let name = name.into();
        let message = format!("{name} is {value}, must be {allowed}");
        ApiError { param: Some(name), ..ApiError::invalid(message) }
    }

    /// The request cannot be carried out as it is.
    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub fn key() -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "authentication_error", "Invalid API Key")
    }

    pub fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "permission_error", message)
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found_error", message)
    }

    pub fn method() -> ApiError {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not_found_error", "this path has no such method")
    }

    pub fn off(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_supported_error", message)
    }

    pub fn too_large(limit: usize) -> ApiError {
        let message = format!("the body has more than {limit} bytes (--max-body)");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    pub fn timeout(seconds: u64) -> ApiError {
        let message = format!("the request took more than {seconds} seconds (--timeout)");
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message)
    }

    pub fn slow(seconds: u64) -> ApiError {
        let message = format!("the body did not come within {seconds} seconds");
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message)
    }

    /// Now is a bad time: the client may try again.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", message)
    }

    pub fn loading() -> ApiError {
        ApiError::unavailable("Loading model")
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// With its field by another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> ApiError {
        if let Some(param) = &mut self.param {
            self.message = self.message.replacen(param.as_str(), name, 1);
            *param = name.to_owned();
        }
        self
    }

    /// With its field as one of an object's.
    #[must_use]
    pub fn within(self, object: &str) -> ApiError {
        let whole = self.param.as_ref().map(|param| format!("{object}.{param}"));
        whole.map_or(self.clone(), |whole| self.named(&whole))
    }

    /// What stands in the reply, and in a stream.
    pub fn body(&self) -> serde_json::Value {
        let ApiError { status, kind, message, param } = self;
        json!({ "error": Body { message, r#type: kind, code: status.as_u16(), param: param.as_deref() } })
    }
}

impl From<Misfit> for ApiError {
    fn from(misfit: Misfit) -> ApiError {
        let param = Some(misfit.field).filter(|field| !field.is_empty());
        ApiError { param, ..ApiError::invalid(misfit.why) }
    }
}

impl From<sda::Error> for ApiError {
    fn from(error: sda::Error) -> ApiError {
        use sda::Error;
        let message = error.to_string();
        match error {
            Error::Param { field, .. } => {
                ApiError { param: Some(field.to_owned()), ..ApiError::invalid(message) }
            }
            Error::Prompt { .. } | Error::Length { .. } => ApiError::invalid(message),
            Error::ContextFull { .. } => {
                ApiError { kind: "exceed_context_size_error", ..ApiError::invalid(message) }
            }
            Error::Judge { .. } => ApiError::new(StatusCode::BAD_GATEWAY, "judge_error", message),
            Error::Cancelled => ApiError::unavailable("the server is being shut down"),
            _ => ApiError::internal(message),
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        match failure {
            Failure::Usage(text) => ApiError::invalid(text),
            Failure::Failed(text) => ApiError::internal(text),
            Failure::Interrupted => sda::Error::Cancelled.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        let mut response = (self.status, body, self.body().to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_by_its_whole_path() {
        let error = ApiError::from(sda::Error::param("k", "x", "finite")).within("sda");
        let body = error.body();
        assert_eq!(body["error"]["message"], "sda.k is x, must be finite");
        assert_eq!(body["error"]["param"], "sda.k");
        assert_eq!((&body["error"]["code"], error.status.as_u16()), (&400.into(), 400));
    }

    #[test]
    fn a_long_value_leaves_room_for_its_name_and_for_what_is_allowed() {
        let body = ApiError::field("top_p", "ü".repeat(1_000_000), "at most 1").body();
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("top_p is üü") && message.ends_with("üü, must be at most 1"),
            "{message}"
        );
        assert_eq!(message.chars().count(), 603);
        assert_eq!(ApiError::invalid("ü".repeat(600)).message, "ü".repeat(600));
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        let response = ApiError::loading().into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], RETRY_AFTER);
        assert!(!ApiError::key().into_response().headers().contains_key(header::RETRY_AFTER));
    }
}
