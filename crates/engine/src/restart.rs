//! Restart policies: whether, and after how long. Docker's rules as pure functions.

use std::time::Duration;

use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum as Name};

/// First pause; each further one doubles.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length was a success: the pauses begin anew.
const SETTLED: Duration = Duration::from_secs(10);

/// Whether a container that ended is started again.
pub(crate) fn wanted(
    policy: Option<&RestartPolicy>,
    code: i64,
    stopped_by_user: bool,
    restarts: u32,
) -> bool {
    let Some(policy) = policy else { return false };
    if stopped_by_user {
        return false;
    }
    match policy.name {
        Some(Name::ALWAYS | Name::UNLESS_STOPPED) => true,
        Some(Name::ON_FAILURE) => {
            let most = policy.maximum_retry_count.unwrap_or(0);
            code != 0 && (most == 0 || i64::from(restarts) < most)
        }
        Some(Name::NO | Name::EMPTY) | None => false,
    }
}

/// Whether an end can lead to another start at all.
pub(crate) fn has_policy(policy: Option<&RestartPolicy>) -> bool {
    policy.is_some_and(|policy| !matches!(policy.name, Some(Name::NO | Name::EMPTY) | None))
}

/// The pause before the next start, after one of `before` and a run of length `ran`.
pub(crate) fn pause(before: Option<Duration>, ran: Duration) -> Duration {
    match before {
        Some(before) if ran < SETTLED => (before * 2).min(LONGEST),
        _ => FIRST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_started_again() {
        let policy = |name, most| RestartPolicy { name: Some(name), maximum_retry_count: Some(most) };
        for (name, most, code, by_user, restarts, expected) in [
            (Name::NO, 0, 1, false, 0, false),
            (Name::EMPTY, 0, 1, false, 0, false),
            (Name::ALWAYS, 0, 0, false, 9, true),
            (Name::ALWAYS, 0, 0, true, 0, false),
            (Name::UNLESS_STOPPED, 0, 0, false, 0, true),
            (Name::UNLESS_STOPPED, 0, 137, true, 0, false),
            (Name::ON_FAILURE, 0, 0, false, 0, false),
            (Name::ON_FAILURE, 0, 1, false, 99, true),
            (Name::ON_FAILURE, 3, 1, false, 2, true),
            (Name::ON_FAILURE, 3, 1, false, 3, false),
        ] {
            assert_eq!(
                wanted(Some(&policy(name, most)), code, by_user, restarts),
                expected,
                "{name:?} {code}"
            );
        }
        assert!(!wanted(None, 1, false, 0));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew() {
        let short = Duration::from_secs(1);
        let mut last = None;
        let mut seen = Vec::new();
        for _ in 0..12 {
            let next = pause(last, short);
            seen.push(next.as_millis());
            last = Some(next);
        }
        assert_eq!(seen[..4], [100, 200, 400, 800]);
        assert_eq!(seen[11], 60_000);
        assert_eq!(pause(last, Duration::from_secs(11)), FIRST);
    }
}
