//! Two rows of logits, cut into tiles.

use fearless_simd::prelude::*;

/// The logit of a masked token.
pub(super) const MASKED: f32 = f32::NEG_INFINITY;

/// Tokens handled at a time: two rows of a tile and a tile of `f64` results stay in the first-level
/// cache of any processor (4 + 4 + 8 KiB).
pub(super) const TILE: usize = 1024;

/// Vectors handled without a branch in between.
pub(super) const GROUP: usize = 4;

/// Every tile's length is a multiple of this, whatever the vector width (16 lanes at most).
const MULTIPLE: usize = 16 * GROUP;

/// The last, partial tile of a row, filled up with masked tokens.
struct Tail {
    values: [f32; TILE],
    /// Length with the filling; 0 when the row is a whole number of tiles.
    padded: usize,
}

impl Tail {
    fn new(row: &[f32]) -> Self {
        let rest = row.chunks_exact(TILE).remainder();
        let mut values = [MASKED; TILE];
        values[..rest.len()].copy_from_slice(rest);
        Tail { values, padded: rest.len().next_multiple_of(MULTIPLE) }
    }
}

/// The two rows. The masked tokens that fill up the last tile have no probability in either branch,
/// so that no pass needs a scalar tail.
pub(super) struct Tiles<'a> {
    rows: [&'a [f32]; 2],
    tails: [Tail; 2],
}

impl<'a> Tiles<'a> {
    /// Rows of equal length.
    pub(super) fn new(instructed: &'a [f32], plain: &'a [f32]) -> Self {
        Tiles { rows: [instructed, plain], tails: [Tail::new(instructed), Tail::new(plain)] }
    }

    pub(super) fn rows(&self) -> [&'a [f32]; 2] {
        self.rows
    }

    /// Tokens, without the filling.
    pub(super) fn n_vocab(&self) -> usize {
        self.rows[0].len()
    }

    pub(super) fn count(&self) -> usize {
        self.n_vocab().div_ceil(TILE)
    }

    /// Both rows of a tile: slices of equal length, a multiple of [`GROUP`] vectors.
    #[inline(always)]
    pub(super) fn get(&self, tile: usize) -> [&[f32]; 2] {
        let start = tile * TILE;
        let whole = start + TILE <= self.n_vocab();
        [0, 1].map(|row| {
            let tail = &self.tails[row];
            if whole { &self.rows[row][start..start + TILE] } else { &tail.values[..tail.padded] }
        })
    }
}

/// The vectors of a group.
#[inline(always)]
pub(super) fn load_group<S: Simd>(simd: S, group: &[f32]) -> [S::f32s; GROUP] {
    let n = S::f32s::LEN;
    [
        S::f32s::from_slice(simd, &group[..n]),
        S::f32s::from_slice(simd, &group[n..2 * n]),
        S::f32s::from_slice(simd, &group[2 * n..3 * n]),
        S::f32s::from_slice(simd, &group[3 * n..4 * n]),
    ]
}
