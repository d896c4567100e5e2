//! The steps of a test run: headings, times and counts.

use super::tally::Tally;
use crate::progress::seconds;
use anyhow::Result;
use std::time::{Duration, Instant};

/// What has run.
#[derive(Default)]
pub(super) struct Steps {
    done: Vec<Step>,
}

struct Step {
    heading: String,
    time: Duration,
    tally: Tally,
    /// Whether there is something to count beside success.
    tests: bool,
}

impl Steps {
    /// Runs a step that passes or fails as a whole, and returns whether it passed.
    pub(super) fn run(&mut self, heading: &str, work: impl FnOnce() -> Result<()>) -> bool {
        self.add(heading, false, || work().map(|()| Tally::default()))
    }

    /// Runs a step that counts its tests.
    pub(super) fn count(&mut self, heading: &str, work: impl FnOnce() -> Result<Tally>) -> bool {
        self.add(heading, true, work)
    }

    fn add(&mut self, heading: &str, tests: bool, work: impl FnOnce() -> Result<Tally>) -> bool {
        println!("\n== {heading}");
        let since = Instant::now();
        let tally = work().unwrap_or_else(|error| {
            println!("{error:#}");
            Tally::default().with_a_failure()
        });
        let step = Step { heading: heading.to_owned(), time: since.elapsed(), tally, tests };
        println!("== {}", step.line(0));
        let passed = step.tally.failed == 0;
        self.done.push(step);
        passed
    }

    /// All tests of all steps.
    pub(super) fn tally(&self) -> Tally {
        self.done.iter().fold(Tally::default(), |sum, step| sum.plus(step.tally))
    }

    /// A line for each step.
    pub(super) fn table(&self) -> String {
        let wide = self.done.iter().map(|step| step.heading.len()).max().unwrap_or(0);
        self.done.iter().map(|step| step.line(wide) + "\n").collect()
    }
}

impl Step {
    fn line(&self, wide: usize) -> String {
        let verdict = if self.tally.failed == 0 { "ok" } else { "FAILED" };
        let counts = if self.tests { format!("  {}", self.tally) } else { String::new() };
        format!("{:wide$}  {verdict:6}  {:>8}{counts}", self.heading, seconds(self.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_as_one_failure() {
        let mut steps = Steps::default();
        assert!(steps.count("tests", || Ok(Tally { passed: 3, failed: 0 })));
        assert!(!steps.run("check", || anyhow::bail!("no")));
        assert!(steps.run("other", || Ok(())));
        assert_eq!(steps.tally().to_string(), "3 passed, 1 failed");
        assert_eq!(steps.table().lines().count(), 3);
    }
}
