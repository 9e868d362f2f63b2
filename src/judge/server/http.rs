//! One POST to the judge, limited in time and size, which the caller can cancel.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderValue, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::endpoint::{Endpoint, has_good_port, printable};
use super::retry::{self, SLICE};
use super::settings::Settings;
use crate::error::{Error, Result};

/// Local servers close idle connections after five seconds; a connection is not reused when it may
/// be closing at that moment.
const MAX_IDLE_AGE: Duration = Duration::from_secs(3);

/// Enough for every thread of a busy client to keep its connection.
const MAX_IDLE: usize = 32;

/// How much of an error reply is read; a message shows a fraction of that.
const MAX_ERROR_BODY: u64 = 16 << 10;

/// A bundle of all public authorities has a quarter of this.
const MAX_CA_FILE: u64 = 4 << 20;

/// Azure's finer form of `Retry-After`, in milliseconds.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A reply that arrived whole, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The wait that the server asks for.
    pub(crate) wait: Option<Duration>,
    /// Where a redirect would lead; it is never followed.
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why no whole reply arrived.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) why: String,
    /// True when a retry may succeed.
    pub(crate) retryable: bool,
}

/// The agent with everything that does not change between requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    agent: Agent,
    uri: Uri,
    authorization: Option<HeaderValue>,
    max_bytes: u64,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Http {
    /// # Errors
    /// [`Error::Param`] or [`Error::Io`] for a bad proxy or CA file.
    pub(crate) fn new(settings: &Settings, endpoint: &Endpoint) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Following one could hand the key and the texts to a host that nobody named.
            .max_redirects(0)
            .timeout_global(Some(settings.timeout))
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .max_idle_age(MAX_IDLE_AGE)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .accept("application/json")
            .user_agent(concat!("sda/", env!("CARGO_PKG_VERSION")));
        if let Some(url) = &settings.proxy {
            config = config.proxy(Some(proxy(url)?));
        } else if endpoint.is_loopback() {
            config = config.proxy(None);
        }
        if let Some(path) = &settings.ca_file {
            let roots = RootCerts::Specific(Arc::new(authorities(path)?));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let authorization = settings.key.as_ref().map(|key| {
            let mut value = HeaderValue::from_str(&key.bearer())
                .map_err(|_| Error::param("judge key", "[not shown]", "visible ASCII characters"))?;
            // Keeps it out of every debug print of the HTTP crates.
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Http {
            agent: config.build().new_agent(),
            uri: endpoint.uri().clone(),
            authorization: authorization.transpose()?,
            max_bytes: settings.max_response_bytes,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Sends `body` and waits for the whole reply.
    ///
    /// The exchange runs on a thread of its own, because nothing else could end the wait before the
    /// timeout: judges on a CPU take minutes. After a cancellation that thread is left to its
    /// timeout; it holds nothing but the connection.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; everything that went wrong on the way is the inner result.
    pub(crate) fn post(
        &self,
        body: &Arc<[u8]>,
        cancel: &dyn Fn() -> bool,
    ) -> Result<std::result::Result<Reply, Fault>> {
        if cancel() {
            return Err(Error::Cancelled);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (http, body) = (self.clone(), body.clone());
        let spawned = thread::Builder::new().name("sda-judge".into()).spawn(move || {
            // After a cancellation the receiver is gone, and nobody waits for the reply.
            let _ = sender.send(http.exchange(&body));
        });
        if let Err(e) = spawned {
            return Ok(Err(Fault { why: format!("no thread for the request: {e}"), retryable: true }));
        }
        loop {
            match receiver.recv_timeout(SLICE) {
                Ok(outcome) => return Ok(outcome),
                Err(RecvTimeoutError::Timeout) if cancel() => return Err(Error::Cancelled),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let why = "the request's thread ended without a result".into();
                    return Ok(Err(Fault { why, retryable: false }));
                }
            }
        }
    }

    fn exchange(&self, body: &[u8]) -> std::result::Result<Reply, Fault> {
        let mut request = self.agent.post(&self.uri).header(CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let mut response = request.send(body).map_err(|e| self.fault(e))?;
        let status = response.status().as_u16();
        let header = |name| header(&response, name);
        let fine = header(RETRY_AFTER_MS).and_then(|ms| retry::seconds(&ms)).map(|wait| wait / 1000);
        let coarse = || retry::retry_after(&header(RETRY_AFTER)?, SystemTime::now());
        let (wait, location) = (fine.or_else(coarse), header(LOCATION));
        let body = if response.status().is_success() {
            let limited = response.body_mut().with_config().limit(self.max_bytes);
            limited.read_to_vec().map_err(|e| self.fault(e))?
        } else {
            let mut body = Vec::new();
            // The status is enough; the text only helps, and may be cut short.
            let _ = response.body_mut().as_reader().take(MAX_ERROR_BODY).read_to_end(&mut body);
            body
        };
        Ok(Reply { status, wait, location, body })
    }

    fn fault(&self, error: ureq::Error) -> Fault {
        use ureq::Error as E;
        let seconds = |d: Duration| d.as_secs_f64();
        let (why, retryable) = match error {
            E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                (format!("no connection within {} s", seconds(self.connect_timeout)), true)
            }
            E::Timeout(_) => (format!("no complete reply within {} s", seconds(self.timeout)), true),
            E::BodyExceedsLimit(limit) => (format!("the reply is larger than {limit} bytes"), false),
            E::Io(e) => (format!("connection failed: {e}"), is_passing(&e)),
            E::HostNotFound => ("host not found".into(), true),
            E::ConnectionFailed => ("connection failed".into(), true),
            e @ (E::Protocol(_) | E::Decompress(..) | E::BodyStalled) => {
                (format!("the reply is garbled: {e}"), true)
            }
            e => (e.to_string(), false),
        };
        Fault { why, retryable }
    }
}

/// True unless the error lies in what was exchanged (a certificate that is not trusted) or in the
/// local system's rules.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, PermissionDenied, Unsupported};
    !matches!(error.kind(), InvalidData | InvalidInput | PermissionDenied | Unsupported)
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_string)
}

fn proxy(url: &str) -> Result<Proxy> {
    Proxy::new(url)
        .ok()
        .filter(|proxy| proxy.uri().authority().is_some_and(|a| !a.host().is_empty() && has_good_port(a)))
        .ok_or_else(|| Error::param("judge proxy", printable(url), "an http, https or socks proxy URL"))
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let shown = path.display().to_string();
    let pem = crate::judge::read_bounded(path, MAX_CA_FILE)
        .map_err(|e| Error::Io { path: shown.clone(), reason: e.to_string() })?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(Error::param("judge CA file", shown, "a PEM file")),
        }
    }
    if found.is_empty() {
        return Err(Error::param("judge CA file", shown, "a PEM file with at least one certificate"));
    }
    Ok(found)
}
