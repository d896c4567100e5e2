//! Waiting for something outside of this program, always with a deadline.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
pub(super) fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let since = Instant::now();
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if since.elapsed() > deadline {
            bail!("waited {} s in vain: {what}", deadline.as_secs());
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Reads a value until it has not left its lowest for this long; that lowest.
pub(super) fn settled(
    quiet: Duration,
    deadline: Duration,
    mut read: impl FnMut() -> Result<f64>,
) -> Result<f64> {
    let since = Instant::now();
    let (mut lowest, mut at) = (read()?, Instant::now());
    while at.elapsed() < quiet && since.elapsed() < deadline {
        std::thread::park_timeout(10 * LOOK);
        let value = read()?;
        if value < lowest {
            (lowest, at) = (value, Instant::now());
        }
    }
    Ok(lowest)
}
