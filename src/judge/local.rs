//! What the loaded model is asked when it is its own judge.

use super::JudgeRequest;
use super::defuse::defuse_tokens;

/// The question to a loaded model that judges a draft itself, as one user message. The reply that is asked
/// for is a number and nothing else.
///
/// It is short, since small models make more of plain words than of rules: a quality of the request is put
/// in the words of its instruction, not of its long criterion. Control tokens are broken in all of the
/// request's texts, those by their shape and those in `control_tokens`, the texts of the control tokens of
/// the model's vocabulary.
pub fn local_question(request: &JudgeRequest<'_>, control_tokens: &[String]) -> String {
    let quoted = |text: &str| defuse_tokens(text.trim(), control_tokens);
    let instruction = request.dimension.map_or(request.instruction, |quality| quality.instruction());
    format!(
        "Rate an answer on a scale from 1 to 100.\n\n\
         Question: {}\n\n\
         The answer should meet this requirement: {}\n\n\
         Answer: {}\n\n\
         How well does the answer meet the requirement? 100 means perfectly, 1 means not at all. \
         Write only the number.",
        quoted(request.query),
        quoted(instruction),
        quoted(request.draft),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Quality;

    #[test]
    fn a_quality_is_put_in_the_words_of_its_instruction() {
        let request =
            JudgeRequest { query: "Q", draft: "D", instruction: "I", dimension: Some(Quality::Empathy) };
        let question = local_question(&request, &[]);
        assert!(question.contains(Quality::Empathy.instruction()) && !question.contains("requirement: I"));
        let question = local_question(&JudgeRequest { dimension: None, ..request }, &[]);
        assert!(question.contains("this requirement: I\n"), "{question}");
    }
}
