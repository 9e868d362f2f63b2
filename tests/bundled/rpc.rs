//! Other machines as devices: two of llama.cpp's RPC servers, here on the loopback interface. For builds with the RPC
//! backend: `make test-rpc`. The servers are this test program once more, since the crate has no rpc-server: it calls the
//! function that rpc-server calls.

#![allow(unsafe_code, reason = "the server is C")]

use std::ffi::{CString, c_char};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;
use sda::engine::{Arm, Engine, Generation, Prompts};
use sda::llama::{ContextOptions, GpuLayers, Model, ModelOptions, backend, devices, set_log, supports_rpc};

use crate::models::path;

/// Where a server listens: HOST:PORT.
const LISTEN: &str = "SDA_TEST_RPC_LISTEN";

/// What llama.cpp said.
static LOG: Mutex<String> = Mutex::new(String::new());

const QUERY: &str = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
const INSTRUCTED: &str = "<|im_start|>user\nWhat is the capital of France? Answer like a pirate.<|im_end|>\n<|im_start|>assistant\n";

/// A server of the CPU, in a process of its own.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Server {
        // Free until now, and taken by nobody else who asks so.
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rpc::a_server_that_others_start", "--ignored", "--nocapture"])
            .env(LISTEN, &endpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { process, endpoint };
        let begin = Instant::now();
        while TcpStream::connect(&server.endpoint).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(30), "no server at {}", server.endpoint);
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "is the server of the other tests"]
fn a_server_that_others_start() {
    let Ok(endpoint) = std::env::var(LISTEN) else { return };
    type Start =
        unsafe extern "C" fn(*const c_char, *const c_char, usize, usize, *mut sys::ggml_backend_dev_t);
    backend().unwrap();
    let endpoint = CString::new(endpoint).unwrap();
    // SAFETY: the names are texts, the function has the type above, and it gets one device.
    unsafe {
        let rpc = sys::ggml_backend_reg_by_name(c"RPC".as_ptr());
        let start = sys::ggml_backend_reg_get_proc_address(rpc, c"ggml_backend_rpc_start_server".as_ptr());
        let start = std::mem::transmute::<*mut std::ffi::c_void, Start>(start);
        let mut device = sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU);
        start(endpoint.as_ptr(), std::ptr::null(), 1, 1, &mut device);
    }
}

fn load(options: ModelOptions) -> Model {
    set_log(|line| LOG.lock().unwrap().push_str(line.text));
    Model::load(&path("SDA_TEST_MODEL"), &options, |_| true).unwrap()
}

fn steered(model: &Model) -> Vec<i32> {
    let mut engine =
        Engine::new(model, 256, &ContextOptions { n_threads: 1, ..ContextOptions::default() }).unwrap();
    let [plain, instructed] = [QUERY, INSTRUCTED].map(|text| model.tokenize_prompt(text).unwrap());
    let mut settings = Generation { n_predict: Some(32), ..Generation::default() };
    (settings.params.temperature, settings.params.amplification) = (0.0, 1.0);
    let answer = engine.generate(Arm::Steered, &Prompts::new(plain, instructed), &settings, &mut |_| true);
    answer.unwrap().tokens
}

#[test]
#[ignore = "needs the RPC backend: make test-rpc"]
fn a_model_that_two_servers_share_answers_as_one_that_is_here() {
    assert!(supports_rpc());
    // The servers do not repack weights, which has sums in another order.
    let alone = load(ModelOptions { devices: Some(Vec::new()), repack: false, ..ModelOptions::default() });
    let servers = [Server::start(), Server::start()];
    LOG.lock().unwrap().clear();
    let shared = load(ModelOptions {
        rpc_servers: servers.iter().map(|server| server.endpoint.clone()).collect(),
        devices: Some(vec!["RPC0".into(), "RPC1".into()]),
        tensor_split: vec![1.0, 1.0],
        n_gpu_layers: GpuLayers::All,
        ..ModelOptions::default()
    });
    let remote: Vec<_> = devices().unwrap().into_iter().filter(|device| device.backend == "RPC").collect();
    let places: Vec<&str> = remote.iter().map(|device| device.description.as_str()).collect();
    assert_eq!(places, servers.each_ref().map(|server| server.endpoint.as_str()));
    let log = LOG.lock().unwrap().clone();
    for device in &remote {
        // Such as: load_tensors: RPC0[127.0.0.1:50052] model buffer size =    41.04 MiB
        let buffer = |line: &&str| line.contains(&device.description) && line.contains("model buffer size");
        let line =
            log.lines().find(buffer).unwrap_or_else(|| panic!("{} has no weights: {log}", device.name));
        println!("{}", line.trim());
        let size: f64 = line.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
        assert!(size > 10.0, "{} has hardly a layer of 90 MiB: {line}", device.name);
    }
    assert_eq!(steered(&alone), steered(&shared));
}

fn command(servers: &[Server], n_predict: &str) -> Child {
    let endpoints: Vec<&str> = servers.iter().map(|server| server.endpoint.as_str()).collect();
    let sda = std::env::var_os("SDA_TEST_RPC_COMMAND")
        .expect("SDA_TEST_RPC_COMMAND names the command: make test-rpc");
    Command::new(sda)
        .args(["generate", "-t", "1", "-c", "2048", "--temp", "0", "-n", n_predict])
        .args(["-i", "Answer like a pirate."])
        .args(["-p", "Tell me a long story of the sea, with many chapters.", "--json", "-m"])
        .arg(path("SDA_TEST_MODEL"))
        .args(["--rpc", &endpoints.join(",")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(child: Child) -> (Output, String) {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

#[test]
#[ignore = "needs the RPC backend: make test-rpc"]
fn the_command_ends_with_an_error_when_a_server_is_lost_in_the_middle_of_an_answer() {
    use std::io::{BufRead, BufReader, Read};

    let mut servers = [Server::start(), Server::start()];
    let (output, errors) = ended(command(&servers, "8"));
    assert!(output.status.success(), "{errors}");

    let mut child = command(&servers, "1000");
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..5 {
        line.clear();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("\"type\":\"token\""), "{line}");
    }
    servers[1].process.kill().unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let (output, errors) = ended(child);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("sda: error: llama.cpp had to stop: ") && errors.contains("RPC server"),
        "{errors}"
    );
    assert!(!rest.contains("\"type\":\"answer\""), "an answer that was not finished");
}

#[test]
#[ignore = "needs the RPC backend: make test-rpc"]
fn a_server_that_is_not_there_is_an_error() {
    let mut servers = [Server::start()];
    servers[0].process.kill().unwrap();
    servers[0].process.wait().unwrap();
    let (output, errors) = ended(command(&servers, "8"));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let expected = format!("RPC server {} cannot be reached", servers[0].endpoint);
    assert!(errors.contains(&expected), "{errors}");
}
