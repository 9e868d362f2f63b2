//! A judge behind an OpenAI-compatible server.

mod cache;
mod client;
mod endpoint;
mod http;
mod key;
mod retry;
mod settings;
mod wire;

pub use cache::{Cache, default_cache_dir};
pub use client::Client;
pub use key::ApiKey;
pub use retry::RetryPolicy;
pub use settings::{ResponseFormat, Settings};
