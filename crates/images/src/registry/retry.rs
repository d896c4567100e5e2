//! Patience with registries that are busy or broken: how often, and how long in between.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Requests in a row that may fail.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Who is told to wait longer tells the user instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pauses of one request.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// How long to wait after one more failure; nothing when it is time to give up. `told` is what the
    /// registry asks for.
    pub(crate) fn pause(&mut self, told: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= ATTEMPTS || told.is_some_and(|told| told > LONGEST_PAUSE) {
            return None;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow(self.failures - 1);
        // Clients that were turned away together do not come back together.
        Some(doubled.mul_f64(rand::random_range(0.75..1.25)).max(told.unwrap_or_default()))
    }
}

/// Whether asking again may help.
pub(crate) fn passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=504)
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
pub(crate) fn told(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = at.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = std::iter::from_fn(|| patience.pause(None)).collect();
        assert_eq!(pauses.len(), ATTEMPTS as usize - 1);
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(5));
        let second = Duration::from_secs(1);
        assert_eq!(Patience::default().pause(Some(second)), Some(second));
        assert_eq!(Patience::default().pause(Some(Duration::from_secs(3600))), None);
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let told = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            super::told(&headers)
        };
        assert_eq!(told("7"), Some(Duration::from_secs(7)));
        assert_eq!(told("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(told("Fri, 31 Dec 2100 23:59:59 GMT").unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(told("soon"), None);
    }
}
