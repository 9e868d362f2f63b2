//! Settings of the HTTP judge, with their defaults and ranges.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::endpoint::{Endpoint, printable};
use super::key::ApiKey;
use super::retry::RetryPolicy;
use crate::error::{Error, Result, excerpt};
use crate::judge::prompt::Template;
use crate::quality::Quality;

/// How the judge is held to the form of its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    /// A JSON schema; when the server refuses that, a JSON object; when it refuses that too, text.
    /// The client remembers what the server accepted. The default.
    #[default]
    Auto,
    /// Only a JSON schema.
    JsonSchema,
    /// Only a JSON object.
    JsonObject,
    /// Only text with a last line `SCORE: N`; no `response_format` is sent.
    Text,
}

impl ResponseFormat {
    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            ResponseFormat::Auto => "auto",
            ResponseFormat::JsonSchema => "json_schema",
            ResponseFormat::JsonObject => "json_object",
            ResponseFormat::Text => "text",
        }
    }
}

impl fmt::Display for ResponseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ResponseFormat {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        use ResponseFormat::{Auto, JsonObject, JsonSchema, Text};
        [Auto, JsonSchema, JsonObject, Text].into_iter().find(|f| f.name() == s).ok_or_else(|| {
            Error::param("judge response format", excerpt(s), "auto, json_schema, json_object or text")
        })
    }
}

/// Settings of a [`super::Client`]. Fill in the fields that differ from [`Settings::new`].
///
/// `Debug` shows no secret: neither the key nor what an address carries beside host and path.
#[derive(Clone)]
pub struct Settings {
    /// Base URL such as `http://127.0.0.1:8080/v1`, or a full one that ends in `/chat/completions`.
    /// A bare host gets `/v1/chat/completions`. It must not hold a user name or password.
    pub url: String,
    /// Name of the model; empty sends none, which servers of a single model accept. The cache then
    /// cannot tell when the server is given another model.
    pub model: String,
    /// The API key, if the server wants one.
    pub key: Option<ApiKey>,
    /// Longest time to connect, proxy and TLS included. 1 ms to 10 minutes, default 10 s.
    pub connect_timeout: Duration,
    /// Longest time for one request from name resolution to the end of the reply; every retry
    /// starts again. 1 ms to 1 hour, default 2 minutes.
    pub timeout: Duration,
    /// When and how often to try again.
    pub retry: RetryPolicy,
    /// Proxy URL (`http://`, `https://`, with `user:password@` if needed). `None` takes the proxy
    /// of the environment (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, minus `NO_PROXY`), but not for
    /// a judge on this machine.
    pub proxy: Option<String>,
    /// PEM file with the authorities to trust *instead of* the built-in public ones.
    pub ca_file: Option<PathBuf>,
    /// Sampling temperature of the judge, 0 to 2, default 0. `None` sends none, since some models
    /// refuse it.
    pub temperature: Option<f32>,
    /// Seed of the first sample, default 1; further samples count up. `None` sends none. All are below 4294967295, which
    /// llama.cpp's server takes for a wish for a new seed each time.
    pub seed: Option<u32>,
    /// Longest reply in tokens, default 1024; room for models that think first. `None` sends none.
    pub max_tokens: Option<u32>,
    /// How the judge is held to the form of its reply.
    pub response_format: ResponseFormat,
    /// How many scores are asked for and averaged, one request each. 1 to 100, default 1. More than
    /// one makes sense only with a temperature above 0.
    pub samples: u32,
    /// Largest reply that is read, in bytes after decompression. 1 KiB to 64 MiB, default 1 MiB.
    pub max_response_bytes: u64,
    /// Body of the prompt.
    pub template: Template,
    /// Bodies for single dimensions, in place of `template`.
    pub templates: BTreeMap<Quality, Template>,
}

impl Settings {
    /// The defaults for a server and a model.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Settings {
            url: url.into(),
            model: model.into(),
            key: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
            proxy: None,
            ca_file: None,
            temperature: Some(0.0),
            seed: Some(1),
            max_tokens: Some(1024),
            response_format: ResponseFormat::Auto,
            samples: 1,
            max_response_bytes: 1 << 20,
            template: Template::default(),
            templates: BTreeMap::new(),
        }
    }

    /// The body for a request about `dimension`.
    pub(crate) fn template(&self, dimension: Option<Quality>) -> &Template {
        dimension.and_then(|d| self.templates.get(&d)).unwrap_or(&self.template)
    }

    /// Checks every field's range. Files and the network are not touched.
    ///
    /// # Errors
    /// [`Error::Param`] that names the field, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        self.check().map(drop)
    }

    /// As [`Settings::validate`]; returns the address that the URL means.
    pub(crate) fn check(&self) -> Result<Endpoint> {
        let endpoint = Endpoint::parse(&self.url)?;
        let times = [
            ("judge connect timeout", self.connect_timeout, 600, "from 1 ms to 10 minutes"),
            ("judge timeout", self.timeout, 3600, "from 1 ms to 1 hour"),
        ];
        for (field, value, most, allowed) in times {
            if value < Duration::from_millis(1) || value > Duration::from_secs(most) {
                return Err(Error::param(field, format!("{} ms", value.as_secs_f64() * 1e3), allowed));
            }
        }
        self.retry.validate()?;
        if let Some(t) = self.temperature.filter(|t| !(0.0..=2.0).contains(t)) {
            return Err(Error::param("judge temperature", t, "from 0 to 2"));
        }
        if let Some(seed) = self.seed
            && seed >= u32::MAX - (self.samples.clamp(1, 100) - 1)
        {
            let allowed = "from 0 to 4294967294, for every sample: they count up";
            return Err(Error::param("judge seed", seed, allowed));
        }
        if self.max_tokens == Some(0) {
            return Err(Error::param("judge max tokens", 0, "at least 1"));
        }
        if !(1..=100).contains(&self.samples) {
            return Err(Error::param("judge samples", self.samples, "from 1 to 100"));
        }
        if !(1 << 10..=64 << 20).contains(&self.max_response_bytes) {
            return Err(Error::param(
                "judge response limit",
                format!("{} bytes", self.max_response_bytes),
                "from 1 KiB to 64 MiB",
            ));
        }
        Ok(endpoint)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &printable(&self.url))
            .field("model", &self.model)
            .field("key", &self.key)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("proxy", &self.proxy.as_deref().map(printable))
            .field("ca_file", &self.ca_file)
            .field("temperature", &self.temperature)
            .field("seed", &self.seed)
            .field("max_tokens", &self.max_tokens)
            .field("response_format", &self.response_format)
            .field("samples", &self.samples)
            .field("max_response_bytes", &self.max_response_bytes)
            .field("template", &self.template)
            .field("templates", &self.templates)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut s = Settings::new("http://127.0.0.1:8080/v1", "m");
        assert!(s.validate().is_ok());
        change(&mut s);
        s.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_range_is_checked_and_the_message_names_the_field() {
        let cases = [
            (refused(|s| s.url = "here".into()), "judge url"),
            (refused(|s| s.connect_timeout = Duration::ZERO), "connect timeout"),
            (refused(|s| s.timeout = Duration::from_secs(3601)), "judge timeout"),
            (refused(|s| s.retry.max_retries = 21), "retries"),
            (refused(|s| s.retry.cap = Duration::ZERO), "back-off cap"),
            (refused(|s| s.retry.retry_after_cap = Duration::MAX), "retry-after"),
            (refused(|s| s.temperature = Some(f32::NAN)), "temperature"),
            (refused(|s| s.temperature = Some(-0.1)), "temperature"),
            (refused(|s| s.seed = Some(u32::MAX)), "judge seed"),
            (refused(|s| (s.seed, s.samples) = (Some(u32::MAX - 9), 10)), "judge seed"),
            (refused(|s| s.max_tokens = Some(0)), "max tokens"),
            (refused(|s| s.samples = 0), "samples"),
            (refused(|s| s.samples = 101), "samples"),
            (refused(|s| s.max_response_bytes = 1023), "response limit"),
            (refused(|s| s.max_response_bytes = u64::MAX), "response limit"),
        ];
        for (message, field) in cases {
            assert!(message.contains(field) && message.contains(", must be "), "{message}");
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let mut s = Settings::new("https://h/v1?key=hunter2", "m");
        s.proxy = Some("http://me:hunter2@proxy:3128".into());
        let shown = format!("{s:?}");
        assert!(!shown.contains("hunter2") && shown.contains("proxy:3128"), "{shown}");
    }

    #[test]
    fn format_names_read_back() {
        for name in ["auto", "json_schema", "json_object", "text"] {
            assert_eq!(name.parse::<ResponseFormat>().unwrap().name(), name);
        }
        assert!("yaml".parse::<ResponseFormat>().is_err());
    }
}
