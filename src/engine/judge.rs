//! The loaded model as a [`Judge`].

use super::{Batch, Engine, ScoreDistribution};
use crate::branch::Progress;
use crate::error::{Error, Result};
use crate::host::Token;
use crate::judge::{Judge, JudgeRequest, Verdict, local_question};
use crate::llama::Model;
use crate::text::{ChatTemplate, Message, Role};

/// Where the model continues with the number.
const LEAD: &str = "Score: ";

/// What can read a judge prompt beside its prompt pairs.
trait Reader {
    fn model(&self) -> &Model;
    fn read(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution>;
}

impl Reader for Engine {
    fn model(&self) -> &Model {
        Engine::model(self)
    }

    fn read(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        self.score(judge_prompt, progress)
    }
}

impl Reader for Batch {
    fn model(&self) -> &Model {
        Batch::model(self)
    }

    fn read(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        self.score(judge_prompt, progress)
    }
}

/// The loaded model as its own judge: the score is the number that it expects to write, see
/// [`ScoreDistribution`]. Made by [`Engine::judge`] and [`Batch::judge`], for as long as nothing is generated.
pub struct LocalJudge<'a> {
    reader: &'a mut dyn Reader,
    template: Option<&'a ChatTemplate>,
    progress: Box<dyn FnMut(usize, usize) + 'a>,
}

impl Engine {
    /// The model as a judge. `template` is its chat template; None asks in raw text.
    pub fn judge<'a>(&'a mut self, template: Option<&'a ChatTemplate>) -> LocalJudge<'a> {
        LocalJudge { reader: self, template, progress: Box::new(|_, _| {}) }
    }
}

impl Batch {
    /// The model as a judge between two runs, as [`Engine::judge`] is.
    pub fn judge<'a>(&'a mut self, template: Option<&'a ChatTemplate>) -> LocalJudge<'a> {
        LocalJudge { reader: self, template, progress: Box::new(|_, _| {}) }
    }
}

impl<'a> LocalJudge<'a> {
    /// Has `progress` called with the tokens of the judge's prompt that were read, and with all of them.
    #[must_use]
    pub fn with_progress(mut self, progress: impl FnMut(usize, usize) + 'a) -> LocalJudge<'a> {
        self.progress = Box::new(progress);
        self
    }

    /// The prompt for a request, ending where the number follows. Control tokens of the model stand where its
    /// chat template puts them, and nowhere in the request's texts.
    ///
    /// # Errors
    /// Those of [`JudgeRequest::validate`] and [`ChatTemplate::render`].
    pub fn prompt(&self, request: &JudgeRequest<'_>) -> Result<Vec<Token>> {
        request.validate()?;
        let model = self.reader.model();
        let question = local_question(request, model.control_texts());
        let lead = match self.template {
            Some(template) => template.render(&[Message::new(Role::User, question)], true)?,
            None => format!("{question}\n\n"),
        };
        model.tokenize_prompt(&(lead + LEAD))
    }
}

impl Judge for LocalJudge<'_> {
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        let prompt = self.prompt(request)?;
        let progress = &mut self.progress;
        let read = self.reader.read(&prompt, &mut |done, total| {
            progress(done, total);
            !cancel()
        });
        let distribution = read.map_err(|error| match error {
            // A draft that is too long to be judged is one that has no score.
            Error::ContextFull { .. } => Error::Judge { reason: error.to_string() },
            other => other,
        })?;
        let verdict = Verdict::from_samples(vec![distribution.expected() as f32])?;
        Ok(Verdict { deviation: Some(distribution.deviation()), ..verdict })
    }

    fn describe(&self) -> String {
        "local".to_owned()
    }
}
