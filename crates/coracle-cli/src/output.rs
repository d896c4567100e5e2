//! Text for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::exit::Failure;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or else what `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let printed = if self.json { serde_json::to_string_pretty(value)? } else { text(value) };
        line(&printed)
    }
}

/// One line on stdout.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Columns, each as wide as its widest cell, three spaces apart, as docker prints them.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: Vec<&str>| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
        }
        text.truncate(text.trim_end().len());
        text
    };
    let mut lines = vec![render(head.to_vec())];
    lines.extend(rows.iter().map(|row| render(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// Bytes in powers of 1000 with three digits, as docker prints sizes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes}B"),
        (_, v) if v < 10.0 => format!("{v:.2}{}", UNITS[unit]),
        (_, v) if v < 100.0 => format!("{v:.1}{}", UNITS[unit]),
        (_, v) => format!("{v:.0}{}", UNITS[unit]),
    }
}

/// How long ago a time in seconds since 1970 was, in docker's words.
pub(crate) fn ago(unix_s: i64) -> String {
    let seconds = (jiff::Timestamp::now().as_second() - unix_s).max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let text = match hours {
        _ if seconds < 1 => return "Less than a second ago".into(),
        _ if seconds < 60 => plural(seconds, "second"),
        _ if minutes == 1 => "About a minute".into(),
        0 => plural(minutes, "minute"),
        1 => "About an hour".into(),
        2..48 => plural(hours, "hour"),
        48..336 => plural(hours / 24, "day"),
        336..1440 => plural(hours / 24 / 7, "week"),
        1440..17520 => plural(hours / 24 / 30, "month"),
        _ => plural(hours / 24 / 365, "year"),
    };
    format!("{text} ago")
}

fn plural(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A mark before a finding; coloured on a terminal that has not asked for plain text.
pub(crate) fn mark(level: client::Level) -> String {
    let (mark, colour) = match level {
        client::Level::Ok => ("ok   ", "32"),
        client::Level::Warn => ("warn ", "33"),
        client::Level::Error => ("error", "31"),
    };
    if coloured() { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.to_owned() }
}

fn coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in
            [(0, "0B"), (999, "999B"), (1_000, "1.00kB"), (4_260_000, "4.26MB"), (77_900_000_000, "77.9GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let text = table(&["A", "BB"], &[vec!["long".into(), "x".into()], vec!["é".into(), "y".into()]]);
        assert_eq!(text, "A      BB\nlong   x\né      y");
    }

    #[test]
    fn ages_are_dockers() {
        let now = jiff::Timestamp::now().as_second();
        assert_eq!(ago(now - 5), "5 seconds ago");
        assert_eq!(ago(now - 90), "About a minute ago");
        assert_eq!(ago(now - 7200), "2 hours ago");
        assert_eq!(ago(now - 86400 * 3), "3 days ago");
    }
}
