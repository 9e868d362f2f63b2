//! Tests of the judge's client, against a server on loopback that misbehaves on demand.

mod cache;
mod chaos;
mod client;
mod faults;
mod shapes;
mod tls;
