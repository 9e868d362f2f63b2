//! Tests with llama.cpp inside, on real models.

mod batch;
mod draw;
mod ffi_engine;
mod models;
mod pair;
mod rows;
