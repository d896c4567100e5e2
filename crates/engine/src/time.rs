//! Times as Docker writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Docker's "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// Nanoseconds since 1970 by the host's clock.
pub(crate) fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339; 0 is never.
pub(crate) fn rfc3339(unix_ns: i64) -> String {
    if unix_ns == 0 {
        return NEVER.to_owned();
    }
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(|_| NEVER.to_owned(), |t| t.to_string())
}

/// RFC 3339 without fractions.
pub(crate) fn rfc3339_seconds(unix_ns: i64) -> String {
    rfc3339(unix_ns - unix_ns.rem_euclid(1_000_000_000))
}

/// Docker's `until`: a duration before now (Go's `1h30m`), unix seconds, or a date. In nanoseconds since 1970.
pub fn until(text: &str) -> Option<i64> {
    if let Some(ago) = go_duration(text) {
        return now_unix_ns().checked_sub(ago);
    }
    if let Some((seconds, decimals)) = text.split_once('.').or(Some((text, "")))
        && let Ok(seconds) = seconds.parse::<i64>()
        && decimals.len() <= 9
    {
        return seconds.checked_mul(1_000_000_000)?.checked_add(format!("{decimals:0<9}").parse().ok()?);
    }
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    i64::try_from(instant?.as_nanosecond()).ok()
}

/// Go's `time.ParseDuration`, of what is not negative.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let units =
            [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let (unit, ns) = units.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number.parse::<f64>().ok()? * ns;
        rest = &after[unit.len()..];
    }
    #[allow(clippy::cast_possible_truncation, reason = "a duration before 1970 is as good as that")]
    (!text.is_empty()).then_some(total as i64)
}

/// How long, in Docker's words (`go-units`, `HumanDuration`).
pub(crate) fn human(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (180, "3 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86400, "13 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn until_reads_durations_and_times() {
        for (text, ns) in [
            ("1700000000", 1_700_000_000_000_000_000),
            ("1700000000.5", 1_700_000_000_500_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
            ("2023-11-14T22:13:20", 1_700_000_000_000_000_000),
        ] {
            assert_eq!(until(text), Some(ns), "{text}");
        }
        for (text, ns) in [("1h30m", 5_400_000_000_000), ("10ms", 10_000_000), ("1.5s", 1_500_000_000)] {
            assert_eq!(go_duration(text), Some(ns));
        }
        assert!(until("1h").unwrap() < now_unix_ns());
        for text in ["", "soon", "1x"] {
            assert_eq!(until(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_rfc3339_with_nanoseconds() {
        assert_eq!(rfc3339(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123456789Z");
        assert_eq!(rfc3339(0), NEVER);
    }
}
