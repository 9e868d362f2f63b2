//! The arms of an evaluation: ways to answer the same prompt.

use sda::engine::Arm;
use sda::steer::{KlBudget, steer};
use sda::{Error, Params, Result, Strength};

/// One arm as the command line writes it: its name, what it draws from, and settings of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmSpec {
    /// As it was written.
    pub name: String,
    /// What it draws from.
    pub arm: Arm,
    /// The field of the records that holds its answers, if they are not generated.
    pub given: Option<String>,
    /// How strongly it is steered; None in a steered arm is by the score of a plain draft.
    strength: Option<Strength>,
    k: Option<f32>,
    sigma: Option<f32>,
    t_min: Option<f32>,
    max_kl: Option<f32>,
    mean_kl: Option<f32>,
    temperature: Option<f32>,
    /// It is steered by each instruction of a record by itself, with a weight of 1.
    pub is_split: bool,
}

const ARMS: &str = "plain, instructed, guidance=G, amplification=A, sda or given=FIELD, and after a \
                    colon k=, sigma=, t_min=, max_kl=, mean_kl=, temp= or split=1";

impl ArmSpec {
    /// Reads a list such as `plain,instructed,guidance=1.5,sda:sigma=0.01,t_min=0.2`.
    ///
    /// # Errors
    /// [`Error::Param`] for an unknown arm or setting, a value that is not a number, and an arm given twice.
    pub fn parse_list(list: &str) -> Result<Vec<ArmSpec>> {
        let mut texts: Vec<String> = Vec::new();
        for piece in list.split(',') {
            // A comma also separates the settings of one arm.
            let name = piece.split(['=', ':']).next().unwrap_or_default().trim();
            match texts.last_mut() {
                Some(arm) if is_setting(name) && arm.contains(':') => {
                    arm.push(',');
                    arm.push_str(piece.trim());
                }
                _ => texts.push(piece.trim().to_owned()),
            }
        }
        let mut arms: Vec<ArmSpec> = Vec::with_capacity(texts.len());
        for text in &texts {
            let arm = ArmSpec::parse(text)?;
            if arms.iter().any(|other| other.name == arm.name) {
                return Err(Error::param("arms", text, "each given once"));
            }
            arms.push(arm);
        }
        Ok(arms)
    }

    fn parse(text: &str) -> Result<ArmSpec> {
        let wrong = || Error::param("arms", text, ARMS);
        let number = |value: &str| value.trim().parse::<f32>().map_err(|_| wrong());
        let (head, settings) = text.split_once(':').unwrap_or((text, ""));
        let (arm, strength) = match head.split_once('=') {
            None => match head {
                "plain" => (Arm::Plain, None),
                "instructed" => (Arm::Instructed, None),
                "sda" => (Arm::Steered, None),
                _ => return Err(wrong()),
            },
            Some(("guidance", value)) => (Arm::Steered, Some(Strength::guidance(number(value)?))),
            Some(("amplification", value)) => (Arm::Steered, Some(Strength::amplification(number(value)?))),
            Some(("given", field)) if !field.is_empty() && settings.is_empty() => (Arm::Plain, None),
            Some(_) => return Err(wrong()),
        };
        let mut spec = ArmSpec {
            name: text.to_owned(),
            arm,
            given: head.strip_prefix("given=").map(str::to_owned),
            strength,
            k: None,
            sigma: None,
            t_min: None,
            max_kl: None,
            mean_kl: None,
            temperature: None,
            is_split: false,
        };
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
            let value = Some(number(value)?);
            match name.trim() {
                "k" => spec.k = value,
                "sigma" => spec.sigma = value,
                "t_min" => spec.t_min = value,
                "max_kl" => spec.max_kl = value,
                "mean_kl" => spec.mean_kl = value,
                "temp" => spec.temperature = value,
                "split" if value == Some(0.0) || value == Some(1.0) => spec.is_split = value == Some(1.0),
                _ => return Err(wrong()),
            }
        }
        spec.params(&Params::default(), None)?;
        Ok(spec)
    }

    /// True if the arm needs the score of a plain draft.
    pub fn needs_score(&self) -> bool {
        self.arm == Arm::Steered && self.strength.is_none()
    }

    /// Settings of an answer: `base` with those of the arm. `scored` is the strength that follows from the
    /// score of a plain draft, for an arm that needs one.
    ///
    /// # Errors
    /// [`Error::Param`] for a setting out of range.
    pub fn params(&self, base: &Params, scored: Option<Strength>) -> Result<Params> {
        let params = Params {
            k: self.k.unwrap_or(base.k),
            sigma: self.sigma.unwrap_or(base.sigma),
            t_min: self.t_min.unwrap_or(base.t_min),
            max_kl: self.max_kl.unwrap_or(base.max_kl),
            mean_kl: self.mean_kl.unwrap_or(base.mean_kl),
            temperature: self.temperature.unwrap_or(base.temperature),
            amplification: 0.0,
        };
        let strength = if self.needs_score() { scored } else { self.strength };
        strength.unwrap_or(Strength::amplification(0.0)).apply(&params)
    }

    /// Writes the log-probabilities of the next token in this arm. `params` comes from [`ArmSpec::params`].
    ///
    /// Tempered, they are what a token is drawn from, before any other sampler: the plain and the
    /// instructed arm have the base temperature, steered ones that of the step. Untempered, the
    /// temperature is 1 in all arms, as where likelihoods of models are compared. `budget` is what the text before
    /// the token has left of the arm's KL budget.
    ///
    /// # Errors
    /// Those of [`steer`], and [`Error::Param`] for greedy settings, tempered: a distribution of one token
    /// gives no likelihoods.
    pub fn log_probs(
        &self,
        rows: [&[f32]; 2],
        params: &Params,
        tempered: bool,
        budget: &mut KlBudget,
        out: &mut [f32],
    ) -> Result<()> {
        if tempered && params.is_greedy() {
            return Err(Error::param("temp", params.temperature, "greater than 0 for tempered likelihoods"));
        }
        let [plain, instructed] = rows;
        let mut params = *params;
        if !tempered {
            params.temperature = 1.0;
        }
        let is_steered = self.arm == Arm::Steered;
        if !tempered || !is_steered {
            params.sigma = f32::INFINITY;
            params.t_min = 0.0;
        }
        let row = if self.arm == Arm::Plain { plain } else { instructed };
        budget.spend(&steer(row, plain, &budget.limit(&params), out)?);
        Ok(())
    }
}

fn is_setting(name: &str) -> bool {
    ["k", "sigma", "t_min", "max_kl", "mean_kl", "temp", "split"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(amplification: f32) -> Option<Strength> {
        Some(Strength::amplification(amplification))
    }

    #[test]
    fn a_list_is_read_with_settings_of_single_arms() {
        let arms = ArmSpec::parse_list(
            "plain, instructed,guidance=1.5,sda:sigma=0.01,t_min=0.2,amplification=-0.5,sda",
        )
        .unwrap();
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        let expected =
            ["plain", "instructed", "guidance=1.5", "sda:sigma=0.01,t_min=0.2", "amplification=-0.5", "sda"];
        assert_eq!(names, expected);
        let base = Params::default();
        assert_eq!(arms[2].params(&base, scored(0.7)).unwrap().guidance(), 1.5);
        let sda = arms[3].params(&base, scored(0.25)).unwrap();
        assert_eq!((sda.sigma, sda.t_min, sda.amplification), (0.01, 0.2, 0.25));
        assert_eq!(arms[4].params(&base, scored(0.7)).unwrap().amplification, -0.5);
        assert_eq!(arms[1].params(&base, scored(0.7)).unwrap().amplification, 0.0);
        assert_eq!(arms.iter().filter(|arm| arm.needs_score()).count(), 2);
    }

    #[test]
    fn an_arm_has_a_kl_budget_of_its_own_or_that_of_all() {
        let arms = ArmSpec::parse_list("guidance=2,guidance=2:max_kl=0.3,mean_kl=0.1").unwrap();
        let base = Params { max_kl: 0.8, mean_kl: 0.4, ..Params::default() };
        let budgets = arms.iter().map(|arm| arm.params(&base, None).unwrap());
        let budgets: Vec<[f32; 2]> = budgets.map(|params| [params.max_kl, params.mean_kl]).collect();
        assert_eq!(budgets, [[0.8, 0.4], [0.3, 0.1]]);
        assert!(ArmSpec::parse_list("guidance=2:max_kl=-1").is_err());
    }

    #[test]
    fn answers_can_be_given_by_a_field_of_the_records() {
        let arms = ArmSpec::parse_list("plain,given=reply").unwrap();
        assert_eq!((arms[0].given.as_deref(), arms[1].given.as_deref()), (None, Some("reply")));
        assert!(!arms[1].needs_score());
    }

    #[test]
    fn an_arm_may_be_steered_by_each_instruction_by_itself() {
        let arms =
            ArmSpec::parse_list("guidance=2,guidance=2:split=1,guidance=2:max_kl=0.3,split=0").unwrap();
        assert_eq!(arms.iter().map(|arm| arm.is_split).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn what_is_no_arm_is_refused() {
        let wrong = [
            "",
            "plane",
            "guidance",
            "guidance=x",
            "plain,plain",
            "sda:sigma",
            "sda:sigma=0",
            "k=2",
            "guidance=2:k=0",
            "sda:T=1",
            "guidance=2:split=2",
            "given=",
            "given=on:k=2",
        ];
        for list in wrong {
            let error = ArmSpec::parse_list(list).unwrap_err();
            assert_eq!(error.code(), -2, "{list}: {error}");
        }
    }

    #[test]
    fn untempered_arms_are_softmaxes_of_the_rows_and_their_difference() {
        let (plain, instructed) = ([0.0f32, 1.0, 2.0], [0.5f32, 2.0, 0.0]);
        let softmax = |row: &[f64]| -> Vec<f64> {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x - sum.ln()).collect()
        };
        let wide = |row: &[f32]| row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (p, q) = (softmax(&wide(&instructed)), softmax(&wide(&plain)));
        let steered: Vec<f64> = p.iter().zip(&q).map(|(p, q)| p + 0.5 * (p - q)).collect();
        let expected = [q, p, softmax(&steered)];
        for (arm, expected) in
            ArmSpec::parse_list("plain,instructed,guidance=1.5").unwrap().iter().zip(expected)
        {
            let params = arm.params(&Params::default(), None).unwrap();
            let mut out = [0.0; 3];
            arm.log_probs([&plain, &instructed], &params, false, &mut KlBudget::default(), &mut out).unwrap();
            for (x, y) in out.iter().zip(&expected) {
                assert!((f64::from(*x) - y).abs() < 1e-5, "{}: {out:?}, expected {expected:?}", arm.name);
            }
        }
    }

    #[test]
    fn tempered_arms_are_what_tokens_are_drawn_from() {
        let (plain, instructed) = ([0.0f32, 1.0, 2.0], [0.5f32, 2.0, 0.0]);
        let arms = ArmSpec::parse_list("plain,guidance=1.5,guidance=1.5:sigma=0.01,t_min=0.2").unwrap();
        let rows: Vec<[f32; 3]> = arms
            .iter()
            .map(|arm| {
                let mut out = [0.0; 3];
                let params = arm.params(&Params::default(), None).unwrap();
                arm.log_probs([&plain, &instructed], &params, true, &mut KlBudget::default(), &mut out)
                    .unwrap();
                out
            })
            .collect();
        // T0 = 0.6: differences of log-probabilities are those of the logits, divided by it.
        assert!((rows[0][2] - rows[0][1] - 1.0 / 0.6).abs() < 1e-5);
        let mut out = [0.0; 3];
        let params = arms[1].params(&Params::default(), None).unwrap();
        steer(&instructed, &plain, &params, &mut out).unwrap();
        assert_eq!(rows[1], out);
        assert!(rows[2][1] > rows[1][1], "a small sigma sharpens where the branches disagree");
        let greedy = Params { temperature: 0.0, ..params };
        assert!(
            arms[1]
                .log_probs([&plain, &instructed], &greedy, true, &mut KlBudget::default(), &mut out)
                .is_err()
        );
    }
}
