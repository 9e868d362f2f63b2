//! The endpoints that tell of the server: health, models, properties, slots, metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sda::engine::SlotPhase;
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::error::ApiError;
use super::settings;
use crate::strength::Source;

pub async fn health(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    app.loaded()?;
    Ok(Json(json!({ "status": "ok" })))
}

pub async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let meta = app.loaded().ok().map(|loaded| {
        let model = &loaded.model;
        json!({
            "n_vocab": model.n_vocab(),
            "n_ctx_train": model.n_ctx_train(),
            "n_ctx": loaded.n_ctx,
            "size": model.bytes(),
        })
    });
    let model = json!({
        "id": app.model_name(),
        "object": "model",
        "created": app.created,
        "owned_by": "sda",
        "architecture": { "input_modalities": ["text"], "output_modalities": ["text"] },
        "meta": meta,
    });
    Json(json!({ "object": "list", "data": [model] }))
}

pub async fn props(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let loaded = app.loaded()?;
    let args = &app.args;
    let steering = &args.common.steering;
    let template = args.common.prompt.no_template.then(String::new).or_else(|| loaded.model.chat_template());
    Ok(Json(json!({
        "default_generation_settings": {
            "id": 0,
            "n_ctx": loaded.n_ctx,
            "speculative": false,
            "is_processing": false,
            "params": settings::shown(&app.session.settings),
        },
        "total_slots": args.server.parallel,
        "model_alias": app.model_name(),
        "model_path": loaded.model.path(),
        "chat_template": template.unwrap_or_default(),
        "modalities": { "vision": false, "audio": false },
        "build_info": concat!("sda-", env!("CARGO_PKG_VERSION")),
        "is_sleeping": false,
        "sda": {
            "instruction": loaded.prompter.instruction,
            "guidance": guidance(&app),
            "judge": steering.judge.is_some(),
            "max_instructions": loaded.n_singles.max(1),
            "queue": args.server.queue,
            "trace_top": args.common.trace_top,
        },
    })))
}

/// The guidance scale of an answer whose request says nothing of its strength; None if a judge decides.
fn guidance(app: &App) -> Option<f64> {
    match &app.source {
        Source::Given(strength) => {
            strength.apply(&app.session.settings.params).ok().map(|params| params.guidance())
        }
        Source::Judged(_) => None,
    }
}

pub async fn set_props() -> ApiError {
    ApiError::off("there is nothing to change: requests say what they want, and the command line the rest")
}

#[derive(Deserialize)]
pub struct SlotsQuery {
    fail_on_no_slot: Option<String>,
}

pub async fn slots(
    State(app): State<Arc<App>>,
    query: Result<Query<SlotsQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    if app.args.server.no_slots {
        return Err(ApiError::off("this server does not show its slots (--no-slots)"));
    }
    let Query(query) = query.map_err(|e| ApiError::invalid(format!("the query cannot be read: {e}")))?;
    let loaded = app.loaded()?;
    let slots = loaded.desk.slots().await?;
    let fails = query.fail_on_no_slot.as_deref().is_some_and(|value| value != "0");
    if fails && slots.iter().all(|(slot, _)| slot.job.is_some()) {
        return Err(ApiError::unavailable("no slot is free"));
    }
    let slots = slots.iter().enumerate().map(|(i, (slot, prompt_tokens))| {
        let phase = match slot.phase {
            SlotPhase::Idle => "idle",
            SlotPhase::Reading => "reading",
            SlotPhase::Answering => "answering",
            SlotPhase::GaveWay => "waiting for cells",
        };
        json!({
            "id": i,
            "id_task": slot.job.map_or(-1, |job| job as i64),
            "n_ctx": loaded.n_ctx,
            "speculative": false,
            "is_processing": slot.job.is_some(),
            "n_prompt_tokens": prompt_tokens,
            "next_token": { "n_decoded": slot.generated },
            "sda": { "phase": phase, "held_plain": slot.held[0], "held_instructed": slot.held[1] },
        })
    });
    Ok(Json(slots.collect()))
}

pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    if !app.args.server.metrics {
        return Err(ApiError::off("this server does not show metrics: start it with --metrics"));
    }
    let jobs = app.present().map_or(0, |loaded| loaded.desk.taken());
    let text = app.metrics.text(jobs, app.args.server.parallel.into());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
