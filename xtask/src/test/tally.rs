//! How many tests passed and failed, out of what the test runners print.

use std::fmt;

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Passed, after a retry too.
    pub(super) passed: u64,
    /// Failed or timed out.
    pub(super) failed: u64,
}

impl Tally {
    /// At least one failure.
    pub(super) fn with_a_failure(self) -> Self {
        Self { failed: self.failed.max(1), ..self }
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The summaries of nextest (`Summary [ 1.2s] 9 tests run: 8 passed, 1 failed, 2 skipped`) and of vitest
/// (`Tests  1 failed | 8 passed (9)`).
pub(super) fn read(output: &str) -> Option<Tally> {
    let plain = without_colours(output);
    let mut found = None;
    for line in plain.lines().map(str::trim) {
        let counts = if line.starts_with("Summary [") {
            line.split_once("run:").map(|(_, counts)| counts)
        } else {
            line.strip_prefix("Tests ").filter(|rest| rest.contains("passed") || rest.contains("failed"))
        };
        if let Some(counts) = counts {
            found = Some(found.unwrap_or(Tally::default()).plus(count(counts)));
        }
    }
    found
}

fn count(counts: &str) -> Tally {
    let mut tally = Tally::default();
    for part in counts.split([',', '|']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match what {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "timed" => tally.failed += number,
            _ => {}
        }
    }
    tally
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // ECMA-48: an escape sequence ends with a letter.
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nextest() {
        let text = "noise 3 passed\n     Summary [   1.204s] 9 tests run: 6 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 2 skipped\n";
        assert_eq!(read(text), Some(Tally { passed: 6, failed: 3 }));
        let none = "     Summary [   0.000s] 0 tests run: 0 passed, 4 skipped\n";
        assert_eq!(read(none), Some(Tally { passed: 0, failed: 0 }));
    }

    #[test]
    fn reads_vitest_in_colour() {
        let text = "\u{1b}[2m Test Files \u{1b}[22m 3 passed (3)\n\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m\u{1b}[22m | \u{1b}[32m7 passed\u{1b}[39m (8)\n";
        assert_eq!(read(text), Some(Tally { passed: 7, failed: 1 }));
    }

    #[test]
    fn no_summary_is_not_nought() {
        assert_eq!(read("error: could not compile"), None);
        assert_eq!(Tally::default().with_a_failure().to_string(), "0 passed, 1 failed");
    }
}
