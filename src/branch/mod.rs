//! Branches of one model: sequences that hold different prompts and the same generated tokens.
//!
//! [`Pair`] keeps both branches in the host's own context: the tokens that both prompts begin with are decoded
//! once and shared through the KV cache, and every step decodes one token in both with a single batch of two
//! rows, so the weights are read once. [`DropIn`] keeps the plain branch alone, in a context of its own, beside
//! a host that keeps its loop.

mod adopt;
mod continuation;
mod dropin;
mod lone;
mod many;
mod pair;
mod prefill;
mod reading;
mod sequence;
mod shared;

pub use continuation::Visit;
pub use dropin::DropIn;
#[cfg(feature = "bundled")]
pub(crate) use lone::Lone;
#[cfg(feature = "bundled")]
pub(crate) use many::{Beside, Chunk, step_and_read};
pub use many::{Move, step_many};
pub use pair::{Pair, Side};
pub use prefill::Prefill;
#[cfg(feature = "bundled")]
pub(crate) use reading::Reading;
pub use sequence::Progress;
#[cfg(feature = "bundled")]
pub(crate) use sequence::{Sequence, check_prompt, common_prefix};
pub use shared::{SharedPair, lock};
