//! Paths, and what stands before all of them: who may ask, and a line in the log.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::app::App;
use super::error::ApiError;
use super::{answers, page, status, tools};
use crate::ui::console::note;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Paths that need no key, and of which nothing is logged unless it goes wrong.
const OPEN: [&str; 3] = ["/health", "/v1/health", "/"];

pub fn router(app: Arc<App>) -> Router {
    let page =
        if app.args.server.no_webui { Router::new() } else { Router::new().route("/", get(page::page)) };
    let routes = page
        .route("/health", get(status::health))
        .route("/v1/health", get(status::health))
        .route("/models", get(status::models))
        .route("/v1/models", get(status::models))
        .route("/props", get(status::props).post(status::set_props))
        .route("/slots", get(status::slots))
        .route("/metrics", get(status::metrics))
        .route("/tokenize", post(tools::tokenize))
        .route("/detokenize", post(tools::detokenize))
        .route("/apply-template", post(tools::apply_template))
        .route("/completion", post(answers::native))
        .route("/completions", post(answers::native))
        .route("/v1/completions", post(answers::completions))
        .route("/chat/completions", post(answers::chat))
        .route("/v1/chat/completions", post(answers::chat))
        .fallback(async || ApiError::not_found("this server has no such path"))
        .method_not_allowed_fallback(async || ApiError::method());
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&app), gate))
        .layer(cors(&app))
        .layer(from_fn_with_state(Arc::clone(&app), log))
        .with_state(app)
}

/// Lets in who may ask.
async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_open = OPEN.contains(&request.uri().path());
    let allowed = if is_open {
        Ok(())
    } else {
        app.origins.check(request.headers()).and_then(|()| app.keys.check(request.headers()))
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// One line for each request: no query, no header, nothing of its body.
async fn log(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = app.next_request();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status();
    app.metrics.replied(status.as_u16());
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from(id));
    if !(OPEN.contains(&path.as_str()) || path == "/metrics") || app.args.common.verbose {
        let path: String = path.chars().take(100).collect();
        note(&format!("request {id} {method} {path} {} {} ms", status.as_u16(), start.elapsed().as_millis()));
    }
    response
}

fn cors(app: &Arc<App>) -> CorsLayer {
    let shared = Arc::clone(app);
    let allows = move |origin: &HeaderValue, _: &_| origin.to_str().is_ok_and(|it| shared.origins.allows(it));
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allows))
        .allow_methods(AllowMethods::list([Method::GET, Method::POST]))
        .allow_headers(AllowHeaders::list([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
        ]))
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal("a panic was caught").into_response()
}
