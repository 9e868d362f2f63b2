//! Steps of one pair and of many: a single decode for every branch of every pair of a context, so that the
//! weights are read once.

use super::pair::{Pair, Side};
use crate::error::{Error, Result};
use crate::host::{Row, Token};

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
    let Some(first) = moves.first() else { return Ok(()) };
    let n_batch = first.pair.context.n_batch();
    let mut rows: Vec<Row> = Vec::with_capacity(2 * moves.len());
    for a_move in &*moves {
        if !a_move.pair.context.is_same(&first.pair.context) {
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
    for a_move in &mut *moves {
        a_move.pair.forget_rows();
    }
    let decoded = match moves[0].pair.context.decode(&rows) {
        Ok(decoded) => decoded,
        Err(error) => return Err(undo(moves, error)),
    };
    let mut index = 0;
    for a_move in moves {
        a_move.pair.context.note(decoded)?;
        for side in a_move.pair.sides(a_move.side) {
            a_move.pair.split(side).1.push(a_move.token, Some(decoded.row(index)));
            index += 1;
        }
    }
    Ok(())
}

/// Brings the cache back to what the pairs hold, and says what the error was about.
fn undo(moves: &mut [Move], error: Error) -> Error {
    if !matches!(error, Error::ContextFull { .. }) {
        for a_move in &mut *moves {
            a_move.pair.drop_unfinished();
        }
    }
    let held = moves.iter().map(|a_move| a_move.pair.held()).sum();
    moves[0].pair.full_with(error, held)
}
