//! The report as a table.

use std::io::{self, Write};

use crate::measure::Interval;
use crate::measure::report::{ALL, Report, Row};

use crate::failure::{Failure, Outcome};

/// Writes to standard output. A reader that has seen enough is no failure.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// One line a metric, category and arm. Differences whose interval leaves out 0 are marked.
pub fn render(report: &Report, by_category: bool) -> String {
    let control = report.control().unwrap_or_default();
    let difference = if control.is_empty() { String::new() } else { format!("minus {control}") };
    let head =
        ["metric", "category", "arm", "n", "failed", "value", "95% interval", &difference, "95% interval"];
    let mut lines: Vec<[String; 9]> = vec![head.map(str::to_owned)];
    for row in report.rows().iter().filter(|row| by_category || row.category == ALL) {
        lines.push(cells(row));
    }
    let widths: Vec<usize> =
        (0..9).map(|i| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| match i {
            0..=2 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    if lines.iter().any(|line| line[8].ends_with('*')) {
        text.push_str("* the interval of the difference leaves out 0\n");
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let number = |i: Option<Interval>, sign: bool| match i {
        Some(i) if sign => format!("{:+.4}", i.value),
        Some(i) => format!("{:.4}", i.value),
        None => "-".to_owned(),
    };
    let range = |i: Option<Interval>| i.map_or(String::new(), |i| format!("{:+.4} {:+.4}", i.low, i.high));
    let mark = match row.difference {
        Some(i) if i.low > 0.0 || i.high < 0.0 => " *",
        Some(_) => "  ",
        None => "",
    };
    [
        row.metric.clone(),
        row.category.clone(),
        row.arm.clone(),
        row.items.to_string(),
        row.failed.to_string(),
        number(row.value, false),
        row.value.map_or(String::new(), |i| format!("{:.4} {:.4}", i.low, i.high)),
        if row.difference.is_some() { number(row.difference, true) } else { String::new() },
        range(row.difference) + mark,
    ]
}

#[cfg(test)]
mod tests {
    use crate::measure::{Bootstrap, Part};

    use super::*;

    #[test]
    fn the_table_marks_differences_that_leave_out_zero_and_shows_failures() {
        let mut report = Report::new(&["instructed", "sda"], "instructed", Bootstrap::default());
        for item in 0..30 {
            report.add("mc1", ALL, "instructed", item, Some(Part::one(0.0)));
            report.add("mc1", ALL, "sda", item, (item != 0).then_some(Part::one(1.0)));
            report.add("mc1", "Health", "sda", item, Some(Part::one(1.0)));
        }
        let text = render(&report, false);
        let sda = text.lines().find(|line| line.contains(" sda ")).unwrap();
        assert!(sda.contains(" 29 ") && sda.contains(" 1 ") && sda.ends_with('*'), "{text}");
        assert!(!text.contains("Health") && render(&report, true).contains("Health"));
    }
}
