//! From outcomes of single items to one row for each metric, category and arm.

use std::collections::BTreeMap;

use super::{Bootstrap, Interval, Part};
use crate::record::EvalRow;

/// The category that holds every item.
pub const ALL: &str = "all";

/// One number of the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub metric: String,
    /// Which items, [`ALL`] or a category.
    pub category: String,
    /// Which arm.
    pub arm: String,
    /// Items behind the value.
    pub items: usize,
    /// Items without a verdict; they are not among `items`.
    pub failed: usize,
    /// The value; None if every item failed.
    pub value: Option<Interval>,
    /// This arm minus the control arm, on the items that both have.
    pub difference: Option<Interval>,
}

/// Collects outcomes.
#[derive(Clone, Debug)]
pub struct Report {
    bootstrap: Bootstrap,
    control: Option<String>,
    arms: Vec<String>,
    metrics: Vec<String>,
    /// By metric and category, by arm.
    cells: BTreeMap<(usize, String), BTreeMap<usize, Outcomes>>,
}

/// What each item of an arm is worth; None where all its results failed.
type Outcomes = BTreeMap<usize, Option<Part>>;

impl Report {
    /// An empty report on these arms. The arm `control`, if it is among them, is what the others are
    /// compared with.
    pub fn new(arms: &[&str], control: &str, bootstrap: Bootstrap) -> Report {
        Report {
            bootstrap,
            control: arms.contains(&control).then(|| control.to_owned()),
            arms: arms.iter().map(|&arm| arm.to_owned()).collect(),
            metrics: Vec::new(),
            cells: BTreeMap::new(),
        }
    }

    /// Adds a result of an item in an arm; None is one that failed. Items are identified by number, and the results
    /// of one are added up: intervals are over items, since results of the same item are much alike. An arm that
    /// is not in this report is ignored.
    pub fn add(&mut self, metric: &str, category: &str, arm: &str, item: usize, part: Option<Part>) {
        let Some(arm) = self.arms.iter().position(|known| known == arm) else { return };
        let metric = self.metrics.iter().position(|known| known == metric).unwrap_or_else(|| {
            self.metrics.push(metric.to_owned());
            self.metrics.len() - 1
        });
        let cell = self.cells.entry((metric, category.to_owned())).or_default();
        let total = cell.entry(arm).or_default().entry(item).or_default();
        *total = match (*total, part) {
            (Some(a), Some(b)) => Some(Part { hits: a.hits + b.hits, count: a.count + b.count }),
            (a, b) => a.or(b),
        };
    }

    /// All rows: by metric in the order they came, over all items first, then by category, by arm.
    pub fn rows(&self) -> Vec<Row> {
        let mut keys: Vec<&(usize, String)> = self.cells.keys().collect();
        keys.sort_by_key(|(metric, category)| (*metric, category != ALL, category));
        let control = self.control.as_ref().and_then(|name| self.arms.iter().position(|arm| arm == name));
        let mut rows = Vec::new();
        for key in keys {
            let cell = &self.cells[key];
            for (&arm, items) in cell {
                let parts: Vec<Part> = items.values().copied().flatten().collect();
                let reference =
                    control.filter(|&control| control != arm).and_then(|control| cell.get(&control));
                let pairs: Vec<(Part, Part)> = reference.map_or_else(Vec::new, |reference| {
                    let both = items
                        .iter()
                        .filter_map(|(item, part)| Some((part.as_ref()?, reference.get(item)?.as_ref()?)));
                    both.map(|(a, b)| (*a, *b)).collect()
                });
                rows.push(Row {
                    metric: self.metrics[key.0].clone(),
                    category: key.1.clone(),
                    arm: self.arms[arm].clone(),
                    items: parts.len(),
                    failed: items.len() - parts.len(),
                    value: self.bootstrap.ratio(&parts),
                    difference: self.bootstrap.difference(&pairs),
                });
            }
        }
        rows
    }

    /// The rows as records.
    pub fn records(&self) -> Vec<EvalRow> {
        let control = self.control.as_deref();
        self.rows().into_iter().map(|row| row.record(control)).collect()
    }

    /// Name of the arm that the others are compared with.
    pub fn control(&self) -> Option<&str> {
        self.control.as_deref()
    }
}

impl Row {
    fn record(self, control: Option<&str>) -> EvalRow {
        let (value, diff) = (self.value, self.difference);
        EvalRow {
            metric: self.metric,
            category: Some(self.category),
            arm: self.arm,
            n: Some(self.items as u64),
            failed: Some(self.failed as u64),
            value: value.map(|i| i.value),
            low: value.map(|i| i.low),
            high: value.map(|i| i.high),
            diff_to: diff.and(control).map(str::to_owned),
            diff: diff.map(|i| i.value),
            diff_low: diff.map(|i| i.low),
            diff_high: diff.map(|i| i.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(&["plain", "instructed", "sda"], "instructed", Bootstrap::default());
        for item in 0..4 {
            for (arm, value) in [("plain", 0.0), ("instructed", f64::from(item < 2)), ("sda", 1.0)] {
                // The judge failed on the last item of the steered arm.
                let part = (arm != "sda" || item != 3).then(|| Part::one(value));
                report.add("accuracy", ALL, arm, item, part);
                report.add("accuracy", if item % 2 == 0 { "even" } else { "odd" }, arm, item, part);
            }
        }
        report
    }

    #[test]
    fn failed_items_are_counted_and_in_no_value_or_difference() {
        let rows = report().rows();
        let row = |arm: &str, category: &str| {
            rows.iter().find(|row| row.arm == arm && row.category == category).unwrap().clone()
        };
        let sda = row("sda", ALL);
        assert_eq!((sda.items, sda.failed), (3, 1));
        assert_eq!(sda.value.unwrap().value, 1.0);
        // On items 0 to 2: 3/3 against 2/3.
        assert!((sda.difference.unwrap().value - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(row("instructed", ALL).difference, None);
        assert_eq!(row("plain", "even").items, 2);
        assert_eq!(rows.len(), 9);
        assert_eq!(rows[0].category, ALL, "all items come first");
    }

    #[test]
    fn results_of_one_item_are_added_up_and_count_as_one_item() {
        let mut report = Report::new(&["a", "b"], "a", Bootstrap::default());
        for item in 0..3 {
            for (arm, values) in [("a", [0.0, 0.0]), ("b", [1.0, 0.0])] {
                for value in values {
                    report.add("m", ALL, arm, item, Some(Part::one(value)));
                }
            }
        }
        report.add("m", ALL, "b", 0, None);
        let rows = report.rows();
        assert_eq!((rows[1].items, rows[1].failed), (3, 0));
        let value = rows[1].value.unwrap();
        assert_eq!((value.low, value.value, value.high), (0.5, 0.5, 0.5), "equal items, no spread");
        assert_eq!(rows[1].difference.unwrap().value, 0.5);
    }

    #[test]
    fn an_arm_that_always_failed_has_a_row_without_a_value() {
        let mut report = report();
        report.add("other", ALL, "sda", 0, None);
        report.add("other", ALL, "unknown", 0, None);
        let rows = report.rows();
        let last = rows.last().unwrap();
        assert_eq!((last.items, last.failed, last.value), (0, 1, None));
    }

    #[test]
    fn records_name_the_control_where_there_is_a_difference() {
        let records = report().records();
        let is_all = |row: &&EvalRow| row.category.as_deref() == Some(ALL);
        let find = |arm: &str| records.iter().filter(is_all).find(|row| row.arm == arm).unwrap();
        assert_eq!(find("sda").diff_to.as_deref(), Some("instructed"));
        assert_eq!(find("sda").failed, Some(1));
        assert_eq!(find("instructed").diff_to, None);
    }
}
