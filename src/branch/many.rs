//! Steps of one pair and of many: a single decode for every branch of every pair of a context, and for a part of the
//! prompts that others are reading, so that the weights are read once.

use super::lone::Lone;
use super::pair::{Pair, Side, full_with};
use super::reading::Reading;
use crate::error::{Error, Result};
use crate::host::{Context, Row, Token};

/// One pair's part in a joint step.
pub struct Move<'p> {
    /// The pair, in the same context as the others.
    pub pair: &'p mut Pair,
    /// The token that is appended.
    pub token: Token,
    /// The one branch that gets it; None for all in use.
    pub side: Option<Side>,
}

impl Pair {
    /// Appends one token to all branches in use with a single decode: of two rows, and one more for each single
    /// instruction.
    ///
    /// A full context is [`Error::ContextFull`] and changes nothing in the cache. After another failure
    /// all branches are as they were, or empty where the memory cannot be rewound.
    pub fn step(&mut self, token: Token) -> Result<()> {
        step_many(&mut [Move { pair: self, token, side: None }])
    }

    /// Appends one token to one branch only, as when the plain draft is written. The branches agree
    /// again after the next [`Pair::prefill`].
    pub fn step_one(&mut self, side: Side, token: Token) -> Result<()> {
        step_many(&mut [Move { pair: self, token, side: Some(side) }])
    }
}

/// Appends a token to each of many pairs with a single decode: two rows for a pair that moves in both
/// branches, one more for each single instruction, one for a pair that moves in one branch. All pairs must live in one context, whose `n_batch` holds
/// all rows; afterwards each pair has its own logits until the next decode.
///
/// It succeeds for all or for none. A full context is [`Error::ContextFull`] and changes nothing in the
/// cache: which pair has to give way is for the caller to say. After another failure all pairs are as they
/// were, but without logits; where the memory cannot be rewound they are empty.
pub fn step_many(moves: &mut [Move]) -> Result<()> {
    step_and_read(moves, &mut [], None)
}

/// A part of a prompt that is read in a joint step.
pub(crate) struct Chunk<'p> {
    /// The pair that reads, in the same context as the others, and none that is stepped.
    pub(crate) pair: &'p mut Pair,
    /// What it reads.
    pub(crate) reading: &'p mut Reading,
    /// The most rows, one for each branch or more.
    pub(crate) most: usize,
}

/// A part of what a sequence reads that belongs to no pair.
pub(crate) struct Beside<'p> {
    /// The sequence, in the same context as the pairs.
    pub(crate) lone: &'p mut Lone,
    /// The most rows, at least one.
    pub(crate) most: usize,
}

/// As [`step_many`], and in the same decode other pairs read a part of their prompts, and one lone sequence of its text. What
/// is done reading has logits. After a failure but [`Error::ContextFull`] whoever reads is to be emptied.
pub(crate) fn step_and_read(
    moves: &mut [Move],
    chunks: &mut [Chunk],
    mut beside: Option<Beside>,
) -> Result<()> {
    let Some(context) = (moves.first().map(|a_move| &a_move.pair.context))
        .or_else(|| chunks.first().map(|chunk| &chunk.pair.context))
        .or_else(|| beside.as_ref().map(|beside| &beside.lone.context))
        .cloned()
    else {
        return Ok(());
    };
    let n_batch = context.n_batch();
    let mut rows: Vec<Row> = Vec::with_capacity(2 * moves.len());
    for a_move in &*moves {
        if !a_move.pair.context.is_same(&context) {
            return Err(Error::State { reason: "pairs that step together must share one context".into() });
        }
        a_move.pair.check_next(a_move.side)?;
        let pair = &*a_move.pair;
        rows.extend(pair.sides(a_move.side).map(|side| pair.sequence(side).next_row(a_move.token, true)));
    }
    if rows.len() > n_batch {
        let allowed = "at least the rows of a joint step, two a pair and one for each single instruction";
        return Err(Error::param("n_batch", format_args!("{n_batch} ({} rows)", rows.len()), allowed));
    }
    let lengths: Vec<usize> = (chunks.iter())
        .map(|chunk| chunk.reading.rows(chunk.pair, chunk.most.min(n_batch - rows.len()), &mut rows))
        .collect();
    let n_beside = match &beside {
        Some(Beside { lone, most }) => lone.rows((*most).min(n_batch - rows.len()), &mut rows),
        None => 0,
    };
    if rows.is_empty() {
        return Ok(());
    }
    for a_move in &mut *moves {
        a_move.pair.forget_rows();
    }
    let mut handle = context;
    let decoded = match handle.decode(&rows) {
        Ok(decoded) => decoded,
        Err(error) => return Err(undo(&handle, moves, chunks, &mut beside, error)),
    };
    let mut index = 0;
    for a_move in moves {
        a_move.pair.context.note(decoded)?;
        for side in a_move.pair.sides(a_move.side) {
            a_move.pair.split(side).1.push(a_move.token, Some(decoded.row(index)));
            index += 1;
        }
    }
    for (chunk, n) in chunks.iter_mut().zip(lengths) {
        chunk.pair.context.note(decoded)?;
        chunk.reading.decoded(chunk.pair, n, decoded, index)?;
        index += n;
    }
    beside.map_or(Ok(()), |Beside { lone, .. }| lone.decoded(n_beside, decoded, index))
}

/// Brings the cache back to what the sequences hold, and says what the error was about.
fn undo(
    context: &Context,
    moves: &mut [Move],
    chunks: &mut [Chunk],
    beside: &mut Option<Beside>,
    error: Error,
) -> Error {
    let mut pairs: Vec<&mut Pair> = Vec::with_capacity(moves.len() + chunks.len());
    pairs.extend(moves.iter_mut().map(|a_move| &mut *a_move.pair));
    pairs.extend(chunks.iter_mut().map(|chunk| &mut *chunk.pair));
    if !matches!(error, Error::ContextFull { .. }) {
        pairs.iter_mut().for_each(|pair| pair.drop_unfinished());
        if let Some(Beside { lone, .. }) = beside {
            lone.drop_unfinished();
        }
    }
    let held: usize = pairs.iter().map(|pair| pair.held()).sum();
    let lone = beside.as_ref().map_or(0, |Beside { lone, .. }| lone.held());
    full_with(error, held + lone, context.n_ctx())
}
