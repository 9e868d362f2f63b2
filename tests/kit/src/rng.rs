//! Seeded random numbers for tests: splitmix64, as the golden files define it.

/// A splitmix64 generator.
pub struct Rng(pub u64);

impl Rng {
    /// Next 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "an iterator's Option would only be unwrapped")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Nearly normal with standard deviation 1: the sum of twelve uniform numbers, less its mean.
    pub fn gauss(&mut self) -> f32 {
        let sum: i64 = (0..3).map(|_| lane_sum(self.next())).sum();
        (sum - 6 * 65_535) as f32 / 65_536.0
    }

    /// `n` nearly normal values of standard deviation `scale`.
    pub fn gauss_row(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| scale * self.gauss()).collect()
    }
}

/// Sum of the four 16-bit lanes.
pub fn lane_sum(z: u64) -> i64 {
    (0..4).map(|lane| (z >> (16 * lane)) as i64 & 0xFFFF).sum()
}
