//! Text on its way into and out of the model: chat templates, the prompt pair, `<think>` blocks, stop texts and UTF-8. Pure text, no llama.cpp.

mod pair;
mod several;
mod stop;
mod template;
mod think;
mod utf8;

pub use pair::{InstructionPlacement, PairBuilder, PromptPair, Turn};
pub use several::{Instruction, PromptSet};
pub use stop::StopMatcher;
pub use template::{ChatTemplate, Message, Role, TemplateVariables};
pub use think::{Stripped, ThinkTracker, is_think_tag, strip_think};
pub use utf8::Utf8Stream;
