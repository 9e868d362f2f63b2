//! The HTTP judge over TLS with an authority made on the spot, and through proxies.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sda::Error;
use sda::judge::{ApiKey, Client, JudgeRequest, Settings, Verdict};
use sda_test_kit::again::{again, assert_passed};
use sda_test_kit::fault_server::{FaultServer, Reply, Request, chat, status};
use tempfile::TempDir;

const REQUEST: JudgeRequest<'_> =
    JudgeRequest { query: "q", draft: "d", instruction: "be brief", dimension: None };

fn settings(url: &str) -> Settings {
    let mut s = Settings::new(url, "m");
    s.timeout = Duration::from_secs(10);
    s.retry.max_retries = 2;
    s.retry.base = Duration::from_millis(1);
    s
}

fn score(settings: Settings) -> Result<Verdict, Error> {
    Client::new(settings).unwrap().score(&REQUEST, &|| false)
}

/// An authority, its certificate as a PEM file, and a server's setup signed by it.
struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn server(&self, name: &str) -> Arc<rustls::ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_string()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

#[test]
fn a_server_with_a_certificate_of_the_given_authority_is_trusted() {
    let authority = Authority::new();
    let server = FaultServer::start_tls(authority.server("127.0.0.1"), |_, n| match n {
        // TLS must not hide the faults below it.
        0 => Reply::Reset,
        1 => status(503, "loading"),
        _ => chat("{\"score\": 71}"),
    });
    let mut s = settings(&server.url());
    s.ca_file = Some(authority.file());
    let verdict = score(s).unwrap();
    assert_eq!((verdict.score, verdict.attempts), (71.0, 3));
}

#[test]
fn an_unknown_authority_a_wrong_name_and_no_tls_at_all_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = FaultServer::start_tls(authority.server("127.0.0.1"), |_, _| chat("{\"score\": 71}"));
    let misnamed = FaultServer::start_tls(authority.server("judge.test"), |_, _| chat("{\"score\": 71}"));
    let cases =
        [(server.url(), None), (server.url(), Some(other.file())), (misnamed.url(), Some(authority.file()))];
    for (url, ca_file) in cases {
        let mut s = settings(&url);
        s.ca_file = ca_file;
        let e = score(s).unwrap_err().to_string();
        assert!(e.contains("invalid peer certificate") && e.contains("after 1 attempt"), "{e}");
    }
    let plain = FaultServer::start(|_, _| chat("{\"score\": 71}"));
    let mut s = settings(&plain.url().replace("http:", "https:"));
    s.timeout = Duration::from_millis(500);
    s.retry.max_retries = 0;
    assert!(matches!(score(s), Err(Error::Judge { .. })));
    assert_eq!((server.count(), misnamed.count(), plain.count()), (0, 0, 0));
}

#[test]
fn a_handshake_that_stalls_ends_at_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut s = settings(&format!("https://{}", silent.local_addr().unwrap()));
    s.connect_timeout = Duration::from_millis(200);
    s.retry.max_retries = 1;
    let start = Instant::now();
    let e = score(s).unwrap_err().to_string();
    assert!(e.contains("no connection within 0.2 s, after 2 attempts"), "{e}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_bad_authority_file_is_refused_when_the_client_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cases = [
        (dir.path().join("missing.pem"), "missing.pem"),
        (file("empty.pem", ""), "at least one certificate"),
        (file("text.pem", "hello"), "at least one certificate"),
        (
            file("broken.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"),
            "must be a PEM file",
        ),
        (file("key.pem", &KeyPair::generate().unwrap().serialize_pem()), "at least one certificate"),
    ];
    for (path, text) in cases {
        let mut s = settings("https://h");
        s.ca_file = Some(path);
        let e = Client::new(s).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    }
}

/// A proxy that opens a tunnel to `target`, whatever host it is asked for.
fn proxy_to(target: SocketAddr) -> FaultServer {
    FaultServer::start(move |request, _| {
        if request.line.starts_with("CONNECT ") { Reply::Tunnel(target) } else { status(405, "only CONNECT") }
    })
}

#[test]
fn an_explicit_proxy_is_used_even_for_this_machine_and_its_password_stays_hidden() {
    let server = FaultServer::start(|_, _| chat("{\"score\": 71}"));
    let proxy = proxy_to(server.address());
    let mut s = settings(&server.url());
    s.proxy = Some(format!("http://me:hunter2@{}", proxy.address()));
    assert_eq!(score(s.clone()).unwrap().score, 71.0);
    let seen = proxy.requests();
    assert_eq!(seen[0].line, format!("CONNECT {} HTTP/1.1", server.address()));
    assert_eq!(seen[0].header("proxy-authorization"), Some("Basic bWU6aHVudGVyMg=="));
    assert_eq!(server.requests()[0].header("proxy-authorization"), None);

    let refusing = FaultServer::start(|_, _| status(407, "who are you"));
    s.proxy = Some(format!("http://me:hunter2@{}", refusing.address()));
    let client = Client::new(s).unwrap();
    let e = client.score(&REQUEST, &|| false).unwrap_err().to_string();
    assert!(e.contains("407") && !e.contains("hunter2") && !format!("{client:?}").contains("hunter2"), "{e}");
    assert_eq!(server.count(), 1);
}

#[test]
fn the_key_reaches_the_judge_only_through_the_tunnel() {
    let authority = Authority::new();
    let server = FaultServer::start_tls(authority.server("judge.test"), |_, _| chat("{\"score\": 71}"));
    let proxy = proxy_to(server.address());
    let key = authority.dir.path().join("key");
    std::fs::write(&key, "s3cr3t").unwrap();
    let mut s = settings("https://judge.test/v1");
    s.ca_file = Some(authority.file());
    s.proxy = Some(format!("http://{}", proxy.address()));
    s.key = Some(ApiKey::from_file(&key).unwrap());
    assert_eq!(score(s).unwrap().score, 71.0);
    assert!(!format!("{:?}", proxy.requests()).contains("s3cr3t"));
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer s3cr3t"));
}

#[test]
fn a_socks_proxy_is_used_and_not_passed_by() {
    let server = FaultServer::start(|_, _| chat("{\"score\": 71}"));
    let socks = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut s = settings(&server.url());
    s.proxy = Some(format!("socks5://{}", socks.local_addr().unwrap()));
    s.retry.max_retries = 0;
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = socks.accept().unwrap();
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).unwrap();
        // Version 5, and no method that would do.
        stream.write_all(&[5, 0xff]).unwrap();
        greeting[0]
    });
    assert!(matches!(score(s), Err(Error::Judge { .. })));
    assert_eq!(thread.join().unwrap(), 5);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_bad_proxy_is_refused_without_showing_its_password() {
    for url in ["http://", "gopher://me:hunter2@h", "http://me:hunter2@h:port"] {
        let mut s = settings("http://127.0.0.1:1");
        s.proxy = Some(url.into());
        let e = Client::new(s).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("judge proxy") && !e.contains("hunter2"), "{e}");
    }
}

const CHILD_URL: &str = "SDA_TEST_PROXY_URL";
const CHILD_KEY: &str = "SDA_TEST_PROXY_KEY";

/// What the processes of the next test do in their changed environment.
fn two_scores_with_an_environment(url: &str) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let kept = warnings.clone();
    let mut s = settings(url);
    s.key = Some(ApiKey::from_env(CHILD_KEY).unwrap());
    let client =
        Client::new(s).unwrap().with_warnings(move |text| kept.lock().unwrap().push(text.to_string()));
    for _ in 0..2 {
        assert_eq!(client.score(&REQUEST, &|| false).unwrap().score, 71.0);
    }
    let warnings = warnings.lock().unwrap();
    if url.contains("127.0.0.1") {
        assert!(warnings.is_empty(), "{warnings:?}");
    } else {
        assert_eq!(*warnings, ["the judge's API key is sent unencrypted to judge.test"]);
    }
}

#[test]
fn the_environments_proxy_is_used_for_other_machines_only() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        return two_scores_with_an_environment(&url);
    }
    let server = FaultServer::start(|_, _| chat("{\"score\": 71}"));
    let proxy = proxy_to(server.address());
    let child = |url: &str| {
        let mut command = again(module_path!(), "the_environments_proxy_is_used_for_other_machines_only");
        for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
            .env("HTTP_PROXY", format!("http://{}", proxy.address()))
            .env(CHILD_URL, url)
            .env(CHILD_KEY, "s3cr3t");
        assert_passed(command.spawn().unwrap());
    };
    child(&server.url());
    assert_eq!((server.count(), proxy.count()), (2, 0));
    child("http://judge.test/v1");
    let lines: Vec<String> = proxy.requests().into_iter().map(|r: Request| r.line).collect();
    assert_eq!((server.count(), lines), (4, vec!["CONNECT judge.test:80 HTTP/1.1".to_string()]));
    assert_eq!(server.requests()[3].header("authorization"), Some("Bearer s3cr3t"));
}
