//! How many rows of waiting prompts go into a decode: enough that they are read soon, few enough that nobody who is being
//! answered notices.

use std::time::Duration;

/// The most rows of prompts in one decode: small enough that progress and cancelling are prompt.
const MOST_ROWS: usize = 512;

/// The fewest, so that every prompt gets through.
const FEWEST_ROWS: usize = 2;

/// Before any was timed beside a step. A row of so small a batch takes longer than one of many, so it is timed first.
const FIRST_ROWS: usize = 4;

/// What rows add to a decode is at least this part of it, so that rows which seem to take no time are tried in larger numbers.
const LEAST_SHARE: f64 = 0.05;

/// How much a new time counts against those before.
const WEIGHT: f64 = 0.25;

/// Learns from the times of the decodes how long a row takes.
#[derive(Default)]
pub(super) struct Pace {
    /// The longest that a decode with a part of a prompt may take, in decodes without; None is no limit.
    max_gap: Option<f64>,
    /// Seconds of a decode without a part of a prompt.
    step: Option<f64>,
    /// Seconds of a row of a prompt beside it.
    row: Option<f64>,
}

impl Pace {
    pub(super) fn set_max_gap(&mut self, steps: Option<f64>) {
        self.max_gap = steps;
    }

    /// The most rows of prompts for the next decode, in which some answers are stepped or none.
    pub(super) fn rows(&self, steps_any: bool) -> usize {
        let Some(max_gap) = self.max_gap.filter(|_| steps_any) else { return MOST_ROWS };
        match (self.step, self.row) {
            (Some(step), Some(row)) => {
                (((max_gap - 1.0) * step / row) as usize).clamp(FEWEST_ROWS, MOST_ROWS)
            }
            _ => FIRST_ROWS,
        }
    }

    /// Takes note of a decode with so many rows of prompts.
    pub(super) fn saw(&mut self, time: Duration, steps_any: bool, prompt_rows: usize) {
        let time = time.as_secs_f64();
        let learn = |known: &mut Option<f64>, new: f64| {
            *known = Some(known.map_or(new, |known| known + WEIGHT * (new - known)));
        };
        match (steps_any, prompt_rows, self.step) {
            (true, 0, _) => learn(&mut self.step, time),
            (true, n, Some(step)) => {
                let added = (time - step).max(LEAST_SHARE * step);
                learn(&mut self.row, added / n as f64);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_part_of_a_prompt_takes_no_longer_than_the_gap_allows() {
        let mut pace = Pace::default();
        assert_eq!(pace.rows(true), MOST_ROWS, "without a limit");
        pace.set_max_gap(Some(3.0));
        assert_eq!((pace.rows(false), pace.rows(true)), (MOST_ROWS, FIRST_ROWS));
        pace.saw(10 * MS, true, 0);
        pace.saw(26 * MS, true, 32);
        // Half a millisecond a row: 40 rows take two steps more.
        assert_eq!(pace.rows(true), 40);
        for _ in 0..40 {
            pace.saw(42 * MS, true, 32);
        }
        assert!((19..=20).contains(&pace.rows(true)), "{} rows of a millisecond", pace.rows(true));
    }

    #[test]
    fn every_prompt_gets_through_and_none_takes_all() {
        let mut pace = Pace::default();
        pace.set_max_gap(Some(1.5));
        pace.saw(MS, true, 0);
        pace.saw(1000 * MS, true, 10);
        assert_eq!(pace.rows(true), FEWEST_ROWS);
        let mut pace = Pace::default();
        pace.set_max_gap(Some(100.0));
        pace.saw(10 * MS, true, 0);
        assert_eq!(pace.rows(true), FIRST_ROWS, "nothing is known of rows");
        pace.saw(10 * MS, true, 4);
        assert_eq!(pace.rows(true), MOST_ROWS, "rows that take no time");
        pace.set_max_gap(Some(2.0));
        assert_eq!(pace.rows(true), 80, "and not without measure");
    }
}
