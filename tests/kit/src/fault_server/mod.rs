//! A scriptable HTTP/1.1 server on loopback that misbehaves on demand.
//!
//! The script is a function from a request and its number to a [`Reply`]. Connections are kept
//! alive after replies that end cleanly. Everything received is recorded, and dropping the server
//! ends its threads.

pub mod faults;
pub mod shapes;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

/// How often blocked reads look whether the server is being dropped.
const TICK: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `POST /v1/chat/completions HTTP/1.1`.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the client sends JSON")
    }

    /// The text of the one user message.
    pub fn prompt(&self) -> String {
        self.json()["messages"][0]["content"].as_str().expect("the client sends a message").to_string()
    }
}

#[derive(Clone, Debug)]
pub enum Reply {
    /// A clean reply with a content length.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// A clean reply in chunks of this many bytes.
    Chunked { body: Vec<u8>, size: usize },
    /// Another reply after a silence.
    After(Duration, Box<Reply>),
    /// A reset instead of a reply.
    Reset,
    /// Half of a reply's body, then a reset.
    ResetMidBody(Vec<u8>),
    /// Half of a reply's body, then an orderly close.
    CloseMidBody(Vec<u8>),
    /// One byte of the body per interval, for ever.
    Drip(Duration),
    /// Body bytes without end, as fast as the client takes them.
    Endless { chunked: bool },
    /// These bytes as they are, then an orderly close.
    Raw(Vec<u8>),
    /// The connection becomes a tunnel to this address (for CONNECT).
    Tunnel(SocketAddr),
}

/// A successful chat completion with this text.
pub fn chat(content: &str) -> Reply {
    json_reply(200, &completion(json!(content), "stop"))
}

pub fn completion(content: Value, finish_reason: &str) -> Value {
    json!({
        "id": "x", "object": "chat.completion", "model": "m",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": finish_reason,
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
}

pub fn json_reply(status: u16, body: &Value) -> Reply {
    let headers = vec![("Content-Type", "application/json".to_string())];
    Reply::Http { status, headers, body: body.to_string().into_bytes() }
}

pub fn status(status: u16, message: &str) -> Reply {
    json_reply(status, &json!({ "error": { "message": message, "type": "test" } }))
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: AtomicBool,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    sent: AtomicU64,
}

pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultServer {
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        FaultServer::launch(Box::new(script), None)
    }

    pub fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        FaultServer::launch(Box::new(script), Some(tls))
    }

    /// Gives these replies in order; any request more is a 500 that says so.
    pub fn replies(replies: Vec<Reply>) -> Self {
        FaultServer::start(move |_, n| {
            replies.get(n).cloned().unwrap_or_else(|| status(500, "the script has no more replies"))
        })
    }

    fn launch(script: Box<Script>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            tls,
            stop: AtomicBool::new(false),
            requests: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        });
        let for_thread = shared.clone();
        let accepting = thread::spawn(move || {
            let mut serving = Vec::new();
            for stream in listener.incoming() {
                if for_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                for_thread.connections.fetch_add(1, Ordering::SeqCst);
                let shared = for_thread.clone();
                serving.push(thread::spawn(move || {
                    // A client that goes away in the middle is part of most scripts.
                    let _ = shared.serve(stream);
                }));
            }
            for thread in serving {
                thread.join().unwrap();
            }
        });
        FaultServer { address, shared, accepting: Some(accepting) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a client.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Body bytes that endless replies got rid of.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accept call.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.accepting.take() {
            let result = thread.join();
            if !thread::panicking() {
                result.expect("the fault server's threads end without a panic");
            }
        }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Shared {
    fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_read_timeout(Some(TICK))?;
        tcp.set_nodelay(true)?;
        let socket = tcp.try_clone()?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let connection = rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                Box::new(rustls::StreamOwned::new(connection, tcp))
            }
        };
        while let Some(request) = self.receive(&mut *stream)? {
            let number = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(request.clone());
                requests.len() - 1
            };
            if !self.answer((self.script)(&request, number), &mut *stream, &socket)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads one byte string more; `false` at the end of the stream or of the server.
    fn fill(&self, stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let mut bytes = [0; 16 << 10];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    buffer.extend_from_slice(&bytes[..n]);
                    return Ok(true);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.stop.load(Ordering::SeqCst) {
                        return Ok(false);
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn receive(&self, stream: &mut dyn Stream) -> io::Result<Option<Request>> {
        let mut buffer = Vec::new();
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if !self.fill(stream, &mut buffer)? {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let mut body = buffer.split_off(head_end + 4);
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_string();
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':').map(|(n, v)| (n.trim().to_string(), v.trim().to_string())))
            .collect();
        let mut request = Request { line, headers, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |v| v.parse().unwrap());
        while body.len() < length {
            if !self.fill(stream, &mut body)? {
                return Ok(None);
            }
        }
        request.body = body;
        Ok(Some(request))
    }

    /// Sends the reply; `true` when the connection can take another request.
    fn answer(&self, reply: Reply, stream: &mut dyn Stream, socket: &TcpStream) -> io::Result<bool> {
        match reply {
            Reply::Http { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} Test\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                send(stream, &[head.as_bytes(), b"\r\n", &body])?;
                return Ok(true);
            }
            Reply::Chunked { body, size } => {
                send(stream, &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])?;
                for chunk in body.chunks(size) {
                    send(stream, &[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"])?;
                }
                send(stream, &[b"0\r\n\r\n"])?;
                return Ok(true);
            }
            Reply::After(time, reply) => {
                if !self.pause(time) {
                    return Ok(false);
                }
                return self.answer(*reply, stream, socket);
            }
            Reply::Reset => reset(socket)?,
            Reply::ResetMidBody(body) => {
                half(stream, &body)?;
                // Lets the half arrive, so that the reset hits the reading of the body.
                self.pause(Duration::from_millis(30));
                reset(socket)?;
            }
            Reply::CloseMidBody(body) => half(stream, &body)?,
            Reply::Drip(interval) => {
                send(stream, &[b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])?;
                while self.pause(interval) {
                    send(stream, &[b" "])?;
                }
            }
            Reply::Endless { chunked } => {
                let framing =
                    if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 99999999999" };
                send(stream, &[format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()])?;
                let block = [b' '; 4096];
                let framed: &[&[u8]] = if chunked { &[b"1000\r\n", &block, b"\r\n"] } else { &[&block] };
                while !self.stop.load(Ordering::SeqCst) {
                    send(stream, framed)?;
                    self.sent.fetch_add(4096, Ordering::SeqCst);
                }
            }
            Reply::Raw(bytes) => send(stream, &[&bytes])?,
            Reply::Tunnel(address) => {
                send(stream, &[b"HTTP/1.1 200 Connected\r\n\r\n"])?;
                self.tunnel(socket, address)?;
            }
        }
        Ok(false)
    }

    /// `false` when the server was stopped meanwhile.
    fn pause(&self, time: Duration) -> bool {
        let start = std::time::Instant::now();
        while start.elapsed() < time {
            if self.stop.load(Ordering::SeqCst) {
                return false;
            }
            thread::sleep(TICK.min(time.saturating_sub(start.elapsed())));
        }
        true
    }

    fn tunnel(&self, client: &TcpStream, address: SocketAddr) -> io::Result<()> {
        let server = TcpStream::connect(address)?;
        server.set_read_timeout(Some(TICK))?;
        thread::scope(|scope| {
            let back = (server.try_clone()?, client.try_clone()?);
            scope.spawn(move || self.copy(back.0, back.1));
            self.copy(client.try_clone()?, server);
            Ok(())
        })
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = Vec::new();
        while self.fill(&mut from, &mut buffer).unwrap_or(false) && to.write_all(&buffer).is_ok() {
            buffer.clear();
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn send(stream: &mut dyn Stream, parts: &[&[u8]]) -> io::Result<()> {
    stream.write_all(&parts.concat())?;
    stream.flush()
}

fn half(stream: &mut dyn Stream, body: &[u8]) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    send(stream, &[head.as_bytes(), &body[..body.len() / 2]])
}

/// Makes the close that follows a reset instead of an orderly end.
fn reset(socket: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
}
