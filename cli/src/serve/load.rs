//! Loading the model and making the engine, while the server already listens.

use std::sync::Arc;

use sda::engine::{Batch, BatchSize};

use super::app::{App, Loaded};
use super::desk::Desk;
use super::engine::Engine;
use crate::failure::Outcome;
use crate::ui::console::note;

/// How many times as long as others a step may take that also reads a part of a prompt, so that an answer that is
/// streamed does not falter.
const MAX_GAP: f64 = 2.0;

/// Loads the model, and lets requests in.
pub fn engine(app: &Arc<App>) -> Outcome<Engine> {
    let (args, server) = (&app.args.common, &app.args.server);
    let session = &app.session;
    let (model, prompter) = session.load(&args.model)?;
    let n_singles = match server.max_instructions {
        Some(n) if n > 1 => n.into(),
        _ => 0,
    };
    let n_singles = prompter.n_singles()?.max(n_singles);
    let (slots, load) = (usize::from(server.parallel), &args.model.load);
    let size = BatchSize {
        n_pairs: slots,
        n_ctx: load.ctx_size as usize,
        n_singles,
        cells: server.kv_cells.map(|n| n as usize),
    };
    let before = session.log.kv_mib();
    let batch = Batch::with_size(&model, &size, &args.model.context_options());
    let mut batch = batch.map_err(|error| session.log.explain(error))?;
    batch.set_max_gap(Some(MAX_GAP))?;
    let n_ctx = batch.n_ctx();
    app.source.load(session, &model, n_ctx)?;
    let (desk, orders) = Desk::new(slots, server.queue as usize);
    // From now on Ctrl-C ends the server properly.
    session.interrupt.begin();
    app.set_loaded(Loaded { model, prompter, n_ctx, n_singles, desk });
    let kv = session.log.kv_mib() - before;
    note(&format!("{slots} slots, {n_ctx} tokens a branch, KV cache {kv:.0} MiB"));
    Ok(Engine::new(Arc::clone(app), batch, orders))
}
