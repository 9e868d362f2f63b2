//! Who may ask: API keys, and the pages of other sites.

use std::path::Path;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::error::ApiError;
use crate::failure::{Failure, Outcome};
use crate::input;

/// The keys that are let in; none lets everyone in.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// The keys of the command line and those in a file, one a line; lines that begin with # are comments.
    pub fn new(given: &[String], file: Option<&Path>) -> Outcome<Keys> {
        let mut keys: Vec<String> = given.to_vec();
        if let Some(path) = file {
            let text = input::read_text(path)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let before = keys.len();
            keys.extend(lines.map(str::to_owned));
            if keys.len() == before {
                return Err(Failure::Failed(format!("--api-key-file {} holds no key", path.display())));
            }
        }
        if keys.iter().any(String::is_empty) {
            return Err(Failure::Usage("--api-key is empty, must be a key".into()));
        }
        Ok(Keys(keys.iter().map(|key| digest(key.as_bytes())).collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a request without one of the keys. Takes as long for one as for another.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_empty() {
            return Ok(());
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
        });
        let given = bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()));
        // Digests have one length, so the time tells nothing of that of a key.
        let given = digest(given.unwrap_or_default());
        let known = self.0.iter().fold(Choice::from(0), |known, key| known | key.ct_eq(&given));
        if known.into() { Ok(()) } else { Err(ApiError::key()) }
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Which sites' pages may use the server from a browser, beside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    None,
    Any,
    /// Those of this machine, at any port.
    Local,
    List(Vec<String>),
}

impl Origins {
    pub fn new(given: &[String]) -> Origins {
        match given {
            [] => Origins::None,
            [one] if one == "*" => Origins::Any,
            [one] if one == "localhost" => Origins::Local,
            list => {
                Origins::List(list.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
            }
        }
    }

    /// True if a page of this origin may read replies.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Origins::None => false,
            Origins::Any => true,
            Origins::Local => host_of(origin).is_some_and(is_loopback),
            Origins::List(list) => list.iter().any(|allowed| allowed == origin),
        }
    }

    /// Refuses what a browser sends for the page of another site: without CORS it could not read the reply, and would
    /// have the work done all the same. The server's own page is one whose address is a number or localhost, since any
    /// name may be made to lead here.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(origin) = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or_default()) else {
            return Ok(());
        };
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let own = origin.split_once("://").map(|(_, rest)| rest);
        let is_own = own.is_some() && own == host && host_of(origin).is_some_and(is_number_or_local);
        if is_own || self.allows(origin) {
            return Ok(());
        }
        Err(ApiError::forbidden("pages of this origin are not let in (--cors-origins)"))
    }
}

/// The host of an origin, without its port.
fn host_of(origin: &str) -> Option<&str> {
    let (_, rest) = origin.split_once("://")?;
    match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host),
        None => rest.split(':').next(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn is_number_or_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_one_of_the_keys_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "# of the office\nthird\n\n").unwrap();
        let keys = Keys::new(&["first".into(), "second".into()], Some(&file)).unwrap();
        for (name, value, known) in [
            ("authorization", "Bearer first", true),
            ("authorization", "bearer second", true),
            ("authorization", "Bearer third", true),
            ("x-api-key", "first", true),
            ("authorization", "Bearer fourth", false),
            ("authorization", "Bearer firs", false),
            ("authorization", "Bearer # of the office", false),
            ("authorization", "first", false),
            ("authorization", "Bearer ", false),
        ] {
            assert_eq!(keys.check(&headers(&[(name, value)])).is_ok(), known, "{value}");
        }
        assert_eq!(keys.check(&HeaderMap::new()), Err(ApiError::key()));
        assert_eq!(Keys::new(&[], None).unwrap().check(&HeaderMap::new()), Ok(()));
        std::fs::write(&file, "# none\n").unwrap();
        assert!(Keys::new(&[], Some(&file)).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_let_in_only_where_asked_for() {
        let own = Origins::new(&[]);
        let local = Origins::new(&["localhost".into()]);
        let list = Origins::new(&["https://a.example/".into(), "http://b.example:81".into()]);
        let any = Origins::new(&["*".into()]);
        for (origin, host, let_in) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", [true, true, true, true]),
            ("http://[::1]:8080", "[::1]:8080", [true, true, true, true]),
            ("http://localhost:3000", "localhost:8080", [false, true, false, true]),
            ("https://a.example", "127.0.0.1:8080", [false, false, true, true]),
            ("http://b.example", "127.0.0.1:8080", [false, false, false, true]),
            ("http://localhost.evil.example", "127.0.0.1:8080", [false, false, false, true]),
            // A name that was made to lead here.
            ("http://evil.example:8080", "evil.example:8080", [false, false, false, true]),
            ("null", "127.0.0.1:8080", [false, false, false, true]),
        ] {
            for (origins, let_in) in [&own, &local, &list, &any].iter().zip(let_in) {
                let given = headers(&[("origin", origin), ("host", host)]);
                assert_eq!(origins.check(&given).is_ok(), let_in, "{origin} {origins:?}");
            }
        }
        assert!(own.check(&headers(&[("host", "evil.example")])).is_ok(), "no browser");
    }
}
