//! The report as a table.

use crate::measure::Interval;
use crate::measure::report::{ALL, Report, Row};

use crate::ui::table::Table;

/// One line a metric, category and arm. Differences whose interval leaves out 0 are marked.
pub fn render(report: &Report, by_category: bool) -> String {
    let control = report.control().unwrap_or_default();
    let difference = if control.is_empty() { String::new() } else { format!("minus {control}") };
    let head =
        ["metric", "category", "arm", "n", "failed", "value", "95% interval", &difference, "95% interval"];
    let rows = report.rows();
    let rows = || rows.iter().filter(|row| by_category || row.category == ALL);
    let mut table = Table::new(3, head);
    for row in rows() {
        table.line(cells(row));
    }
    let mut text = table.to_string();
    if rows().any(|row| row.difference.is_some_and(leaves_out_zero)) {
        text.push_str("* the interval of the difference leaves out 0\n");
    }
    text
}

fn leaves_out_zero(interval: Interval) -> bool {
    interval.low > 0.0 || interval.high < 0.0
}

fn cells(row: &Row) -> [String; 9] {
    let number = |i: Option<Interval>, sign: bool| match i {
        Some(i) if sign => format!("{:+.4}", i.value),
        Some(i) => format!("{:.4}", i.value),
        None => "-".to_owned(),
    };
    let range = |i: Option<Interval>| i.map_or(String::new(), |i| format!("{:+.4} {:+.4}", i.low, i.high));
    let mark = match row.difference {
        Some(i) if leaves_out_zero(i) => " *",
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
