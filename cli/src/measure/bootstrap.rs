//! Paired bootstrap: how much a number would change if other items had been drawn.

/// What one item adds to a ratio: `hits` of `count`. For an accuracy over items, 0 or 1 of 1; for one over
/// instructions, those fulfilled of those given; for a win rate, -1, 0 or 1 of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Added to the numerator.
    pub hits: f64,
    /// Added to the denominator.
    pub count: f64,
}

impl Part {
    /// One item that is worth `value`.
    pub fn one(value: f64) -> Part {
        Part { hits: value, count: 1.0 }
    }
}

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// From all items.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Draws items with replacement, always the same draws for the same seed and number of items: arms that
/// answered the same items are compared on the same ones.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    /// Number of draws.
    pub resamples: usize,
    /// Share of the draws inside the interval.
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Bootstrap {
        Bootstrap { resamples: 2000, confidence: 0.95, seed: 1 }
    }
}

impl Bootstrap {
    /// Ratio of the sums, with its percentile interval. None without items or with nothing to count.
    pub fn ratio(&self, parts: &[Part]) -> Option<Interval> {
        self.interval(parts.len(), |i| parts[i], ratio)
    }

    /// Difference of the ratios of two arms on the same items, `a - b`.
    pub fn difference(&self, pairs: &[(Part, Part)]) -> Option<Interval> {
        let add = |(a, b): (Part, Part), (c, d): (Part, Part)| (sum(a, c), sum(b, d));
        let value = |(a, b): (Part, Part)| Some(ratio(a)? - ratio(b)?);
        let zero = (Part { hits: 0.0, count: 0.0 }, Part { hits: 0.0, count: 0.0 });
        self.run(pairs.len(), |i| pairs[i], zero, add, value)
    }

    fn interval(
        &self,
        n: usize,
        part: impl Fn(usize) -> Part,
        value: impl Fn(Part) -> Option<f64>,
    ) -> Option<Interval> {
        self.run(n, part, Part { hits: 0.0, count: 0.0 }, sum, value)
    }

    fn run<T: Copy>(
        &self,
        n: usize,
        item: impl Fn(usize) -> T,
        zero: T,
        add: impl Fn(T, T) -> T,
        value: impl Fn(T) -> Option<f64>,
    ) -> Option<Interval> {
        let center = value((0..n).map(&item).fold(zero, &add))?;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut draws: Vec<f64> = (0..self.resamples)
            .filter_map(|_| value((0..n).map(|_| item(random.usize(..n))).fold(zero, &add)))
            .collect();
        draws.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        let (low, high) = (quantile(&draws, tail), quantile(&draws, 1.0 - tail));
        // With very few items the draws may all lie on one side.
        Some(Interval {
            value: center,
            low: low.map_or(center, |x| x.min(center)),
            high: high.map_or(center, |x| x.max(center)),
        })
    }
}

fn sum(a: Part, b: Part) -> Part {
    Part { hits: a.hits + b.hits, count: a.count + b.count }
}

fn ratio(part: Part) -> Option<f64> {
    (part.count > 0.0).then(|| part.hits / part.count)
}

/// The value below which a share of the sorted values lies, linear between the two nearest; 0.5 is the median. None
/// without values.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(random: &mut fastrand::Rng, n: usize, p: f64) -> Vec<Part> {
        (0..n).map(|_| Part::one(f64::from(random.f64() < p))).collect()
    }

    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        let mut random = fastrand::Rng::with_seed(7);
        let bootstrap = Bootstrap { resamples: 400, ..Bootstrap::default() };
        let runs = 400;
        let held = (0..runs)
            .filter(|_| {
                let interval = bootstrap.ratio(&coins(&mut random, 120, 0.3)).unwrap();
                (interval.low..=interval.high).contains(&0.3)
            })
            .count();
        let share = held as f64 / f64::from(runs);
        assert!((0.91..=0.98).contains(&share), "{share}");
    }

    #[test]
    fn differences_of_paired_arms_hold_the_truth_and_are_narrower_than_unpaired_ones() {
        let mut random = fastrand::Rng::with_seed(8);
        let bootstrap = Bootstrap { resamples: 400, ..Bootstrap::default() };
        let (runs, mut held, mut paired, mut unpaired) = (300, 0, 0.0, 0.0);
        for _ in 0..runs {
            // Both arms share most of what makes an item hard; the second is better by 0.1.
            let pairs: Vec<(Part, Part)> = (0..150)
                .map(|_| {
                    let item = random.f64();
                    (Part::one(f64::from(item < 0.5)), Part::one(f64::from(item < 0.4)))
                })
                .collect();
            let interval = bootstrap.difference(&pairs).unwrap();
            held += usize::from((interval.low..=interval.high).contains(&0.1));
            paired += interval.high - interval.low;
            let [a, b] = [0, 1].map(|arm| {
                let parts: Vec<Part> =
                    pairs.iter().map(|pair| if arm == 0 { pair.0 } else { pair.1 }).collect();
                let interval = bootstrap.ratio(&parts).unwrap();
                interval.high - interval.low
            });
            unpaired += a.hypot(b);
        }
        let share = held as f64 / f64::from(runs);
        assert!((0.90..=0.98).contains(&share), "{share}");
        assert!(paired < 0.6 * unpaired, "{paired} {unpaired}");
    }

    #[test]
    fn the_value_is_a_ratio_of_sums_and_the_same_seed_gives_the_same_ends() {
        let parts = [Part { hits: 1.0, count: 3.0 }, Part { hits: 2.0, count: 2.0 }, Part::one(0.0)];
        let interval = Bootstrap::default().ratio(&parts).unwrap();
        assert_eq!(interval.value, 0.5);
        assert!(interval.low <= 0.5 && 0.5 <= interval.high && interval.low < interval.high);
        assert_eq!(Bootstrap::default().ratio(&parts).unwrap(), interval);
        assert_ne!(
            Bootstrap { seed: 2, resamples: 50, ..Bootstrap::default() }.ratio(&parts).unwrap(),
            interval
        );
    }

    #[test]
    fn nothing_to_count_gives_no_number_and_equal_items_a_point() {
        assert_eq!(Bootstrap::default().ratio(&[]), None);
        assert_eq!(Bootstrap::default().difference(&[]), None);
        assert_eq!(Bootstrap::default().ratio(&[Part { hits: 0.0, count: 0.0 }]), None);
        let interval = Bootstrap::default().ratio(&[Part::one(1.0); 5]).unwrap();
        assert_eq!((interval.low, interval.value, interval.high), (1.0, 1.0, 1.0));
    }
}
