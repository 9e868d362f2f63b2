//! The toy model and its KV cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sda::host::{Row, SeqId, Token};

/// What the toy context is like.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub n_vocab: usize,
    /// Cells of the whole context.
    pub n_ctx: usize,
    pub n_batch: usize,
    pub n_seq_max: usize,
    /// One KV buffer for all sequences; else each has `n_ctx / n_seq_max` cells of its own.
    pub unified: bool,
    /// Cells further back than this are neither seen nor kept.
    pub window: Option<i32>,
    /// Keeps one state per sequence, which cannot be rewound.
    pub recurrent: bool,
    /// Tells the smallest position of a sequence; llama.cpp does since June 2025.
    pub tells_pos_min: bool,
    /// How long a decode takes at least.
    pub pause: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            n_vocab: 48,
            n_ctx: 256,
            n_batch: 64,
            n_seq_max: 8,
            unified: true,
            window: None,
            recurrent: false,
            tells_pos_min: true,
            pause: Duration::ZERO,
        }
    }
}

impl Config {
    pub fn n_ctx_seq(&self) -> usize {
        if self.unified { self.n_ctx } else { self.n_ctx / self.n_seq_max }
    }
}

#[derive(Clone, Copy)]
struct Cell {
    pos: i32,
    hash: u64,
    /// Bit set of sequence ids.
    seqs: u64,
}

impl Cell {
    fn of(&self, seq: SeqId) -> bool {
        self.seqs >> seq & 1 == 1
    }
}

/// Everything behind the context pointer.
pub struct State {
    pub config: Config,
    cells: Vec<Cell>,
    pub(super) outputs: Vec<Option<Vec<f32>>>,
    /// Rows that were decoded.
    pub rows: usize,
    /// Calls of decode, also failed ones.
    pub decodes: usize,
    /// The call of decode that fails (from 0) and what it returns.
    pub fail: Option<(usize, i32)>,
    /// What llama.cpp would not have survived.
    pub complaints: Vec<String>,
    /// Contexts that live, this one and those made from it.
    pub(super) living: Arc<AtomicUsize>,
    /// Whether `context_new` fails, here and in the contexts made from this one.
    pub(super) alone: Arc<AtomicBool>,
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl State {
    pub(super) fn new(config: Config, living: Arc<AtomicUsize>, alone: Arc<AtomicBool>) -> State {
        assert!(config.n_seq_max <= 64);
        living.fetch_add(1, Ordering::SeqCst);
        State {
            config,
            cells: Vec::new(),
            outputs: Vec::new(),
            rows: 0,
            decodes: 0,
            fail: None,
            complaints: Vec::new(),
            living,
            alone,
        }
    }

    pub fn pos_max(&self, seq: SeqId) -> i32 {
        self.cells.iter().filter(|c| c.of(seq)).map(|c| c.pos).max().unwrap_or(-1)
    }

    pub fn pos_min(&self, seq: SeqId) -> i32 {
        self.cells.iter().filter(|c| c.of(seq)).map(|c| c.pos).min().unwrap_or(-1)
    }

    /// Cells in use, of all sequences.
    pub fn used(&self) -> usize {
        self.cells.len()
    }

    fn has_room(&self, rows: &[Row]) -> bool {
        if self.config.unified {
            return self.cells.len() + rows.len() <= self.config.n_ctx;
        }
        (0..self.config.n_seq_max as SeqId).all(|seq| {
            let held = self.cells.iter().filter(|c| c.of(seq)).count();
            held + rows.iter().filter(|r| r.seq == seq).count() <= self.config.n_ctx_seq()
        })
    }

    fn compute(&mut self, row: Row) -> bool {
        let Row { token, pos, seq, wants_logits } = row;
        let valid = (0..self.config.n_vocab as Token).contains(&token)
            && (0..self.config.n_seq_max as SeqId).contains(&seq);
        if !valid || pos != self.pos_max(seq) + 1 {
            self.complaints.push(format!("invalid row {row:?}"));
            return false;
        }
        let window = if self.config.recurrent { Some(2) } else { self.config.window };
        let first = window.map_or(0, |w| pos - w + 1);
        let mut seen: Vec<Cell> =
            self.cells.iter().copied().filter(|c| c.of(seq) && c.pos >= first).collect();
        seen.sort_by_key(|c| c.pos);
        let mut hash = mix(token as u64 ^ (pos as u64) << 32);
        for cell in &seen {
            hash = mix(hash ^ cell.hash.rotate_left((cell.pos % 63) as u32));
        }
        self.cells.push(Cell { pos, hash, seqs: 1 << seq });
        // What the next row cannot see is let go.
        if window.is_some() {
            self.drop_cells(seq, 0, first + 1);
        }
        let n_vocab = self.config.n_vocab as u64;
        let logits =
            || (0..n_vocab).map(|t| (mix(hash ^ mix(t)) >> 40) as f32 / (1 << 21) as f32 - 4.0).collect();
        self.outputs.push((wants_logits != 0).then(logits));
        self.rows += 1;
        true
    }

    fn drop_cells(&mut self, seq: SeqId, p0: i32, p1: i32) {
        for cell in &mut self.cells {
            if (p0..p1).contains(&cell.pos) {
                cell.seqs &= !(1 << seq);
            }
        }
        self.cells.retain(|c| c.seqs != 0);
    }

    pub(super) fn decode(&mut self, rows: &[Row]) -> i32 {
        let call = self.decodes;
        self.decodes += 1;
        self.outputs.clear();
        std::thread::sleep(self.config.pause);
        if rows.is_empty() || rows.len() > self.config.n_batch {
            self.complaints.push(format!("batch of {} rows", rows.len()));
            return -1;
        }
        let failing = self.fail.filter(|(nth, _)| *nth == call).map(|(_, code)| code);
        if failing == Some(1) || !self.has_room(rows) {
            return 1;
        }
        // An aborted decode leaves what it has done in the cache.
        let end = if failing.is_some() { rows.len().div_ceil(2) } else { rows.len() };
        if !rows[..end].iter().all(|&row| self.compute(row)) {
            return -1;
        }
        failing.unwrap_or(0)
    }

    pub(super) fn seq_cp(&mut self, src: SeqId, dst: SeqId, p0: i32, p1: i32) {
        let all = p0 <= 0 && p1 < 0;
        let range = p0.max(0)..if p1 < 0 { i32::MAX } else { p1 };
        if self.config.recurrent {
            // There is one state; it is taken whole, whatever the range.
            self.drop_cells(dst, 0, i32::MAX);
            self.cells.iter_mut().filter(|c| c.of(src)).for_each(|c| c.seqs |= 1 << dst);
        } else if self.config.unified {
            for cell in self.cells.iter_mut().filter(|c| c.of(src) && range.contains(&c.pos)) {
                cell.seqs |= 1 << dst;
            }
        } else if !all {
            self.complaints.push(format!("seq_cp of positions {range:?} between KV buffers"));
        } else {
            self.drop_cells(dst, 0, i32::MAX);
            let copies: Vec<Cell> =
                self.cells.iter().filter(|c| c.of(src)).map(|c| Cell { seqs: 1 << dst, ..*c }).collect();
            self.cells.extend(copies);
        }
    }

    pub(super) fn seq_rm(&mut self, seq: SeqId, p0: i32, p1: i32) -> bool {
        let p1 = if p1 < 0 { i32::MAX } else { p1 };
        let last = self.pos_max(seq);
        if self.config.recurrent && p0 > 0 && p0 <= last {
            return false;
        }
        self.drop_cells(seq, p0.max(0), p1);
        true
    }
}
