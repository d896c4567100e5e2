//! What a user sees of a long step: a spinner with the time on a terminal, plain lines elsewhere.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Run one step under a heading, and say how long it took and whether it worked.
pub(crate) fn step<T>(heading: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let bar = spinner(heading);
    let since = Instant::now();
    let result = work();
    bar.finish_and_clear();
    let mark = if result.is_ok() { "done" } else { "FAILED" };
    eprintln!("{heading}: {mark} in {}", seconds(since.elapsed()));
    result
}

fn spinner(heading: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{heading} ...");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(heading.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A duration as a person reads it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
