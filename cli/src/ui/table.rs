//! Tables of text.

use std::fmt;

/// A table whose columns are as wide as their widest cell. The first line is the head.
pub struct Table {
    /// This many columns begin at the left, as names do; the others end at the right, as numbers do.
    left: usize,
    lines: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(left: usize, head: [&str; N]) -> Table {
        Table { left, lines: vec![head.map(str::to_owned).to_vec()] }
    }

    pub fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.lines.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let chars = |line: &Vec<String>, i: usize| line.get(i).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> =
            (0..columns).map(|i| self.lines.iter().map(|line| chars(line, i)).max().unwrap_or(0)).collect();
        for line in &self.lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| {
                if i < self.left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn names_begin_and_numbers_end_below_one_another() {
        let mut table = Table::new(1, ["name", "ms", ""]);
        table.line(["γ".to_owned(), "1.5".to_owned(), "1-2".to_owned()]);
        table.line(["longer".to_owned(), "10.25".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "name       ms\nγ         1.5  1-2\nlonger  10.25\n");
    }
}
