//! `sda serve`: OpenAI's API over HTTP, with steering.
//!
//! Data flows one way. A request is read (`request/`) and becomes a plan (`plan`), a plan becomes jobs (`answer`) that are
//! handed in at the desk (`desk`) of the engine's thread (`engine`). What it tells (`told`) is gathered (`reply`), put into
//! the shape that the client knows (`shape/`) and sent, whole or in parts (`stream`).

mod answer;
mod answers;
mod app;
mod args;
mod body;
mod desk;
mod engine;
mod error;
mod keys;
mod load;
mod metrics;
mod page;
mod plan;
mod reply;
mod request;
mod routes;
mod settings;
mod shape;
mod status;
mod stream;
mod thoughts;
mod told;
mod tools;

use std::net::{TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

pub use args::ServeArgs;

use crate::failure::{Failure, Outcome};
use crate::ui::console::note;
use app::App;

/// How often something is looked at that does not tell by itself.
const GLANCE: Duration = Duration::from_millis(25);

/// How long connections may take to close once all answers have ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub fn run(args: ServeArgs) -> Outcome {
    let app = Arc::new(App::new(args)?);
    let listener = bind(&app)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("threads of the server: {e}")))?;
    let (ending, ended) = oneshot::channel();
    let shared = Arc::clone(&app);
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let done = load::engine(&shared).and_then(engine::Engine::run);
            let _ = ending.send(());
            done
        })
        .map_err(|e| Failure::Failed(format!("the engine's thread: {e}")))?;
    let served = runtime.block_on(serve(&app, listener, ended));
    // A judge that does not reply holds nothing up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let done = engine.join().unwrap_or_else(|_| Err(Failure::Failed("the engine panicked".into())));
    done.and(served)
}

/// The listener is there before the model, so that clients are told to wait.
fn bind(app: &App) -> Outcome<TcpListener> {
    let server = &app.args.server;
    let fail = |e: std::io::Error| Failure::Failed(format!("{}:{}: {e}", server.host, server.port));
    let host = server.host.trim_matches(['[', ']']);
    let addresses: Vec<_> = (host, server.port).to_socket_addrs().map_err(fail)?.collect();
    let listener = TcpListener::bind(&addresses[..]).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    note(&format!("listening on http://{address}"));
    if !address.ip().is_loopback() && app.keys.is_empty() {
        note("everyone who reaches this address may use the server: --api-key-file lets in whom it names");
    }
    Ok(listener)
}

/// Serves until the user or the engine ends it.
async fn serve(app: &Arc<App>, listener: TcpListener, ended: oneshot::Receiver<()>) -> Outcome {
    let fail = |e: std::io::Error| Failure::Failed(format!("server: {e}"));
    let listener = tokio::net::TcpListener::from_std(listener).map_err(fail)?;
    let listener = listener.tap_io(|stream| {
        // Tokens are sent as they come.
        let _ = stream.set_nodelay(true);
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, routes::router(Arc::clone(app)));
    let server = server.with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());
    let mut ended = ended;
    tokio::select! {
        () = interrupted(app) => note("stopping; once more ends at once"),
        _ = &mut ended => {}
    }
    app.close();
    let _ = stop.send(());
    if let Some(loaded) = app.present() {
        let idle = async {
            while loaded.desk.taken() > 0 {
                sleep(GLANCE).await;
            }
        };
        let grace = Duration::from_secs(app.args.server.shutdown_grace);
        tokio::select! {
            _ = timeout(grace, idle) => {}
            _ = &mut ended => {}
        }
    }
    app.stop();
    let _ = timeout(LAST_WORDS, server).await;
    Ok(())
}

/// Ends when the user has asked to stop. While the model loads, that ends the load.
async fn interrupted(app: &App) {
    while !app.session.interrupt.is_wanted() || app.present().is_none() {
        sleep(GLANCE).await;
    }
}
