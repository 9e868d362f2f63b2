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

/// A row of logits, tile by tile.
pub(super) struct Tiled<'a> {
    row: &'a [f32],
    tail: Tail,
}

impl<'a> Tiled<'a> {
    pub(super) fn new(row: &'a [f32]) -> Self {
        Tiled { row, tail: Tail::new(row) }
    }

    pub(super) fn row(&self) -> &'a [f32] {
        self.row
    }

    pub(super) fn count(&self) -> usize {
        self.row.len().div_ceil(TILE)
    }

    /// A tile: its length is a multiple of [`GROUP`] vectors.
    #[inline(always)]
    pub(super) fn get(&self, tile: usize) -> &[f32] {
        let start = tile * TILE;
        if start + TILE <= self.row.len() {
            &self.row[start..start + TILE]
        } else {
            &self.tail.values[..self.tail.padded]
        }
    }
}

/// The two rows. The masked tokens that fill up the last tile have no probability in either branch,
/// so that no pass needs a scalar tail.
pub(super) struct Tiles<'a>([Tiled<'a>; 2]);

impl<'a> Tiles<'a> {
    /// Rows of equal length.
    pub(super) fn new(instructed: &'a [f32], plain: &'a [f32]) -> Self {
        Tiles([Tiled::new(instructed), Tiled::new(plain)])
    }

    /// The instructed row by itself.
    pub(super) fn instructed(&self) -> &Tiled<'a> {
        &self.0[0]
    }

    pub(super) fn rows(&self) -> [&'a [f32]; 2] {
        [self.0[0].row(), self.0[1].row()]
    }

    /// Tokens, without the filling.
    pub(super) fn n_vocab(&self) -> usize {
        self.0[0].row.len()
    }

    pub(super) fn count(&self) -> usize {
        self.0[0].count()
    }

    /// Both rows of a tile: slices of equal length, a multiple of [`GROUP`] vectors.
    #[inline(always)]
    pub(super) fn get(&self, tile: usize) -> [&[f32]; 2] {
        [self.0[0].get(tile), self.0[1].get(tile)]
    }
}

/// A row and what it is steered by, tile by tile: the plain row's logits, or differences that are ready.
pub(super) trait Pairs {
    type Other: Copy;

    /// Tokens, without the filling.
    fn n_vocab(&self) -> usize;

    /// The row and the other, without the filling.
    fn whole(&self) -> (&[f32], &[Self::Other]);

    /// Both of a tile: slices of equal length, a multiple of [`GROUP`] vectors.
    fn pair(&self, tile: usize) -> (&[f32], &[Self::Other]);
}

impl Pairs for Tiles<'_> {
    type Other = f32;

    fn n_vocab(&self) -> usize {
        Tiles::n_vocab(self)
    }

    fn whole(&self) -> (&[f32], &[f32]) {
        let [x, y] = &self.0;
        (x.row, y.row)
    }

    #[inline(always)]
    fn pair(&self, tile: usize) -> (&[f32], &[f32]) {
        let [x, y] = self.get(tile);
        (x, y)
    }
}

/// A row of logits with the differences that it is steered by.
pub(super) struct Ready<'a> {
    pub(super) row: &'a Tiled<'a>,
    /// One for each token, and 0 for the filling.
    pub(super) differences: &'a [f64],
}

impl Ready<'_> {
    /// Length of the differences for a row.
    pub(super) fn length(n_vocab: usize) -> usize {
        n_vocab.next_multiple_of(MULTIPLE)
    }
}

impl Pairs for Ready<'_> {
    type Other = f64;

    fn n_vocab(&self) -> usize {
        self.row.row.len()
    }

    fn whole(&self) -> (&[f32], &[f64]) {
        let row = self.row.row;
        (row, &self.differences[..row.len()])
    }

    #[inline(always)]
    fn pair(&self, tile: usize) -> (&[f32], &[f64]) {
        let row = self.row.get(tile);
        (row, &self.differences[tile * TILE..][..row.len()])
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
