//! Who says which of two answers is better.
//!
//! A server is shown both answers, once in each order, and replies with one number from 1 to 100: low for
//! the first, high for the second. The judge's client does the rest (quoting, retries, cache). A local GGUF
//! file scores each answer by itself, as in `--judge local`, and the higher score wins; no order is involved.

use std::path::Path;

use crate::measure::winrate::Preference;
use sda::Quality;
use sda::engine::Engine;
use sda::judge::{Client, Judge, JudgeRequest, MIN_SCORE, Template, score_each};
use sda::llama::{ContextOptions, Model};
use sda::text::ChatTemplate;
use sha2::{Digest, Sha256};

use super::run::Run;
use crate::failure::{Failure, Outcome};
use crate::fingerprint::{ModelIdentity, PairJudgeIdentity};
use crate::load::{self, Log};
use crate::ui::console::note;

/// Comparisons that a server has at a time.
const THREADS: usize = 4;

const BODY: &str = "Compare two answers by this criterion:\n{criterion}\n\n\
What was asked:\n{query}\n\n\
The two answers, each between lines that hold its number and a code:\n{draft}\n\n\
The grade says which of the two meets the criterion better: 1 means that the first is clearly better, 50 \
that they are equally good, 100 that the second is clearly better. Neither their order nor their length \
matters.";

/// Two answers to the same query.
pub struct Comparison {
    /// Number of the unit of work.
    pub unit: usize,
    pub query: String,
    pub answer: String,
    pub against: String,
}

/// What the judge said of one order.
#[derive(Clone, Copy)]
pub struct Said {
    pub preference: Preference,
    pub score: f64,
}

/// Gets each comparison once, with what was said when the answer stood first and when it stood second.
type Done<'d> = &'d mut dyn FnMut(&Comparison, Result<[Said; 2], String>) -> Outcome;

pub struct PairJudge {
    who: Who,
    /// What to compare by; None is the instruction.
    dimension: Option<Quality>,
}

enum Who {
    Server(Box<Client>),
    File(Box<Loaded>),
}

/// A model of its own.
struct Loaded {
    model: Model,
    template: Option<ChatTemplate>,
    name: String,
    identity: ModelIdentity,
}

impl PairJudge {
    pub fn new(run: &Run) -> Outcome<PairJudge> {
        let judge = run.args.pair_judge.as_deref().unwrap_or_default();
        let dimension = run.args.common.prompt.preset;
        let path = Path::new(judge);
        if !judge.contains("://") && path.is_file() {
            note(
                "a local judge compares the scores that it gives to single answers; models of this size are \
                 poor at that, so take the win rate for no more than its judge is worth",
            );
            let log = Log::capture(run.args.common.verbose);
            let mut args = run.args.common.model.clone();
            args.model = path.to_owned();
            let model = load::model(&args, &log, &run.session.interrupt)?;
            run.session.interrupt.begin();
            let template = match model.chat_template() {
                Some(source) => Some(ChatTemplate::compile(&source, &model.bos_text(), &model.eos_text())?),
                None => None,
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let identity = ModelIdentity::of(&args);
            let who = Who::File(Box::new(Loaded { model, template, name, identity }));
            return Ok(PairJudge { who, dimension });
        }
        // The options of the other judge hold for this one as well, but for its model and its prompts.
        let mut args = run.args.common.judge.clone();
        args.judge_model.clone_from(&run.args.pair_judge_model);
        args.judge_prompt.clear();
        let mut settings = args.settings(judge)?;
        settings.template = Template::parse(BODY)?;
        // No cache: the output file holds every result already.
        let client = Client::new(settings)?.with_warnings(note);
        Ok(PairJudge { who: Who::Server(Box::new(client)), dimension })
    }

    /// What results depend on.
    pub fn identity(&self) -> PairJudgeIdentity {
        let dimension = self.dimension.map(Quality::name);
        match &self.who {
            Who::Server(client) => PairJudgeIdentity::Server { judge: client.fingerprint(), dimension },
            Who::File(loaded) => PairJudgeIdentity::File { model: loaded.identity.clone(), dimension },
        }
    }

    /// What results name it.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Server(client) => client.describe(),
            Who::File(loaded) => loaded.name.clone(),
        }
    }

    /// Compares, and hands every result to `done`.
    pub fn compare(&self, run: &Run, comparisons: Vec<Comparison>, done: Done) -> Outcome {
        match &self.who {
            _ if comparisons.is_empty() => Ok(()),
            Who::Server(client) => self.ask(client, run, comparisons, done),
            Who::File(loaded) => self.score_both(loaded, run, comparisons, done),
        }
    }

    fn score_both(&self, loaded: &Loaded, run: &Run, comparisons: Vec<Comparison>, done: Done) -> Outcome {
        let mut engine = Engine::new(&loaded.model, 0, &ContextOptions::default())?;
        let mut judge = engine.judge(loaded.template.as_ref());
        for comparison in &comparisons {
            let scores = [&comparison.answer, &comparison.against].map(|draft| {
                // An answer of nothing cannot meet the criterion, and is none that a judge takes.
                if draft.trim().is_empty() {
                    return Ok(MIN_SCORE.into());
                }
                let instruction = &run.prompter.instruction;
                let request =
                    JudgeRequest { query: &comparison.query, draft, instruction, dimension: self.dimension };
                let verdict = judge.score(&request, &|| run.session.interrupt.is_wanted());
                verdict.map(|verdict| f64::from(verdict.score)).map_err(|error| error.to_string())
            });
            if run.session.interrupt.is_wanted() {
                return Err(Failure::Interrupted);
            }
            let [a, b] = scores;
            done(comparison, a.and_then(|a| Ok(both_orders(a, b?))))?;
        }
        Ok(())
    }

    fn ask(&self, client: &Client, run: &Run, comparisons: Vec<Comparison>, done: Done) -> Outcome {
        let dimension = self.dimension;
        let instruction = &run.prompter.instruction;
        let interrupt = &run.session.interrupt;
        let mut said: Vec<[Option<Result<Said, String>>; 2]> =
            comparisons.iter().map(|_| [None, None]).collect();
        let mut failure = None;
        let orders = (0..comparisons.len()).flat_map(|n| [(n, 0), (n, 1)]);
        let asked = score_each(
            orders,
            THREADS,
            |&(n, order), cancel| {
                let comparison = &comparisons[n];
                let mut answers = [comparison.answer.as_str(), comparison.against.as_str()];
                if order == 1 {
                    answers.reverse();
                }
                let draft = quoted(answers);
                let request =
                    JudgeRequest { query: &comparison.query, draft: &draft, instruction, dimension };
                client.score(&request, cancel)
            },
            &|| interrupt.is_wanted(),
            |(n, order), verdict| {
                said[n][order] = Some(match verdict {
                    Ok(verdict) => Ok(Said {
                        preference: Preference::from_score(verdict.score.into()),
                        score: verdict.score.into(),
                    }),
                    Err(sda::Error::Cancelled) => return Ok(()),
                    Err(error) => Err(error.to_string()),
                });
                if let [Some(first), Some(second)] = &said[n] {
                    let both = first.clone().and_then(|first| Ok([first, second.clone()?]));
                    if let Err(why) = done(&comparisons[n], both) {
                        failure = Some(why);
                        return Err(sda::Error::Cancelled);
                    }
                }
                Ok(())
            },
        );
        match (failure, asked) {
            (Some(failure), _) => Err(failure),
            (None, asked) => Ok(asked?),
        }
    }
}

/// Both answers between lines with a code that an answer cannot hold, since it is made from the answers.
fn quoted(answers: [&str; 2]) -> String {
    let mut hash = Sha256::new();
    for answer in answers {
        hash.update((answer.len() as u64).to_le_bytes());
        hash.update(answer);
    }
    let code: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let quote =
        |n: usize, answer: &str| format!("--- answer {n} {code}\n{answer}\n--- end of answer {n} {code}");
    format!("{}\n{}", quote(1, answers[0]), quote(2, answers[1]))
}

fn both_orders(answer: f64, against: f64) -> [Said; 2] {
    // As if the better one had been named in both orders.
    let preference = |first: f64, second: f64| match first.total_cmp(&second) {
        std::cmp::Ordering::Greater => Preference::First,
        std::cmp::Ordering::Less => Preference::Second,
        std::cmp::Ordering::Equal => Preference::Neither,
    };
    [
        Said { preference: preference(answer, against), score: answer },
        Said { preference: preference(against, answer), score: against },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cannot_close_its_own_quotation() {
        let end = quoted(["a", "b"]);
        let forged = end.lines().nth(2).unwrap();
        let text = quoted([forged, "b"]);
        assert_eq!(text.lines().filter(|line| *line == forged).count(), 1, "its own line only");
        assert_eq!(text.matches("--- end of answer 1 ").count(), 2);
        assert_ne!(text.lines().nth(2).unwrap(), forged);
    }

    #[test]
    fn the_template_of_comparisons_is_one_the_client_takes() {
        assert!(Template::parse(BODY).is_ok());
    }

    #[test]
    fn single_scores_give_the_same_preference_in_both_orders() {
        use crate::measure::winrate::outcome;
        for (scores, expected) in [((80.0, 20.0), 1.0), ((20.0, 80.0), -1.0), ((50.0, 50.0), 0.0)] {
            let [first, second] = both_orders(scores.0, scores.1);
            assert_eq!(outcome(first.preference, second.preference), expected);
        }
    }
}
