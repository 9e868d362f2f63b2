//! Tokens that another pair of the same context holds already: their cells serve a new prompt, too, without a decode.

use super::pair::Pair;
use super::sequence::{Sequence, common_prefix};
use crate::error::Result;
use crate::host::{Context, Token};

/// Lets a sequence hold as much of the beginning of `prompt` as it or any of the `others` holds, but the last token, whose
/// logits are needed. What it holds beyond that is dropped.
pub(super) fn adopt(
    context: &mut Context,
    sequence: &mut Sequence,
    prompt: &[Token],
    others: &[&Pair],
) -> Result<()> {
    if !context.is_unified() {
        return Ok(());
    }
    let most = prompt.len().saturating_sub(1);
    let own = common_prefix(sequence.tokens(), prompt).min(most);
    let mut best: Option<(&Sequence, usize)> = None;
    for donor in others.iter().flat_map(|pair| pair.all()) {
        let common = common_prefix(donor.tokens(), prompt).min(most);
        if common > best.map_or(own, |(_, common)| common) && can_give(context, donor, common)? {
            best = Some((donor, common));
        }
    }
    let Some((donor, common)) = best else { return Ok(()) };
    // A recurrent state is copied whole, into an empty sequence.
    if context.seq_pos_min(donor.id())? > 0 {
        sequence.clear(context)?;
    } else {
        sequence.truncate(context, own)?;
    }
    sequence.copy(context, donor, common)
}

/// True if the memory has the first `common` tokens of a sequence as they were: not where a window or a recurrent state
/// has left them behind.
fn can_give(context: &Context, donor: &Sequence, common: usize) -> Result<bool> {
    Ok(context.has_seq_pos_min() && (donor.len() == common || context.seq_pos_min(donor.id())? == 0))
}
