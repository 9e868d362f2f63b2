//! The prompts of several instructions: plain, all that are asked for, and each by itself.

use super::pair::{PairBuilder, PromptPair};
use crate::error::{Error, Result};
use crate::steer::{MOST_INSTRUCTIONS, Weights};

/// One of several instructions.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// What the answer should be like; with a negative weight, what it should not be like.
    pub text: String,
    /// How much it counts. Finite.
    pub weight: f32,
}

impl Instruction {
    /// An instruction of weight 1.
    pub fn new(text: impl Into<String>) -> Instruction {
        Instruction { text: text.into(), weight: 1.0 }
    }

    /// True if it stands in the instructed prompt. An instruction to be avoided must not be asked for; one of
    /// weight 0 is asked for, and not amplified.
    pub fn is_asked_for(&self) -> bool {
        self.weight >= 0.0
    }

    /// The text of all that are asked for, parted by spaces: what the instructed prompt holds, and what a judge
    /// scores by.
    pub fn joined(instructions: &[Instruction]) -> String {
        let asked_for = instructions.iter().filter(|instruction| instruction.is_asked_for());
        asked_for.map(|instruction| instruction.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Error for more than [`MOST_INSTRUCTIONS`], a weight that is not finite, or an empty one among several.
    pub fn check(instructions: &[Instruction]) -> Result<()> {
        if instructions.len() > MOST_INSTRUCTIONS {
            return Err(Error::param("instructions", instructions.len(), "at most 8"));
        }
        for (i, Instruction { text, weight }) in instructions.iter().enumerate() {
            if !weight.is_finite() {
                return Err(Error::param("weights", weight, "finite"));
            }
            if text.trim().is_empty() && instructions.len() > 1 {
                let reason = format!("instruction {} of {} is empty", i + 1, instructions.len());
                return Err(Error::Prompt { reason });
            }
        }
        Ok(())
    }
}

/// All prompts as text, special tokens included.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptSet {
    /// The query alone, and with all instructions that are asked for.
    pub pair: PromptPair,
    /// The query with a single instruction, for each that the steering needs beside the pair.
    pub singles: Vec<String>,
    /// How much each branch counts.
    pub weights: Weights,
}

/// Two prompts with one instruction of weight 1.
impl From<PromptPair> for PromptSet {
    fn from(pair: PromptPair) -> PromptSet {
        PromptSet { pair, singles: Vec::new(), weights: Weights::default() }
    }
}

impl PromptSet {
    /// What makes the steering another one than that of its pair with one instruction of weight 1: the weight of
    /// the instructed branch, and the other prompts with theirs. None with one instruction of weight 1.
    pub fn beyond_pair(&self) -> Option<(f32, Vec<(&str, f32)>)> {
        let singles = self.singles.iter().map(String::as_str).zip(self.weights.singles.iter().copied());
        (self.weights != Weights::default()).then(|| (self.weights.instructed, singles.collect()))
    }
}

impl PairBuilder<'_> {
    /// Renders the prompts of several instructions, in place of the builder's own one.
    ///
    /// Each of weight above or below 0 gets a prompt of its own. Only one that is asked for needs none: its prompt
    /// is the instructed one. Where none is asked for, the instructed prompt is the query alone.
    ///
    /// # Errors
    /// Those of [`PairBuilder::build`] and [`Instruction::check`].
    pub fn build_many(&self, instructions: &[Instruction]) -> Result<PromptSet> {
        Instruction::check(instructions)?;
        let alone = |instruction: &str| Ok(PairBuilder { instruction, ..*self }.build()?.instructed);
        let pair = PairBuilder { instruction: &Instruction::joined(instructions), ..*self }.build()?;
        let mut weights = Weights::default();
        let asked_for: Vec<&Instruction> =
            instructions.iter().filter(|instruction| instruction.is_asked_for()).collect();
        let only = match asked_for[..] {
            [only] => Some(only),
            _ => None,
        };
        if !instructions.is_empty() {
            weights.instructed = only.map_or(0.0, |only| only.weight);
        }
        let mut singles = Vec::new();
        for instruction in instructions {
            let stands_in_pair = only.is_some_and(|only| std::ptr::eq(only, instruction));
            if !stands_in_pair && instruction.weight != 0.0 {
                singles.push(alone(&instruction.text)?);
                weights.singles.push(instruction.weight);
            }
        }
        Ok(PromptSet { pair, singles, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instructions(of: &[(&str, f32)]) -> Vec<Instruction> {
        of.iter().map(|&(text, weight)| Instruction { text: text.into(), weight }).collect()
    }

    /// The instructed prompt, the prompts of single instructions, and the weights, by the query "Q".
    fn built(of: &[(&str, f32)]) -> (String, Vec<String>, f32, Vec<f32>) {
        let builder = PairBuilder { query: "Q", instruction: "unused", ..PairBuilder::default() };
        let PromptSet { pair, singles, weights } = builder.build_many(&instructions(of)).unwrap();
        assert_eq!(pair.plain, "Q");
        let short = |text: String| text.replace("\n\n", "+");
        (
            short(pair.instructed),
            singles.into_iter().map(short).collect(),
            weights.instructed,
            weights.singles,
        )
    }

    #[test]
    fn what_is_asked_for_stands_in_the_instructed_prompt_and_what_is_to_be_avoided_does_not() {
        let texts = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        for (given, instructed, singles, own, weights) in [
            // No instruction, and one: two prompts, whatever it weighs.
            (&[][..], "Q", &[][..], 1.0, &[][..]),
            (&[("A", 1.0)], "Q+A", &[], 1.0, &[]),
            (&[("A", 0.5)], "Q+A", &[], 0.5, &[]),
            (&[("A", 0.0)], "Q+A", &[], 0.0, &[]),
            (&[("A", -1.0)], "Q", &["Q+A"], 0.0, &[-1.0]),
            (&[("A", 1.0), ("B", 0.5)], "Q+A B", &["Q+A", "Q+B"], 0.0, &[1.0, 0.5]),
            // The only one that is asked for is the instructed prompt.
            (&[("A", 1.0), ("B", -0.5)], "Q+A", &["Q+B"], 1.0, &[-0.5]),
            (&[("A", -1.0), ("B", 2.0), ("C", -3.0)], "Q+B", &["Q+A", "Q+C"], 2.0, &[-1.0, -3.0]),
            (&[("A", -1.0), ("B", -2.0)], "Q", &["Q+A", "Q+B"], 0.0, &[-1.0, -2.0]),
            // A weight of 0 is asked for, and not amplified.
            (&[("A", 1.0), ("B", 0.0)], "Q+A B", &["Q+A"], 0.0, &[1.0]),
            (&[("A", 0.0), ("B", -1.0)], "Q+A", &["Q+B"], 0.0, &[-1.0]),
        ] {
            let expected = (instructed.to_owned(), texts(singles), own, weights.to_vec());
            assert_eq!(built(given), expected, "{given:?}");
        }
    }

    #[test]
    fn one_instruction_is_what_it_always_was() {
        let builder = PairBuilder { query: "Q", negative: "N", instruction: "A", ..PairBuilder::default() };
        let set = builder.build_many(&instructions(&[("A", 1.0)])).unwrap();
        assert_eq!(
            set,
            PromptSet { pair: builder.build().unwrap(), singles: vec![], weights: Weights::default() }
        );
        assert_eq!(set.beyond_pair(), None);
        let weighted = builder.build_many(&instructions(&[("A", 2.0), ("B", -1.0)])).unwrap();
        assert_eq!(weighted.beyond_pair(), Some((2.0, vec![("Q\n\nB", -1.0)])));
        // The negative text stands in the plain prompt only, also where no instruction is asked for.
        let avoided = builder.build_many(&instructions(&[("B", -1.0)])).unwrap();
        assert_eq!((&*avoided.pair.plain, &*avoided.pair.instructed), ("Q\n\nN", "Q"));
    }

    #[test]
    fn what_no_prompt_can_be_made_of_is_refused() {
        let builder = PairBuilder { query: "Q", ..PairBuilder::default() };
        let refused = |of: &[(&str, f32)]| builder.build_many(&instructions(of)).unwrap_err().to_string();
        assert_eq!(refused(&[("A", f32::NAN)]), "weights is NaN, must be finite");
        assert_eq!(refused(&[("A", 1.0), (" ", 1.0)]), "prompt cannot be used: instruction 2 of 2 is empty");
        assert_eq!(refused(&[("A", 1.0); 9]), "instructions is 9, must be at most 8");
    }
}
