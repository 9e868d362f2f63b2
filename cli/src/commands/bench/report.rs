//! What the benchmark found, as a table and as JSON.

use std::fmt;

use super::scene::{BenchArgs, Scene};
use super::stats::Series;
use crate::record::{self, Bench, Branches, Prefill, Read, Step, Steps};
use crate::ui::table::Table;

/// Everything that is measured. Series have one value a round.
pub struct Report {
    model: String,
    n_vocab: usize,
    threads: usize,
    lengths: [u32; 3],
    rounds: u32,
    /// Milliseconds a step.
    pub plain: Series,
    pub bare: Series,
    pub steered: Series,
    /// Of a steered step, steering and drawing.
    pub sampling: Series,
    pub dropin: Series,
    /// Milliseconds of one call.
    pub kernel: Series,
    /// Milliseconds of both prompts.
    pub prefill_shared: Series,
    pub prefill_apart: Series,
    rows: [usize; 2],
    /// KV cache of the two branches.
    pub kv_pair_mib: f64,
    pub many: Vec<Many>,
}

/// Pairs in one context.
#[derive(Default)]
pub struct Many {
    pub n: u32,
    pub kv_mib: f64,
    /// Tokens a second of all pairs together.
    pub bare: Series,
    pub steered: Series,
}

impl Report {
    pub fn new(args: &BenchArgs, scene: &Scene) -> Report {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let name = args.model.model.file_name().unwrap_or(args.model.model.as_os_str());
        let (plain, instructed) = (scene.prompts.plain.len(), scene.prompts.instructed.len());
        Report {
            model: name.to_string_lossy().into_owned(),
            n_vocab: scene.model.n_vocab(),
            threads: if args.model.load.threads == 0 { cores } else { args.model.load.threads as usize },
            lengths: [args.n_prompt, args.n_instruction, args.n_gen],
            rounds: args.repetitions,
            plain: Series::default(),
            bare: Series::default(),
            steered: Series::default(),
            sampling: Series::default(),
            dropin: Series::default(),
            kernel: Series::default(),
            prefill_shared: Series::default(),
            prefill_apart: Series::default(),
            rows: [plain + instructed - args.n_prompt as usize, plain + instructed],
            kv_pair_mib: 0.0,
            many: Vec::new(),
        }
    }

    /// Names and series in milliseconds a step.
    fn steps(&self) -> [(&'static str, &Series); 4] {
        [
            ("plain, one row", &self.plain),
            ("bare decode of two rows", &self.bare),
            ("steered", &self.steered),
            ("steered, drop-in (two contexts)", &self.dropin),
        ]
    }

    pub fn record(&self) -> Bench {
        let step = |ms: &Series| Step {
            ms: ms.record(),
            tokens_per_second: ms.map(|ms| 1e3 / ms).record(),
            over_bare: ms.over(&self.bare).record(),
        };
        let many = |many: &Many| record::Many {
            pairs: many.n,
            kv_mib: many.kv_mib,
            bare_tokens_per_second: many.bare.record(),
            steered_tokens_per_second: many.steered.record(),
            steered_over_bare: many.steered.over(&many.bare).record(),
        };
        let [n_prompt, n_instruction, n_gen] = self.lengths;
        let [shared, apart] = self.rows;
        Bench {
            sda: env!("CARGO_PKG_VERSION"),
            isa: sda::steer::isa(),
            model: self.model.clone(),
            n_vocab: self.n_vocab,
            threads: self.threads,
            n_prompt,
            n_instruction,
            n_gen,
            repetitions: self.rounds,
            step: Steps {
                plain: step(&self.plain),
                bare: step(&self.bare),
                steered: step(&self.steered),
                dropin: step(&self.dropin),
            },
            sampling_ms: self.sampling.record(),
            kernel_ms: self.kernel.record(),
            prefill: Prefill {
                shared: Read { rows: shared, ms: self.prefill_shared.record() },
                apart: Read { rows: apart, ms: self.prefill_apart.record() },
                apart_over_shared: self.prefill_apart.over(&self.prefill_shared).record(),
            },
            kv_mib: Branches { branch: self.kv_pair_mib / 2.0, pair: self.kv_pair_mib },
            many: self.many.iter().map(many).collect(),
        }
    }
}

/// The median of a series, and its range.
fn spread(series: &Series, digits: usize) -> [String; 2] {
    [format!("{:.digits$}", series.median()), format!("{:.digits$}-{:.digits$}", series.min(), series.max())]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [n_prompt, n_instruction, n_gen] = self.lengths;
        writeln!(
            f,
            "{}, vocabulary {}, {} threads, kernel {}",
            self.model,
            self.n_vocab,
            self.threads,
            sda::steer::isa()
        )?;
        writeln!(
            f,
            "prompt {n_prompt} + instruction {n_instruction}, {n_gen} steps, medians of {} rounds (min-max)\n",
            self.rounds
        )?;
        let mut steps = Table::new(1, ["one pair", "ms/step", "", "tokens/s", "x bare"]);
        for (name, ms) in self.steps() {
            let [median, range] = spread(ms, 2);
            let (speed, ratio) = (1e3 / ms.median(), ms.over(&self.bare).median());
            steps.line([name.to_owned(), median, range, format!("{speed:.1}"), format!("{ratio:.3}")]);
        }
        for (name, ms) in
            [("  of it, steering and drawing", &self.sampling), ("  of it, the kernel", &self.kernel)]
        {
            let [median, range] = spread(ms, 3);
            steps.line([name.to_owned(), median, range, String::new(), String::new()]);
        }
        writeln!(f, "{steps}")?;
        let mut prompts = Table::new(1, ["both prompts", "ms", "", "tokens", "x shared"]);
        for (name, ms, rows) in [
            ("common part read once", &self.prefill_shared, self.rows[0]),
            ("common part read twice", &self.prefill_apart, self.rows[1]),
        ] {
            let [median, range] = spread(ms, 1);
            let ratio = ms.over(&self.prefill_shared).median();
            prompts.line([name.to_owned(), median, range, rows.to_string(), format!("{ratio:.3}")]);
        }
        writeln!(f, "{prompts}")?;
        writeln!(f, "KV cache {:.1} MiB: {:.1} for each branch\n", self.kv_pair_mib, self.kv_pair_mib / 2.0)?;
        let head = ["pairs", "KV MiB", "bare tokens/s", "", "steered", "", "x bare", "x 1 pair"];
        let mut pairs = Table::new(1, head);
        let first = self.many.first().map_or(f64::NAN, |first| first.steered.median());
        for many in &self.many {
            let ([bare, bare_range], [steered, range]) = (spread(&many.bare, 1), spread(&many.steered, 1));
            pairs.line([
                many.n.to_string(),
                format!("{:.1}", many.kv_mib),
                bare,
                bare_range,
                steered,
                range,
                format!("{:.3}", many.steered.over(&many.bare).median()),
                format!("{:.2}", many.steered.median() / first),
            ]);
        }
        write!(f, "{pairs}")
    }
}
