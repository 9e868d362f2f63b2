//! Medians with their spread.

use crate::measure::quantile;
use crate::record::Spread;

/// What was measured, once a round, in one unit.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The middle value, or the mean of the two in the middle; NaN if there is none.
    pub fn median(&self) -> f64 {
        quantile(&self.sorted(), 0.5).unwrap_or(f64::NAN)
    }

    pub fn min(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    pub fn max(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }

    /// Round by round, this over the other.
    pub fn over(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Series {
        Series(self.0.iter().map(|&value| f(value)).collect())
    }

    pub fn record(&self) -> Spread {
        Spread { median: self.median(), min: self.min(), max: self.max(), all: self.0.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn the_median_is_in_the_middle_and_ratios_are_of_the_same_round() {
        let odd = Series(vec![3.0, 1.0, 20.0]);
        assert_eq!((odd.median(), odd.min(), odd.max()), (3.0, 1.0, 20.0));
        assert_eq!(Series(vec![4.0, 1.0, 2.0, 9.0]).median(), 3.0);
        assert!(Series::default().median().is_nan());
        // A round in which the machine was slow is slow on both sides.
        let bare = Series(vec![2.0, 1.0, 10.0]);
        assert_eq!(odd.over(&bare).median(), 1.5);
    }
}
