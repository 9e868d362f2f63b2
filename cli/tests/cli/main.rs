//! The `sda` command as its users meet it.

mod adapt;
mod architectures;
mod c_engine;
mod check;
mod command;
mod devices;
mod eval;
mod eval_query;
mod generate;
mod grammar;
mod inputs;
mod judge;
mod judge_file;
mod judge_options;
mod judge_pairs;
mod lab;
mod list;
mod manual;
mod options;
mod plot;
mod sampling;
mod score;
#[cfg(feature = "server")]
mod serve;
mod several;
mod templates;
mod threads;
mod variables;
