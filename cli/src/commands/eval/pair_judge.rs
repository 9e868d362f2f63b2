//! Who says which of two answers is better.
//!
//! A server is shown both answers, once in each order, and replies with one number from 1 to 100: low for
//! the first, high for the second. The judge's client does the rest (quoting, retries, cache). A model in a GGUF
//! file scores each answer by itself, as in `--judge FILE`, and the higher score wins; no order is involved.

use crate::measure::winrate::Preference;
use sda::Quality;
use sda::judge::{Client, Judge, JudgeRequest, MIN_SCORE, Template, score_each};
use sda::llama::Model;
use sha2::{Digest, Sha256};

use super::args::EvalArgs;
use super::run::Run;
use crate::args::judge::JudgeAt;
use crate::assess::{Assessor, Who as Scorer};
use crate::failure::{Failure, Outcome};
use crate::fingerprint::{ModelIdentity, PairJudgeIdentity};
use crate::judge_file::FileJudge;
use crate::session::Session;
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
    File(Box<FileJudge>),
}

impl PairJudge {
    pub fn new(args: &EvalArgs, judge: &JudgeAt) -> Outcome<PairJudge> {
        let common = &args.common;
        let dimension = common.prompt.preset;
        let who = match args.model_file(judge) {
            Some(path) => {
                Who::File(Box::new(FileJudge::new("--pair-judge", path, &common.judge, &common.model.load)?))
            }
            None => {
                // The options of the other judge hold for this one as well, but for its model and its prompts.
                let mut judge_args = common.judge.clone();
                judge_args.judge_model.clone_from(&args.pair_judge_model);
                judge_args.judge_prompt.clear();
                let mut settings = judge_args.settings(&judge.to_string())?;
                settings.template = Template::parse(BODY)?;
                // No cache: the output file holds every result already.
                Who::Server(Box::new(Client::new(settings)?.with_warnings(note)))
            }
        };
        Ok(PairJudge { who, dimension })
    }

    /// Loads a judge in a file, unless it is the model that answers or the one that scores drafts.
    pub fn load(
        &self,
        session: &Session,
        model: &Model,
        scorer: Option<&Assessor>,
        branch: usize,
    ) -> Outcome {
        let Who::File(judge) = &self.who else { return Ok(()) };
        note(
            "a model in a file compares the scores that it gives to single answers; small models are poor at that, \
             so take the win rate for no more than its judge is worth",
        );
        let other = match scorer.map(|scorer| &scorer.who) {
            Some(Scorer::File(other)) => other.model(),
            _ => None,
        };
        let loaded: Vec<&Model> = std::iter::once(model).chain(&other).collect();
        judge.load(session, &loaded, branch)
    }

    /// What results depend on.
    pub fn identity(&self) -> PairJudgeIdentity {
        let dimension = self.dimension.map(Quality::name);
        match &self.who {
            Who::Server(client) => PairJudgeIdentity::Server { judge: client.fingerprint(), dimension },
            Who::File(judge) => PairJudgeIdentity::File { model: ModelIdentity::of_judge(judge), dimension },
        }
    }

    /// What results name it.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Server(client) => client.describe(),
            Who::File(judge) => judge.name(),
        }
    }

    /// Compares, and hands every result to `done`.
    pub fn compare(&self, run: &Run, comparisons: Vec<Comparison>, done: Done) -> Outcome {
        match &self.who {
            _ if comparisons.is_empty() => Ok(()),
            Who::Server(client) => self.ask(client, run, comparisons, done),
            Who::File(judge) => self.score_both(judge, run, comparisons, done),
        }
    }

    fn score_both(&self, judge: &FileJudge, run: &Run, comparisons: Vec<Comparison>, done: Done) -> Outcome {
        let mut judge = judge.judge(|_, _| ());
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
