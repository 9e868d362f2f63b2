//! Drafts that come in, and scores that go out in the same records.

use serde::{Deserialize, Serialize};

use super::Instructions;
use super::trace::Assessed;

/// A record of `sda score`.
#[derive(Clone, Debug, Deserialize)]
pub struct Draft {
    pub query: Option<String>,
    /// What is scored; None is to be written.
    pub draft: Option<String>,
    /// Another name for `draft`.
    pub answer: Option<String>,
    /// What to score by, in place of the command line's.
    pub instruction: Option<Instructions>,
    pub dimension: Option<String>,
}

/// A score, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    #[serde(flatten)]
    pub assessed: Assessed,
    /// The draft, where the record did not bring one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}
