//! The endpoints that only read and write texts: tokens and templates.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use sda::host::Token;
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::App;
use super::body;
use super::error::ApiError;
use super::plan::{Question, prompts};
use super::request::{self, Common};
use super::shape::token_bytes;

#[derive(Deserialize)]
struct Tokenize {
    content: String,
    add_special: Option<bool>,
    parse_special: Option<bool>,
    with_pieces: Option<bool>,
}

#[derive(Deserialize)]
struct Detokenize {
    tokens: Vec<Token>,
}

pub async fn tokenize(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, ApiError> {
    app.loaded()?;
    let body = body::text(&app, request).await?;
    body::blocking(move || {
        let model = &app.loaded()?.model;
        let Tokenize { content, add_special, parse_special, with_pieces } = request::parse(&body)?;
        let mut tokens = model.tokenize(&content, parse_special.unwrap_or(true))?;
        if add_special.unwrap_or(false) {
            // What a prompt begins with and no text.
            let begin = model.tokenize_prompt("")?;
            tokens.splice(0..0, begin);
        }
        let piece = |token: &Token| {
            let piece = String::from_utf8(token_bytes(model, *token))
                .map_or_else(|e| json!(e.into_bytes()), |text| json!(text));
            json!({ "id": token, "piece": piece })
        };
        Ok(Json(match with_pieces {
            Some(true) => json!({ "tokens": tokens.iter().map(piece).collect::<Vec<_>>() }),
            _ => json!({ "tokens": tokens }),
        }))
    })
    .await
}

pub async fn detokenize(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, ApiError> {
    app.loaded()?;
    let body = body::text(&app, request).await?;
    body::blocking(move || {
        let model = &app.loaded()?.model;
        let Detokenize { tokens } = request::parse(&body)?;
        let n_vocab = model.n_vocab();
        let is_unknown = |token: &&Token| !usize::try_from(**token).is_ok_and(|token| token < n_vocab);
        if let Some(token) = tokens.iter().find(is_unknown) {
            let allowed = format!("tokens of at least 0 and less than {n_vocab}");
            return Err(ApiError::field("tokens", format!("a list with {token}"), &allowed));
        }
        Ok(Json(json!({ "content": model.text(&tokens) })))
    })
    .await
}

/// The prompt of a conversation; `plain` is the other branch, where there is an instruction.
pub async fn apply_template(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, ApiError> {
    app.loaded()?;
    let body = body::text(&app, request).await?;
    body::blocking(move || {
        let (common, chat) = (Common::read(&body)?, request::parse::<request::Chat>(&body)?);
        let question = Question::Chat { talk: chat.talk()?, variables: chat.variables() };
        let (set, _) = prompts(&app, app.loaded()?, &common, &question)?;
        let sda = json!({ "plain": set.pair.plain, "singles": set.singles });
        Ok(Json(json!({ "prompt": set.pair.instructed, "sda": sda })))
    })
    .await
}
