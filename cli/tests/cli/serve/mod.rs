//! `sda serve` as its clients meet it.

mod about;
mod answers;
mod clients;
mod judge;
mod limits;
mod raw;
mod samplers;
mod service;
mod steering;
mod thoughts;
mod wrong;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::{model, one_thread, records, stdout};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What most tests ask.
const CAPITAL: &str = "What is the capital of France?";

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    base: String,
    lines: Receiver<String>,
}

/// A whole reply.
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub headers: Vec<(String, String)>,
}

impl Server {
    /// A server on the default test model, ready to answer.
    pub fn start(args: &[&str]) -> Server {
        let server = Server::listening(&model(), args);
        let end = Instant::now() + PATIENCE;
        while server.get("/health").status != 200 {
            assert!(Instant::now() < end, "the model does not load");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A server that listens; its model may still load.
    pub fn listening(model: &str, args: &[&str]) -> Server {
        let base = ["serve", "-m", model, "--port", "0", "-c", "1024"];
        let mut command = one_thread(&[&base, args].concat());
        for name in ["LLAMA_API_KEY", "LLAMA_ARG_HOST", "LLAMA_ARG_PORT"] {
            command.env_remove(name);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = follow(child.stderr.take().unwrap());
        let address = loop {
            let line = lines.recv_timeout(PATIENCE).expect("the server does not listen");
            if let Some(address) = line.strip_prefix("sda: listening on ") {
                break address.to_owned();
            }
        };
        Server { child, base: address, lines }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = agent().get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.call().unwrap())
    }

    /// Sends a body and reads the whole reply.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &body.to_string(), &[])
    }

    pub fn post_with(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        reply(self.send(path, body, headers))
    }

    fn send(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> ureq::http::Response<ureq::Body> {
        let mut request = agent().post(format!("{}{path}", self.base)).content_type("application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send(body).unwrap()
    }

    /// The JSON of a reply that has to be good.
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// A chat completion of one message.
    pub fn chat(&self, query: &str, more: &Value) -> Value {
        self.ask("/v1/chat/completions", &question(query, more))
    }

    /// Begins to read a stream.
    pub fn stream(&self, path: &str, body: &Value) -> Events {
        let mut body = body.clone();
        body["stream"] = true.into();
        let response = self.send(path, &body.to_string(), &[]);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { lines: Box::new(BufReader::new(response.into_body().into_reader())) }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.lines.iter().collect());
            }
            assert!(Instant::now() < end, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Server-sent events as they come.
pub struct Events {
    lines: Box<dyn BufRead + Send>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Data(Value),
    Comment(String),
    Done,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if let Some(data) = line.strip_prefix("data: ") {
                let value = || Event::Data(serde_json::from_str(data).unwrap());
                return Some(if data == "[DONE]" { Event::Done } else { value() });
            }
            if let Some(comment) = line.strip_prefix(": ") {
                return Some(Event::Comment(comment.to_owned()));
            }
        }
    }
}

/// The data of events.
pub fn chunks(events: &[Event]) -> Vec<&Value> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Data(value) = event {
            found.push(value);
        }
    }
    found
}

/// The body of a chat completion of one message.
pub fn question(query: &str, more: &Value) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": query }], "temperature": 0 });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The answer record of `sda generate`.
fn generated(args: &[&str]) -> Value {
    let model = model();
    let base = ["generate", "-m", &model, "-c", "1024", "-p", CAPITAL, "--json"];
    let output = one_thread(&[&base, args].concat()).output().unwrap();
    records(&stdout(&output)).into_iter().rfind(|record| record["type"] == "answer").unwrap()
}

/// The text of a chat completion.
pub fn content(reply: &Value) -> &str {
    reply["choices"][0]["message"]["content"].as_str().unwrap()
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.http_status_as_error(false).proxy(None).timeout_global(Some(PATIENCE)).build().into()
}

fn reply(response: ureq::http::Response<ureq::Body>) -> Reply {
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = response.status().as_u16();
    let mut body = String::new();
    response.into_body().into_reader().read_to_string(&mut body).unwrap();
    Reply { status, body, headers }
}

/// Reads lines on a thread of its own, so that the server never waits for its log to be read.
fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
