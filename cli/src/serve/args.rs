//! Options of `sda serve`. Names are llama-server's where it has one for the thing.

use std::path::PathBuf;

use clap::Args;
use sda::engine::MAX_PAIRS;
use sda::steer::MOST_INSTRUCTIONS;

use crate::args::CommonArgs;

#[derive(Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Address to listen on.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1", env = "LLAMA_ARG_HOST")]
    pub host: String,
    /// Port to listen on; 0 is any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 8080, env = "LLAMA_ARG_PORT")]
    pub port: u16,
    /// Slots: answers that are generated at once. [also -np]
    #[arg(long, value_name = "N", default_value_t = 4, env = "LLAMA_ARG_N_PARALLEL", value_parser = clap::value_parser!(u16).range(1..=MAX_PAIRS as i64))]
    pub parallel: u16,
    /// KV cells for all slots together, at least two branches of -c tokens: when they run out, the shortest answer waits and
    /// continues later. [default: room for both branches of every slot]
    #[arg(long, value_name = "N")]
    pub kv_cells: Option<u32>,
    /// Answers that wait for a slot; more are refused with status 503.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub queue: u32,
    /// Key that clients have to send; several with commas between them. Visible to others on this machine: better in
    /// a file, or in LLAMA_API_KEY.
    #[arg(long, value_name = "KEY", value_delimiter = ',', env = "LLAMA_API_KEY", hide_env_values = true)]
    pub api_key: Vec<String>,
    /// File with keys, one a line.
    #[arg(long, value_name = "FILE", env = "LLAMA_ARG_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Name of the model, as clients see it. [default: that of the file]
    #[arg(long, value_name = "NAME", env = "LLAMA_ARG_ALIAS")]
    pub alias: Option<String>,
    /// Seconds that a request may take in all. [also -to]
    #[arg(long, value_name = "S", default_value_t = 3600, env = "LLAMA_ARG_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub timeout: u64,
    /// Seconds that running answers may take to end when the server is stopped.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=604_800))]
    pub shutdown_grace: u64,
    /// The largest body of a request, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_body: u32,
    /// Sites whose pages may use the server from a browser, beside its own: origins with commas between them,
    /// localhost, or *. [default: none]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', env = "LLAMA_ARG_CORS_ORIGINS")]
    pub cors_origins: Vec<String>,
    /// The most instructions of a request; each beyond the first costs KV cells of every slot. [default: as many as
    /// there are -i]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_INSTRUCTIONS as i64))]
    pub max_instructions: Option<u16>,
    /// Read every prompt whole, even if its slot or another has its beginning.
    #[arg(long)]
    pub no_cache_prompt: bool,
    /// Offer /metrics, for Prometheus.
    #[arg(long, env = "LLAMA_ARG_ENDPOINT_METRICS", value_parser = clap::builder::FalseyValueParser::new())]
    pub metrics: bool,
    /// Do not offer /slots.
    #[arg(long)]
    pub no_slots: bool,
    /// Accepted for llama-server's sake: /slots is offered.
    #[arg(long, hide = true, conflicts_with = "no_slots")]
    pub slots: bool,
    /// Do not offer the page at /.
    #[arg(long, alias = "no-ui")]
    pub no_webui: bool,
    /// Accepted for llama-server's sake: the page is offered.
    #[arg(long, alias = "ui", hide = true, conflicts_with = "no_webui")]
    webui: bool,
    /// Accepted for llama-server's sake: beginnings of prompts are not read again.
    #[arg(long, hide = true, conflicts_with = "no_cache_prompt")]
    cache_prompt: bool,
}
