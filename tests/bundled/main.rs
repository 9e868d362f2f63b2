//! Tests with llama.cpp inside, on real models.

mod adapters;
mod architectures;
mod batch;
mod devices;
mod draw;
mod ffi_engine;
mod ffi_engine_judge;
mod ffi_engine_samplers;
mod ffi_model;
mod grammar;
mod inputs;
mod local_judge;
mod models;
mod owned;
mod pair;
mod rows;
mod rpc;
mod samplers;
mod scoring;
mod several;
mod shift;
mod sizes;
mod steps;
mod threads;
