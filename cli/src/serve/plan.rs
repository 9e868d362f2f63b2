//! From a request and the command line to the work: the one place where both become jobs.

use sda::engine::{Arm, Generation, Prompts};
use sda::text::{Instruction, PromptPair, PromptSet};
use sda::{Quality, Strength};

use super::app::{App, Loaded};
use super::error::ApiError;
use super::request::{Common, JudgeWish, Prompt, Talk, new_seed};
use super::told::Steering;
use crate::input::Fields;
use crate::prompts::Asked;
use crate::strength::Source;

/// What is asked: a conversation or a text.
pub enum Question {
    Chat { talk: Talk, variables: Fields },
    Text { field: String, prompt: Prompt },
}

/// The work for a request.
pub struct Plan {
    /// One for each prompt.
    pub parts: Vec<Part>,
    /// Answers to each.
    pub n: usize,
    /// How they are generated, but for the strength; the seed is that of the first.
    pub settings: Generation,
    pub cache_prompt: bool,
}

/// One prompt.
pub struct Part {
    pub prompts: Prompts,
    pub how: How,
}

/// How a prompt's answers are steered.
pub enum How {
    Known(Steering),
    /// A judge has yet to score a draft.
    Judged(Judging),
}

/// What a judge needs to know.
pub struct Judging {
    pub query: String,
    pub instruction: String,
    pub dimension: Option<Quality>,
    /// The loaded model is to score, whoever the command line names.
    pub local: bool,
    pub amplify: sda::amplify::Amplify,
}

impl Plan {
    pub fn choices(&self) -> usize {
        self.parts.len() * self.n
    }

    /// The part that a choice answers.
    pub fn part_of(&self, choice: usize) -> usize {
        choice / self.n
    }

    /// The seed of a choice.
    pub fn seed(&self, choice: usize) -> u32 {
        self.settings.sampling.seed.wrapping_add((choice % self.n) as u32)
    }
}

/// Makes the plan; `logprobs` is the number of alternatives that log-probabilities are wanted with.
pub fn plan(
    app: &App,
    loaded: &Loaded,
    common: &Common,
    questions: &[Question],
    logprobs: Option<usize>,
) -> Result<Plan, ApiError> {
    let args = &app.args.common;
    let mut settings = app.session.settings.clone();
    if args.sampling.seed < 0 {
        settings.sampling.seed = new_seed();
    }
    common.apply(&loaded.model, &mut settings)?;
    settings.trace = common.sda.trace.unwrap_or(false);
    let traced = if settings.trace { common.sda.trace_top.unwrap_or(args.trace_top) } else { 0 };
    // The log-probability of the drawn token comes with the likeliest ones.
    settings.trace_top = (traced as usize).max(logprobs.map_or(0, |top| top.max(1)));
    let parts = questions.iter().map(|question| {
        let (set, prompts) = prompts(app, loaded, common, question)?;
        let how = how(app, loaded, common, question, &set, &settings)?;
        let part = Part { prompts, how };
        part.check(loaded)?;
        Ok(part)
    });
    let parts = parts.collect::<Result<_, ApiError>>()?;
    let cache_prompt = common.cache_prompt.unwrap_or(!app.args.server.no_cache_prompt);
    Ok(Plan { parts, n: common.answers()?, settings, cache_prompt })
}

impl Part {
    /// Refuses what has no room.
    fn check(&self, loaded: &Loaded) -> Result<(), ApiError> {
        let prompts = &self.prompts;
        let (needed, singles) = match &self.how {
            How::Known(Steering { arm: Arm::Plain, .. }) => (prompts.plain.len(), 0),
            How::Known(Steering { arm: Arm::Instructed, .. }) => (prompts.instructed.len(), 0),
            _ => (prompts.longest(), prompts.singles.len()),
        };
        if needed >= loaded.n_ctx {
            return Err(sda::Error::ContextFull { needed: needed + 1, available: loaded.n_ctx }.into());
        }
        if singles > loaded.n_singles {
            let allowed =
                format!("fewer: there is room for {} (--max-instructions)", loaded.n_singles.max(1));
            return Err(ApiError::field("sda.instruction", format!("{singles} to steer by"), &allowed));
        }
        Ok(())
    }
}

/// The instructions of the request, or else those of the command line.
fn instructions(loaded: &Loaded, common: &Common) -> Result<Vec<Instruction>, ApiError> {
    let given = match (&common.sda.instruction, common.sda.preset()?) {
        (Some(instructions), _) => instructions.0.clone(),
        (None, Some(preset)) => vec![Instruction::new(preset.instruction())],
        (None, None) => loaded.prompter.instructions.clone(),
    };
    // An empty one says that there is none.
    Ok(given.into_iter().filter(|instruction| !instruction.text.is_empty()).collect())
}

/// The prompts, as text and as tokens.
pub fn prompts(
    app: &App,
    loaded: &Loaded,
    common: &Common,
    question: &Question,
) -> Result<(PromptSet, Prompts), ApiError> {
    let instructions = instructions(loaded, common)?;
    let negative = common.negative()?;
    let placement = common.sda.placement()?;
    let set = match question {
        Question::Chat { talk, variables } => {
            let asked = loaded.prompter.asked(&talk.history, &talk.query);
            let own = (!variables.is_empty())
                .then(|| app.session.texts.template_with(&loaded.model, variables))
                .transpose()?
                .flatten();
            let asked = Asked {
                template: own.as_ref().or(asked.template),
                system: talk.system.as_deref().or(asked.system),
                instructions: &instructions,
                negative: negative.unwrap_or(asked.negative),
                placement: placement.or(asked.placement),
                ..asked
            };
            asked.prompts()?
        }
        Question::Text { prompt: Prompt::Text(text), .. } => {
            let asked = loaded.prompter.asked(&[], text);
            let asked = Asked {
                template: None,
                system: None,
                instructions: &instructions,
                negative: negative.map_or(asked.negative, |_| ""),
                placement: placement.or(asked.placement),
                ..asked
            };
            let mut set = asked.prompts()?;
            if let Some(negative) = negative {
                set.pair.plain = negative.to_owned();
            }
            set
        }
        Question::Text { field, prompt: Prompt::Tokens(tokens) } => {
            return of_tokens(loaded, field, tokens, &instructions, negative);
        }
    };
    let prompts = Prompts::of(&set, &loaded.model)?;
    Ok((set, prompts))
}

/// The prompts of a text that is tokens already: nothing can be put into it.
fn of_tokens(
    loaded: &Loaded,
    field: &str,
    tokens: &[sda::host::Token],
    instructions: &[Instruction],
    negative: Option<&str>,
) -> Result<(PromptSet, Prompts), ApiError> {
    if !instructions.is_empty() {
        return Err(ApiError::field(field, "a list of tokens", "a text where there is an instruction"));
    }
    let n_vocab = loaded.model.n_vocab();
    if let Some(token) = tokens.iter().find(|token| !usize::try_from(**token).is_ok_and(|t| t < n_vocab)) {
        let allowed = format!("tokens of at least 0 and less than {n_vocab}");
        return Err(ApiError::field(field, format!("a list with {token}"), &allowed));
    }
    let instructed = loaded.model.text(tokens);
    let plain = negative.map_or(instructed.clone(), str::to_owned);
    let plain_tokens = match negative {
        Some(negative) => loaded.model.tokenize_prompt(negative)?,
        None => tokens.to_vec(),
    };
    let pair = PromptPair { plain, instructed, thinking: false };
    Ok((pair.into(), Prompts::new(plain_tokens, tokens.to_vec())))
}

/// How the answers to a prompt are steered.
fn how(
    app: &App,
    loaded: &Loaded,
    common: &Common,
    question: &Question,
    set: &PromptSet,
    settings: &Generation,
) -> Result<How, ApiError> {
    let base = &settings.params;
    let args = &app.args.common;
    let sda = &common.sda;
    let amplify = sda.amplify()?.unwrap_or(args.steering.amplify);
    let guidance = common.scale()?.or(sda.guidance);
    let asks_nobody = sda.judge == Some(JudgeWish::No);
    let given = match (guidance, sda.amplification, sda.score, &app.source) {
        (Some(guidance), ..) => Some(Strength::guidance(guidance)),
        (_, Some(amplification), ..) => Some(Strength::amplification(amplification)),
        (_, _, Some(score), _) => Some(Strength::score(score, amplify)),
        _ if sda.judge.is_some() && !asks_nobody => None,
        (.., Source::Judged(_)) if !asks_nobody => None,
        (.., Source::Judged(_)) => Some(args.steering.default_strength()),
        // The function may be the request's.
        (.., Source::Given(strength)) => {
            Some(strength.of_score().map_or(*strength, |score| Strength::score(score, amplify)))
        }
    };
    let is_from_request = guidance.is_some() || sda.amplification.is_some() || sda.score.is_some();
    let scale = if is_from_request { guidance } else { args.steering.guidance };
    // A wrong one is told where nothing is steered, too.
    let params = given.map(|strength| strength.apply(base)).transpose();
    let params = params.map_err(|error| ApiError::from(error).within("sda"))?;
    if sda.judge == Some(JudgeWish::Yes) && !matches!(app.source, Source::Judged(_)) {
        return Err(ApiError::field("sda.judge", "true", "\"local\": the server has no judge (--judge)"));
    }
    if set.pair.plain == set.pair.instructed && set.singles.is_empty() {
        return Ok(How::Known(Steering::none(Arm::Plain, base)));
    }
    match given.zip(params) {
        Some(_) if scale == Some(1.0) => Ok(How::Known(Steering::none(Arm::Instructed, base))),
        Some((strength, params)) => {
            let score = strength.of_score();
            let steering = Steering { params, score, ..Steering::none(Arm::Steered, base) };
            Ok(How::Known(steering))
        }
        None => judged(app, loaded, common, question, amplify).map(How::Judged),
    }
}

/// What the judge is to score by.
fn judged(
    app: &App,
    loaded: &Loaded,
    common: &Common,
    question: &Question,
    amplify: sda::amplify::Amplify,
) -> Result<Judging, ApiError> {
    let args = &app.args.common;
    let own = common.sda.instruction.is_some();
    let preset = common.sda.preset()?.or(if own { None } else { args.prompt.preset });
    let dimension = args.judge.dimension(preset);
    let instruction = Instruction::joined(&instructions(loaded, common)?);
    if dimension.is_none() && instruction.trim().is_empty() {
        return Err(ApiError::field("sda.judge", "without an instruction to score by", "given with one"));
    }
    let query = match question {
        Question::Chat { talk, .. } => talk.query.clone(),
        Question::Text { prompt: Prompt::Text(text), .. } => text.clone(),
        Question::Text { prompt: Prompt::Tokens(tokens), .. } => loaded.model.text(tokens),
    };
    Ok(Judging { query, instruction, dimension, local: common.sda.judge == Some(JudgeWish::Local), amplify })
}
