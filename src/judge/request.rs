//! What a judge is asked to score.

use crate::error::{Error, Result};
use crate::quality::Quality;

/// What a judge is asked to score.
///
/// The query and the draft are untrusted: they reach the judge only as quoted material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeRequest<'a> {
    /// What the user asked.
    pub query: &'a str,
    /// The plain answer to score, without any `<think>` part. Not blank.
    pub draft: &'a str,
    /// The instruction that the steered answer shall follow. It is the criterion when `dimension`
    /// is `None`, and must then not be blank.
    pub instruction: &'a str,
    /// One of the built-in qualities, or `None` to judge by `instruction`.
    pub dimension: Option<Quality>,
}

impl JudgeRequest<'_> {
    /// Checks that there is something to score and something to score it by.
    ///
    /// A blank draft is an [`Error::Judge`], since models do give blank answers and the caller's
    /// [`OnFailure`](super::OnFailure) policy covers that; a missing criterion is an [`Error::Param`].
    pub fn validate(&self) -> Result<()> {
        if self.dimension.is_none() && self.instruction.trim().is_empty() {
            return Err(Error::param(
                "instruction",
                "blank",
                "text when no dimension is given, since the judge scores by one of the two",
            ));
        }
        if self.draft.trim().is_empty() {
            return Err(Error::Judge { reason: "the draft is blank, there is nothing to score".into() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_a_draft_and_a_criterion() {
        let ok = JudgeRequest { query: "", draft: "d", instruction: "be brief", dimension: None };
        assert!(ok.validate().is_ok());
        assert!(
            JudgeRequest { instruction: " ", dimension: Some(Quality::Empathy), ..ok }.validate().is_ok()
        );
        assert!(matches!(JudgeRequest { instruction: " ", ..ok }.validate(), Err(Error::Param { .. })));
        assert!(matches!(JudgeRequest { draft: "\n ", ..ok }.validate(), Err(Error::Judge { .. })));
    }
}
