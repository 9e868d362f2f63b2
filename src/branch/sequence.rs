//! One sequence of a context: what the KV cache holds of it, and how it is rewound and read on.

use crate::error::{Error, Result};
use crate::host::{Context, Logits, LogitsRow, Row, SeqId, Token};

/// Rows of one decode while a prompt is read: small enough that progress and cancelling are prompt.
const PROMPT_ROWS: usize = 512;

/// Called while a prompt is read, with the rows done and the rows in all; false stops.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> bool;

/// A sequence of a context.
pub(crate) struct Sequence {
    id: SeqId,
    /// What the KV cache holds of it, in order.
    tokens: Vec<Token>,
    /// Logits after its last token.
    row: Option<LogitsRow>,
}

impl Sequence {
    /// A sequence of which the cache holds nothing.
    pub(crate) fn new(id: SeqId) -> Sequence {
        Sequence { id, tokens: Vec::new(), row: None }
    }

    pub(crate) fn id(&self) -> SeqId {
        self.id
    }

    /// Tokens that the cache holds.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Row of the logits after the last token, if that was decoded with logits.
    pub(super) fn row(&self) -> Option<LogitsRow> {
        self.row
    }

    /// Logits after the last token.
    pub(crate) fn logits<'c>(&self, context: &'c Context) -> Result<Logits<'c>> {
        let row = self.row.ok_or_else(|| Error::State { reason: "the sequence has no logits".into() })?;
        context.logits(row)
    }

    /// The logits are those of a decode that the next one overwrites.
    pub(super) fn forget_row(&mut self) {
        self.row = None;
    }

    /// The row that appends a token.
    pub(super) fn next_row(&self, token: Token, wants_logits: bool) -> Row {
        Row { token, pos: self.len() as i32, seq: self.id, wants_logits: wants_logits.into() }
    }

    /// Takes note of a token that was decoded, and of its logits if there are any.
    pub(super) fn push(&mut self, token: Token, row: Option<LogitsRow>) {
        self.tokens.push(token);
        self.row = row;
    }

    /// Empties the sequence.
    pub(crate) fn clear(&mut self, context: &mut Context) -> Result<()> {
        context.seq_truncate(self.id, 0)?;
        *self = Sequence::new(self.id);
        Ok(())
    }

    /// Keeps the first `keep` tokens at the most, and returns how many are left: none where the memory cannot
    /// be rewound.
    pub(crate) fn truncate(&mut self, context: &mut Context, keep: usize) -> Result<usize> {
        if keep >= self.len() {
            return Ok(self.len());
        }
        self.row = None;
        // A sliding-window cache has let go of its early positions: after rewinding, the window would reach
        // back into the gap. Recurrent memory cannot forget its last tokens only. Both are read again.
        let gap = context.seq_pos_min(self.id)? > 0;
        if gap || !context.seq_truncate(self.id, keep)? {
            self.clear(context)?;
        }
        self.tokens.truncate(keep);
        Ok(self.len())
    }

    /// Keeps what it has in common with `tokens`, at most `limit` of it, and returns how much is left.
    pub(super) fn rewind(&mut self, context: &mut Context, tokens: &[Token], limit: usize) -> Result<usize> {
        let common = common_prefix(&self.tokens, tokens).min(limit);
        self.truncate(context, common)
    }

    /// Makes it hold `tokens`, at least one, with logits after the last. What it holds of them is not decoded
    /// again; returns how much that was. After an error it is unknown what the cache holds: clear it.
    pub(crate) fn read(
        &mut self,
        context: &mut Context,
        tokens: &[Token],
        progress: Progress,
    ) -> Result<usize> {
        let reused = self.rewind(context, tokens, tokens.len().saturating_sub(1))?;
        let part = Part { sequence: self, tokens: &tokens[reused..] };
        read_parts(context, &mut [part], true, progress)?;
        Ok(reused)
    }

    /// Makes it hold the first `keep` tokens of `from`, without decoding. Where the cache is not unified it can
    /// only be copied whole: then it must be empty, and `from` hold no more than these.
    pub(super) fn copy(&mut self, context: &mut Context, from: &Sequence, keep: usize) -> Result<()> {
        let (p0, p1) = if context.is_unified() { (self.len() as i32, keep as i32) } else { (-1, -1) };
        context.seq_cp(from.id, self.id, p0, p1)?;
        self.tokens = from.tokens[..keep].to_vec();
        self.row = None;
        Ok(())
    }

    /// Makes it hold what `from` holds, with the same logits.
    pub(super) fn fork(&mut self, context: &mut Context, from: &Sequence) -> Result<()> {
        context.seq_cp(from.id, self.id, -1, -1)?;
        self.tokens = from.tokens.clone();
        self.row = from.row;
        Ok(())
    }

    /// An aborted decode leaves the rows that it has done in the cache: drops what is not in
    /// [`Sequence::tokens`]. False if the memory cannot.
    pub(super) fn drop_unfinished(&mut self, context: &mut Context) -> bool {
        context.seq_truncate(self.id, self.len()).unwrap_or(false)
    }
}

/// Tokens that are to be appended to a sequence, at least one.
pub(super) struct Part<'a> {
    pub(super) sequence: &'a mut Sequence,
    pub(super) tokens: &'a [Token],
}

/// Appends tokens to sequences, in chunks. With `logits` each sequence has them afterwards: the last tokens of
/// all parts come in the final decode, since logits do not outlive a decode.
pub(super) fn read_parts(
    context: &mut Context,
    parts: &mut [Part],
    logits: bool,
    progress: Progress,
) -> Result<()> {
    let n_last = if logits { parts.len() } else { 0 };
    let chunk = context.n_batch().min(PROMPT_ROWS);
    if n_last > chunk {
        return Err(Error::param("n_batch", chunk, "at least one for each branch of a pair"));
    }
    let (mut body, mut last) = (Vec::new(), Vec::new());
    for (i, part) in parts.iter().enumerate() {
        let (rest, end) = part.tokens.split_at(part.tokens.len() - usize::from(logits));
        body.extend(rest.iter().map(|&token| (i, token)));
        last.extend(end.iter().map(|&token| (i, token)));
    }
    let (n_body, total) = (body.len(), body.len() + last.len());
    body.append(&mut last);
    let tokens = body;
    let mut rows = Vec::with_capacity(chunk.min(total));
    let mut done = 0;
    while done < total {
        if !progress(done, total) {
            return Err(Error::Cancelled);
        }
        let mut end = (done + chunk).min(total);
        if end > n_body && end < total {
            // This decode would part the last tokens: leave all of them to the next one.
            end = n_body;
        }
        rows.clear();
        for (at, &(i, token)) in (done..end).zip(&tokens[done..end]) {
            let sequence = &mut parts[i].sequence;
            rows.push(sequence.next_row(token, at >= n_body));
            sequence.push(token, None);
        }
        let decoded = context.decode(&rows).inspect_err(|_| {
            for &(i, _) in &tokens[done..end] {
                parts[i].sequence.tokens.pop();
            }
        })?;
        for (index, &(i, _)) in tokens[done..end].iter().enumerate().skip(n_body.saturating_sub(done)) {
            parts[i].sequence.row = Some(decoded.row(index));
        }
        done = end;
    }
    progress(total, total);
    Ok(())
}

/// Error if a prompt is empty.
pub(crate) fn check_prompt(name: &str, tokens: &[Token]) -> Result<()> {
    if tokens.is_empty() {
        let reason = format!("the {name} prompt holds 0 tokens, must hold at least 1");
        return Err(Error::Prompt { reason });
    }
    Ok(())
}

/// How many tokens both begin with.
pub(super) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
