//! The commands, each in a room of its own. None knows another.

pub mod bench;
pub mod chat;
pub mod eval;
pub mod generate;
pub mod list;
pub mod manual;
pub mod plot;
pub mod score;
