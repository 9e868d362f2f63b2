//! Does an answer still answer its query? A model is shown the answer and is to say what was asked.
//!
//! The query is compared with others by how much likelier the answer makes each:
//! `ln p(query | answer) - ln p(query)`, which by Bayes' rule is, but for a constant, the log-probability that this
//! query was the one that was answered. What counts is whether the query is ahead of all the others. So an answer
//! that would do for any query ("I'm glad I could help!") is found by chance only.

use std::path::Path;

use sda::engine::{Engine, Prompts};
use sda::host::Token;
use sda::llama::{ContextOptions, Model};
use sda::steer::temper;
use sda::text::{Message, Role, TemplateVariables};

use super::run::Run;
use crate::failure::Outcome;
use crate::fingerprint::{ModelIdentity, RecognitionIdentity};
use crate::load;
use crate::record::Recognition;

/// How many queries there are beside the one that was answered.
pub const OTHERS: usize = 7;

/// Stands for the answer while the prompt is rendered: a character that no template has a use for.
const ANSWER: &str = "\u{fffc}";

/// What the model is asked.
const QUESTION: &str = "Here is an answer that somebody gave:\n\n\u{fffc}\n\nWhat was the request? Reply with the \
                        request alone, as short as it was.";

/// Which model it is. It is loaded when there is an answer to show it: never in a run whose results are there.
pub struct QueryModel<'p> {
    path: &'p Path,
    identity: ModelIdentity,
}

/// The loaded model.
pub struct Reader {
    engine: Engine,
    name: String,
    /// The prompt before and after the answer.
    around: [Vec<Token>; 2],
    /// One row of log-probabilities.
    row: Vec<f32>,
}

impl<'p> QueryModel<'p> {
    pub fn new(run: &Run, path: &'p Path) -> Outcome<QueryModel<'p>> {
        Model::check_file(path)?;
        Ok(QueryModel { path, identity: ModelIdentity::of_file(path, &run.args.common.model.load) })
    }

    /// What results depend on.
    pub fn identity<'a>(&self, others: &'a [&'a str]) -> RecognitionIdentity<'a> {
        RecognitionIdentity { model: self.identity.clone(), others }
    }

    pub fn load(&self, run: &Run) -> Outcome<Reader> {
        let (path, args) = (self.path, &run.args.common.model.load);
        let model = load::model(path, args, &run.session.log, &run.session.interrupt)?;
        run.session.interrupt.begin();
        let prompt = match model.template(None, &TemplateVariables::default())? {
            Some(template) => template.render(&[Message::new(Role::User, QUESTION.to_owned())], true)?,
            None => format!("{QUESTION}\n\nRequest: "),
        };
        let (before, after) = prompt.split_once(ANSWER).unwrap_or((&prompt, ""));
        let around = [model.tokenize_prompt(before)?, model.tokenize(after, true)?];
        let options = ContextOptions { n_threads: args.threads, ..ContextOptions::default() };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let row = vec![0.0; model.n_vocab()];
        Ok(Reader { engine: Engine::new(&model, 0, &options)?, name, around, row })
    }
}

impl Reader {
    /// Compares the query that was answered with others.
    pub fn recognise(&mut self, answer: &str, query: &str, others: &[&str]) -> sda::Result<Recognition> {
        let mut lifts = Vec::with_capacity(1 + others.len());
        for query in std::iter::once(&query).chain(others) {
            lifts.push(self.lift(answer, query)?);
        }
        let query_found = lifts[1..].iter().all(|&other| other < lifts[0]);
        Ok(Recognition { query_found, lifts, query_model: self.name.clone() })
    }

    /// How much likelier the answer makes a query, in nats.
    fn lift(&mut self, answer: &str, query: &str) -> sda::Result<f64> {
        let model = self.engine.model().clone();
        // Without control tokens: an answer cannot end the turn that it is quoted in.
        let prompt = |answer: &str| -> sda::Result<Vec<Token>> {
            let [before, after] = &self.around;
            Ok([&before[..], &model.tokenize(answer, false)?, after].concat())
        };
        let prompts = Prompts::new(prompt("")?, prompt(answer)?);
        let query = model.tokenize(query, false)?;
        let row = &mut self.row;
        let mut lift = 0.0;
        self.engine.continuation(&prompts, &query, &mut |n, without, with| {
            let mut log_prob = |logits: &[f32]| -> sda::Result<f64> {
                temper(logits, 1.0, row)?;
                Ok(f64::from(row[query[n] as usize]))
            };
            lift += log_prob(with)? - log_prob(without)?;
            Ok(())
        })?;
        Ok(lift)
    }
}
