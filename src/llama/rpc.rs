//! Devices of other machines: llama.cpp's RPC backend.

use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use llama_cpp_sys_2 as sys;

use super::model::backend;
use crate::error::{Error, Result};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The servers that are known already: llama.cpp would list the devices of one a second time.
static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// True for a build with llama.cpp's RPC backend, feature `rpc`.
pub fn supports_rpc() -> bool {
    // SAFETY: a plain function.
    backend().is_ok() && unsafe { sys::llama_supports_rpc() }
}

/// Adds the devices of llama.cpp's RPC servers, each `HOST:PORT`, for the whole process. Their names are `RPC0` and so
/// on.
///
/// A server that is lost later, or that is none, makes llama.cpp abort the process ([`on_fatal`](super::on_fatal)).
/// The protocol is neither encrypted nor protected against anybody who can reach the server: docs/distributed.md.
///
/// # Errors
/// [`Error::Param`] for what is not `HOST:PORT`, and in builds without the backend; [`Error::Model`] if a server
/// cannot be reached or has no device.
pub fn add_rpc_servers(servers: &[String]) -> Result<()> {
    if servers.is_empty() {
        return Ok(());
    }
    if !supports_rpc() {
        let allowed = "none, since this build has no RPC backend (make build BACKEND=rpc)";
        return Err(Error::param("rpc_servers", servers.join(","), allowed));
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in servers {
        let endpoint = endpoint(server)?;
        if !known.contains(server) {
            reach(server)?;
            add(server, &endpoint)?;
            known.insert(server.clone());
        }
    }
    Ok(())
}

/// The text for llama.cpp, which takes a port only that is a number.
fn endpoint(server: &str) -> Result<CString> {
    let is_one =
        |(host, port): (&str, &str)| !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0);
    let endpoint = CString::new(server).ok().filter(|_| server.rsplit_once(':').is_some_and(is_one));
    endpoint.ok_or_else(|| Error::param("rpc_servers", server, "HOST:PORT, with commas between several"))
}

/// llama.cpp aborts if it cannot connect.
fn reach(server: &str) -> Result<()> {
    let lost =
        |reason: String| Error::Model { reason: format!("RPC server {server} cannot be reached: {reason}") };
    let mut reason = "the name has no address".to_owned();
    for address in server.to_socket_addrs().map_err(|e| lost(e.to_string()))? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(e) => reason = e.to_string(),
        }
    }
    Err(lost(reason))
}

fn add(server: &str, endpoint: &CString) -> Result<()> {
    type AddServer = unsafe extern "C" fn(*const c_char) -> sys::ggml_backend_reg_t;
    // SAFETY: the names are texts; the backend says of this function that it has the type above; what it returns may
    // be registered once.
    unsafe {
        let backend = sys::ggml_backend_reg_by_name(c"RPC".as_ptr());
        let function =
            sys::ggml_backend_reg_get_proc_address(backend, c"ggml_backend_rpc_add_server".as_ptr());
        if function.is_null() {
            return Err(Error::Model { reason: "llama.cpp's RPC backend cannot add a server".into() });
        }
        let registered = std::mem::transmute::<*mut std::ffi::c_void, AddServer>(function)(endpoint.as_ptr());
        if registered.is_null() {
            return Err(Error::Model { reason: format!("RPC server {server} has no device") });
        }
        sys::ggml_backend_register(registered);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for right in ["localhost:50052", "10.0.0.1:1", "[::1]:65535"] {
            assert!(endpoint(right).is_ok(), "{right}");
        }
        for wrong in ["", "localhost", ":5", "a:", "a:0", "a:65536", "a:x", "a\0:5"] {
            let error = endpoint(wrong).unwrap_err().to_string();
            assert!(error.ends_with("must be HOST:PORT, with commas between several"), "{error}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_and_no_abort() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = reach(&free.to_string()).unwrap_err().to_string();
        assert!(error.contains(&format!("RPC server {free} cannot be reached: ")), "{error}");
    }

    #[test]
    fn a_build_without_the_backend_says_so() {
        if !supports_rpc() {
            let error = add_rpc_servers(&["localhost:50052".into()]).unwrap_err().to_string();
            assert!(
                error
                    .starts_with("rpc_servers is localhost:50052, must be none, since this build has no RPC"),
                "{error}"
            );
        }
        assert_eq!(add_rpc_servers(&[]), Ok(()));
    }
}
