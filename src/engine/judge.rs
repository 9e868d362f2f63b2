//! A loaded model as a [`Judge`]: the one that answers, or another one beside it.

use std::path::Path;

use super::local_judge::{ScoreDistribution, score};
use super::{Batch, Engine, branch_length};
use crate::branch::Progress;
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::judge::{Judge, JudgeRequest, Verdict, local_question};
use crate::llama::{ContextOptions, MAX_CELLS, Model};
use crate::text::{ChatTemplate, Message, Role, TemplateVariables};

/// Where the model continues with the number.
const LEAD: &str = "Score: ";

/// Tokens of a number that are read after the prompt: 100 may be three of one digit, the last is not read.
pub(super) const NUMBER_TOKENS: usize = 2;

/// The one sequence of a [`JudgeModel`].
const JUDGE_SEQ: SeqId = 0;

/// What can read a judge prompt.
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

/// A loaded model as a judge: the score is the number that it expects to write, see [`ScoreDistribution`]. Made by
/// [`Engine::judge`] and [`Batch::judge`], for as long as nothing is generated, and by [`JudgeModel::judge`].
pub struct LocalJudge<'a> {
    reader: &'a mut dyn Reader,
    template: Option<&'a ChatTemplate>,
    name: String,
    /// Name of the setting that makes room for a longer prompt.
    n_ctx_name: &'static str,
    progress: Box<dyn FnMut(usize, usize) + 'a>,
}

impl Engine {
    /// The model as its own judge. `template` is its chat template; None asks in raw text.
    pub fn judge<'a>(&'a mut self, template: Option<&'a ChatTemplate>) -> LocalJudge<'a> {
        LocalJudge::new(self, template, "local".to_owned())
    }
}

impl Batch {
    /// The model as its own judge between two runs, as [`Engine::judge`] is.
    pub fn judge<'a>(&'a mut self, template: Option<&'a ChatTemplate>) -> LocalJudge<'a> {
        LocalJudge::new(self, template, "local".to_owned())
    }
}

/// A model that judges, beside the one that answers: the paper's evaluator, without a server. It has a context of its
/// own and keeps its model. May move between threads; not used by two at once.
pub struct JudgeModel {
    reader: JudgeContext,
    template: Option<ChatTemplate>,
}

/// The context of a [`JudgeModel`], with one sequence.
struct JudgeContext {
    context: Context,
    model: Model,
    n_ctx: usize,
}

impl Reader for JudgeContext {
    fn model(&self) -> &Model {
        &self.model
    }

    fn read(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        // llama.cpp rounds a context up; what fits is what was asked for.
        if judge_prompt.len() > self.n_ctx {
            return Err(Error::ContextFull { needed: judge_prompt.len(), available: self.n_ctx });
        }
        score(&self.model, &mut self.context, JUDGE_SEQ, judge_prompt, progress)
    }
}

impl JudgeModel {
    /// Makes the context. `n_ctx` is the most tokens that a judge's prompt can have, which holds query, instruction
    /// and draft (0: the model's training length, at most [`DEFAULT_N_CTX`](super::DEFAULT_N_CTX)).
    /// `options.n_ctx` and `options.n_seq_max` are set from it. The prompt is put into the model's own chat template;
    /// a model without one gets raw text.
    ///
    /// # Errors
    /// [`Error::Model`] without memory, [`Error::Prompt`] for a template that does not compile.
    pub fn new(model: &Model, n_ctx: usize, options: &ContextOptions) -> Result<JudgeModel> {
        let n_ctx = branch_length(model, n_ctx);
        let most = MAX_CELLS as usize - NUMBER_TOKENS;
        if n_ctx > most {
            return Err(Error::param("n_ctx", n_ctx, format!("at most {most}")));
        }
        let cells = (n_ctx + NUMBER_TOKENS) as u32;
        let template = model.template(None, &TemplateVariables::default())?;
        let context = model.new_context(&ContextOptions { n_ctx: cells, n_seq_max: 1, ..*options })?;
        Ok(JudgeModel { reader: JudgeContext { context, model: model.clone(), n_ctx }, template })
    }

    /// Tokens that suit a judge's prompt for drafts of a model whose branches hold `branch` tokens: as many, and 512
    /// for what stands around them, at most the judge's training length.
    pub fn default_n_ctx(model: &Model, branch: usize) -> usize {
        branch.saturating_add(512).min(model.n_ctx_train().max(1))
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.reader.model
    }

    /// The most tokens that a judge's prompt can have.
    pub fn n_ctx(&self) -> usize {
        self.reader.n_ctx
    }

    /// What records call it: the name of the model's file.
    pub fn name(&self) -> String {
        let path = Path::new(self.reader.model.path());
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The judge.
    pub fn judge(&mut self) -> LocalJudge<'_> {
        let name = self.name();
        LocalJudge::new(&mut self.reader, self.template.as_ref(), name)
    }
}

impl<'a> LocalJudge<'a> {
    fn new(reader: &'a mut dyn Reader, template: Option<&'a ChatTemplate>, name: String) -> LocalJudge<'a> {
        LocalJudge { reader, template, name, n_ctx_name: "n_ctx", progress: Box::new(|_, _| {}) }
    }

    /// Has errors name the setting that makes room for a longer prompt so, instead of n_ctx.
    #[must_use]
    pub fn with_n_ctx_name(mut self, name: &'static str) -> LocalJudge<'a> {
        self.n_ctx_name = name;
        self
    }

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
        local_prompt(self.reader.model(), self.template, request)
    }
}

/// The prompt that has a model score a draft, as [`LocalJudge::prompt`]; `template` is its chat template, None asks in raw
/// text. For [`Batch::submit_score`].
///
/// # Errors
/// Those of [`LocalJudge::prompt`].
pub fn local_prompt(
    model: &Model,
    template: Option<&ChatTemplate>,
    request: &JudgeRequest<'_>,
) -> Result<Vec<Token>> {
    request.validate()?;
    let question = local_question(request, model.control_texts());
    let lead = match template {
        Some(template) => template.render(&[Message::new(Role::User, question)], true)?,
        None => format!("{question}\n\n"),
    };
    model.tokenize_prompt(&(lead + LEAD))
}

/// What follows from reading such a prompt. `n_ctx_name` names the setting that makes room for a longer one.
///
/// # Errors
/// [`Error::Judge`] for a prompt that is too long: such a draft is one that has no score. Others are handed on.
pub fn local_verdict(read: Result<ScoreDistribution>, n_ctx_name: &str) -> Result<Verdict> {
    let distribution = read.map_err(|error| match error {
        Error::ContextFull { needed, available } => Error::Judge {
            reason: format!(
                "its prompt with query and draft has {needed} tokens, its context {available}: a larger {n_ctx_name} \
                 makes room"
            ),
        },
        other => other,
    })?;
    let verdict = Verdict::from_samples(vec![distribution.expected() as f32])?;
    Ok(Verdict { deviation: Some(distribution.deviation()), ..verdict })
}

impl Judge for LocalJudge<'_> {
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        let prompt = self.prompt(request)?;
        let progress = &mut self.progress;
        let read = self.reader.read(&prompt, &mut |done, total| {
            progress(done, total);
            !cancel()
        });
        local_verdict(read, self.n_ctx_name)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}
