//! Where the judge is: the address requests go to, and the part of it that may be printed.

use ureq::http::Uri;
use ureq::http::uri::Authority;

use crate::error::{Error, Result, excerpt};

const FIELD: &str = "judge url";

/// A checked address of a chat completions call.
#[derive(Clone)]
pub(crate) struct Endpoint {
    uri: Uri,
    host: String,
}

impl Endpoint {
    /// Completes and checks a base URL or a full one.
    ///
    /// A path that ends in `/chat/completions` is taken as it is, any other path gets that appended,
    /// and a bare host gets `/v1/chat/completions`. A query string stays.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let bad = |allowed: &'static str| Error::param(FIELD, printable(url), allowed);
        let uri: Uri = url.trim().parse().map_err(|_| bad("an http or https URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("an http or https URL"));
        }
        let Some(authority) = uri.authority().filter(|a| !a.host().is_empty()) else {
            return Err(bad("an http or https URL with a host"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("a URL without user name and password; give the API key on its own"));
        }
        if !has_good_port(authority) {
            return Err(bad("a URL whose port is from 0 to 65535"));
        }
        let host = authority.to_string();
        let path = uri.path().trim_end_matches('/');
        let path = match path {
            "" => "/v1/chat/completions".to_string(),
            p if p.ends_with("/chat/completions") => p.to_string(),
            p => format!("{p}/chat/completions"),
        };
        let path = uri.query().map_or(path.clone(), |q| format!("{path}?{q}"));
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(path.parse().map_err(|_| bad("an http or https URL"))?);
        let uri = Uri::from_parts(parts).map_err(|_| bad("an http or https URL"))?;
        Ok(Endpoint { uri, host })
    }

    /// The full address, query string included. Not for printing.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// True when requests stay on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// True when the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

/// False when something that is not a port number stands after the host, which the parser lets pass
/// and which would then mean the default port.
pub(crate) fn has_good_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host = &text[text.rfind('@').map_or(0, |at| at + 1)..];
    host.len() == authority.host().len() || authority.port_u16().is_some()
}

/// An address without what may be secret in it: user name, password, query string, fragment.
pub(crate) fn printable(url: &str) -> String {
    let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    // The last @, since a password may hold one; no path of an API does.
    excerpt(&match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}[redacted]@{host}"),
        None => format!("{scheme}{rest}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_full_urls_lead_to_the_same_call() {
        let cases = [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/chat/completions"),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions"),
            ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1/chat/completions"),
            (" https://h/v1/chat/completions ", "https://h/v1/chat/completions"),
            ("https://h/api/v2/chat/completions/", "https://h/api/v2/chat/completions"),
            ("https://h/openai/v1?api-version=1", "https://h/openai/v1/chat/completions?api-version=1"),
            ("http://[::1]:8080/v1", "http://[::1]:8080/v1/chat/completions"),
        ];
        for (url, uri) in cases {
            assert_eq!(Endpoint::parse(url).unwrap().uri().to_string(), uri);
        }
    }

    #[test]
    fn addresses_that_cannot_be_called_are_refused() {
        for url in [
            "",
            "127.0.0.1:8080",
            "localhost",
            "ftp://h/v1",
            "file:///etc/passwd",
            "http://",
            "http://h:99999/",
            "http:// h/",
        ] {
            assert!(matches!(Endpoint::parse(url), Err(Error::Param { .. })), "{url}");
        }
    }

    #[test]
    fn secrets_in_an_address_are_refused_and_not_printed() {
        let cases = [
            "http://me:hunter2@h/v1",
            "https://hunter2@h/v1",
            "ftp://h/v1?key=hunter2",
            "http://me:p@hunter2@h/v1",
            "nonsense#hunter2",
            "me:hunter2@h",
        ];
        for url in cases {
            let e = Endpoint::parse(url).map(|_| ()).unwrap_err().to_string();
            assert!(!e.contains("hunter2"), "{e}");
        }
        assert_eq!(Endpoint::parse("https://h:1/v1?key=hunter2").unwrap().host(), "h:1");
    }

    #[test]
    fn loopback_is_distinguished_from_other_hosts() {
        for url in ["http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:1", "http://LOCALHOST:1"] {
            assert!(Endpoint::parse(url).unwrap().is_loopback(), "{url}");
        }
        for url in ["http://10.0.0.1", "http://localhost.example.com", "http://[2001:db8::1]"] {
            assert!(!Endpoint::parse(url).unwrap().is_loopback(), "{url}");
        }
    }
}
