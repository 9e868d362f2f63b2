//! A judge behind an OpenAI-compatible server.

mod cache;
mod client;
mod complaint;
mod endpoint;
mod http;
mod key;
mod reply;
mod retry;
mod settings;
mod shapes;
mod sse;
mod step;
mod wire;

pub use cache::{Cache, default_cache_dir};
pub use client::Client;
pub use key::ApiKey;
pub use retry::RetryPolicy;
pub use settings::{ResponseFormat, Settings};
#[doc(hidden)]
pub use step::read_reply;
