//! Measured values and what is made of them: medians, ratios, verdicts, the table.

use serde_json::{Value, json};

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes, shown as MiB.
    Bytes,
    /// So many each second.
    Rate,
    /// Bytes each second, shown as MB.
    ByteRate,
}

impl Unit {
    fn shown(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{:.0} ms", value * 1_000.0),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Rate => format!("{value:.0}/s"),
            Self::ByteRate => format!("{:.1} MB/s", value / 1e6),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Rate => "per second",
            Self::ByteRate => "bytes per second",
        }
    }
}

/// Values of one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(Vec<f64>);

impl Series {
    /// One value.
    pub(super) fn of(value: f64) -> Self {
        Self(vec![value])
    }

    /// One more value.
    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle value; of an even number, the mean of the two in the middle.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn greatest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    pub(super) fn shown(&self, unit: Unit) -> String {
        let median = unit.shown(self.median());
        if self.0.len() < 2 {
            return median;
        }
        format!("{median} ({}..{})", unit.shown(self.least()), unit.shown(self.greatest()))
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "min": self.least(), "max": self.greatest(), "values": self.0 })
    }
}

/// What a row is held against.
#[derive(Clone, Debug)]
pub(super) enum Bar {
    /// A reference of the same run, and how many times of it are allowed.
    Ratio { reference: Series, most: f64 },
    /// A reference of the same run, and how many times of it are wanted.
    AtLeast { reference: Series, least: f64 },
    /// So much in the row's own unit.
    Most(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// As `--only` names it.
    pub(super) id: &'static str,
    /// What was measured.
    pub(super) what: String,
    /// The unit of all values.
    pub(super) unit: Unit,
    /// Coracle's values.
    pub(super) ours: Series,
    /// What they are held against.
    pub(super) bar: Bar,
    /// What a reader must know of how it was measured.
    pub(super) notes: Vec<String>,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        match &self.bar {
            Bar::Ratio { reference, .. } | Bar::AtLeast { reference, .. } => {
                Some(self.ours.median() / reference.median())
            }
            Bar::Most(_) => None,
        }
    }

    /// Whether the bar is met. A row without values is not.
    pub(super) fn is_met(&self) -> bool {
        match &self.bar {
            Bar::Ratio { most, .. } => self.ratio().is_some_and(|ratio| ratio <= *most),
            Bar::AtLeast { least, .. } => self.ratio().is_some_and(|ratio| ratio >= *least),
            Bar::Most(most) => self.ours.median() <= *most,
        }
    }

    fn cells(&self) -> [String; 6] {
        let (reference, bar) = match &self.bar {
            Bar::Ratio { reference, most } => (reference.shown(self.unit), format!("{most} x")),
            Bar::AtLeast { reference, least } => (reference.shown(self.unit), format!("at least {least} x")),
            Bar::Most(most) => (String::new(), self.unit.shown(*most)),
        };
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2} x")).unwrap_or_default();
        let verdict = match &self.bar {
            _ if self.is_met() => "ok",
            Bar::AtLeast { .. } => "under",
            Bar::Ratio { .. } | Bar::Most(_) => "over",
        };
        [self.what.clone(), self.ours.shown(self.unit), reference, ratio, bar, verdict.to_owned()]
    }

    /// Everything, for machines.
    pub(super) fn json(&self) -> Value {
        let (reference, bar) = match &self.bar {
            Bar::Ratio { reference, most: bar } | Bar::AtLeast { reference, least: bar } => {
                (reference.json(), *bar)
            }
            Bar::Most(most) => (Value::Null, *most),
        };
        json!({
            "id": self.id, "what": self.what, "unit": self.unit.name(), "ours": self.ours.json(), "reference": reference,
            "ratio": self.ratio(), "bar": bar, "met": self.is_met(), "notes": self.notes,
        })
    }
}

/// The rows as a table in Markdown, which a terminal shows well enough too, and the notes below it.
pub(super) fn table(rows: &[Row]) -> String {
    let head = ["what", "ours", "reference", "ratio", "bar", ""].map(str::to_owned);
    let cells: Vec<[String; 6]> = rows.iter().map(Row::cells).collect();
    let mut wide = head.clone().map(|cell| cell.chars().count().max(3));
    for row in &cells {
        for (wide, cell) in wide.iter_mut().zip(row) {
            *wide = (*wide).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(wide).map(|(cell, wide)| format!("{cell:wide$}"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = wide.map(|wide| "-".repeat(wide));
    let mut text = line(&head) + &line(&rule);
    for row in &cells {
        text.push_str(&line(row));
    }
    for row in rows {
        for note in &row.notes {
            text.push_str(&format!("\n* {}: {note}", row.id));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series(values.to_vec())
    }

    #[test]
    fn medians() {
        for (values, median) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0, 2.0, 3.0], 2.5), (&[7.0], 7.0)] {
            assert!((series(values).median() - median).abs() < 1e-9, "{values:?}");
        }
        assert!(Series::default().median().is_nan());
    }

    fn row(ours: &[f64], bar: Bar) -> Row {
        Row {
            id: "r",
            what: "w".into(),
            unit: Unit::Seconds,
            ours: series(ours),
            bar,
            notes: vec!["n".into()],
        }
    }

    #[test]
    fn a_row_is_met_at_its_bar_and_not_above() {
        let ratio = |most| Bar::Ratio { reference: series(&[2.0]), most };
        assert!(row(&[3.0], ratio(1.5)).is_met());
        assert!(!row(&[3.1], ratio(1.5)).is_met());
        assert!(row(&[3.0], Bar::Most(3.0)).is_met());
        assert!(!row(&[], Bar::Most(3.0)).is_met());
        let wanted = |least| Bar::AtLeast { reference: series(&[2.0]), least };
        assert!(row(&[3.0], wanted(1.5)).is_met());
        assert!(!row(&[2.9], wanted(1.5)).is_met());
    }

    #[test]
    fn the_table_lines_up() {
        let bar = Bar::Ratio { reference: series(&[2.0, 2.0]), most: 1.5 };
        let text = table(&[row(&[0.5, 1.0, 2.0], bar)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| w    | 1.00 s (500 ms..2.00 s) | 2.00 s (2.00 s..2.00 s) | 0.50 x | 1.5 x | ok  |"
        );
        assert!(lines[..3].iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert_eq!(lines[3..], ["", "* r: n"]);
    }
}
