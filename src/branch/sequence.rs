//! One sequence of a context: what the KV cache holds of it, and how it is rewound and read on.

use crate::error::{Error, Result};
use crate::host::{Context, Decoded, Logits, LogitsRow, Row, SeqId, Token};

/// Rows of one decode while a prompt is read: small enough that progress and cancelling are prompt.
pub(super) const PROMPT_ROWS: usize = 512;

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
        self.row_at(self.len(), token, wants_logits)
    }

    fn row_at(&self, pos: usize, token: Token, wants_logits: bool) -> Row {
        Row { token, pos: pos as i32, seq: self.id, wants_logits: wants_logits.into() }
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
        read_rest(context, self, &tokens[reused..], progress)?;
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

/// Tokens on their way into some sequences, decode by decode. With logits each sequence has them afterwards: the last
/// tokens of all come in the final decode, since logits do not outlive a decode.
pub(super) struct Feed {
    /// The sequence, by its place among those that are fed, and the token; the last one of each at the end.
    tokens: Vec<(usize, Token)>,
    /// How many of them come before the last ones.
    n_body: usize,
    done: usize,
}

impl Feed {
    /// Nothing to read.
    pub(super) fn none() -> Feed {
        Feed { tokens: Vec::new(), n_body: 0, done: 0 }
    }

    /// `parts` has the tokens of each sequence, with `logits` at least one.
    pub(super) fn new<'t>(parts: impl Iterator<Item = &'t [Token]>, logits: bool) -> Feed {
        let (mut tokens, mut last) = (Vec::new(), Vec::new());
        for (i, part) in parts.enumerate() {
            let (rest, end) = part.split_at(part.len() - usize::from(logits));
            tokens.extend(rest.iter().map(|&token| (i, token)));
            last.extend(end.iter().map(|&token| (i, token)));
        }
        let n_body = tokens.len();
        tokens.append(&mut last);
        Feed { tokens, n_body, done: 0 }
    }

    /// Rows that were decoded.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Rows in all.
    pub(super) fn total(&self) -> usize {
        self.tokens.len()
    }

    /// Appends the rows of the next decode, `most` or fewer, so that the last tokens are not parted: none if `most` does
    /// not hold them. Returns how many.
    pub(super) fn rows(&self, sequences: &[&Sequence], most: usize, rows: &mut Vec<Row>) -> usize {
        let (done, total) = (self.done, self.tokens.len());
        let mut end = done.saturating_add(most).min(total);
        if end > self.n_body && end < total {
            end = self.n_body.max(done);
        }
        let mut lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        for (at, &(i, token)) in (done..end).zip(&self.tokens[done..end]) {
            rows.push(sequences[i].row_at(lengths[i], token, at >= self.n_body));
            lengths[i] += 1;
        }
        end - done
    }

    /// Takes note that the next `n` rows were decoded, the first of them as row `first`.
    pub(super) fn decoded(
        &mut self,
        sequences: &mut [&mut Sequence],
        n: usize,
        decoded: Decoded,
        first: usize,
    ) {
        for (offset, &(i, token)) in self.tokens[self.done..self.done + n].iter().enumerate() {
            let has_logits = self.done + offset >= self.n_body;
            sequences[i].push(token, has_logits.then(|| decoded.row(first + offset)));
        }
        self.done += n;
    }
}

/// Appends tokens to a sequence, with logits after the last.
fn read_rest(
    context: &mut Context,
    sequence: &mut Sequence,
    tokens: &[Token],
    progress: Progress,
) -> Result<()> {
    let chunk = context.n_batch().min(PROMPT_ROWS);
    let mut feed = Feed::new([tokens].into_iter(), true);
    let mut rows = Vec::with_capacity(chunk.min(tokens.len()));
    while feed.done() < feed.total() {
        if !progress(feed.done(), feed.total()) {
            return Err(Error::Cancelled);
        }
        rows.clear();
        let n = feed.rows(&[sequence], chunk, &mut rows);
        let decoded = context.decode(&rows)?;
        feed.decoded(&mut [sequence], n, decoded, 0);
    }
    progress(feed.total(), feed.total());
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
pub(crate) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
