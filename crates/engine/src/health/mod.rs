//! Health checks: what a container's `Healthcheck` means, and what its probes' results make of it. Pure; the probes
//! themselves are in [`probe`].
//!
//! ```text
//! starting ── success ─► healthy ◄── success ── unhealthy
//!    └─ failures beyond the start period ─────────►┘ ▲
//!                        healthy ── failures ────────┘
//! ```

mod probe;

use std::collections::VecDeque;
use std::time::Duration;

use bollard_stubs::models::{
    ContainerConfig, ContainerSummaryHealth, ContainerSummaryHealthStatusEnum, Health as Told, HealthConfig,
    HealthStatusEnum, HealthcheckResult,
};

use crate::error::{Error, Invalid};
use crate::time::rfc3339;

pub(crate) use probe::Monitor;

/// Docker's.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
const LEAST_NS: i64 = 1_000_000;
/// Results that are kept.
const KEPT: usize = 5;

/// What is done, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) command: Vec<String>,
    interval: Duration,
    pub(crate) timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Starting,
    Healthy,
    Unhealthy,
}

/// What is known of a container's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) status: Status,
    failing_streak: i64,
    log: VecDeque<Outcome>,
}

/// One probe's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) start_unix_ns: i64,
    pub(crate) end_unix_ns: i64,
    pub(crate) exit_code: i64,
    pub(crate) output: String,
}

fn duration(ns: Option<i64>, default: Duration) -> Duration {
    let given = ns.and_then(|ns| u64::try_from(ns).ok()).filter(|&ns| ns > 0);
    given.map_or(default, Duration::from_nanos)
}

impl Plan {
    /// None: there is nothing to check.
    pub(crate) fn of(config: &ContainerConfig) -> Option<Self> {
        let health = config.healthcheck.as_ref()?;
        let (kind, rest) = health.test.as_deref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut command = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                command.extend(rest.iter().cloned());
                command
            }
            _ => return None,
        };
        (!command.is_empty()).then(|| Self {
            command,
            interval: duration(health.interval, INTERVAL),
            timeout: duration(health.timeout, TIMEOUT),
            start_period: duration(health.start_period, Duration::ZERO),
            start_interval: duration(health.start_interval, START_INTERVAL),
            retries: health.retries.filter(|&n| n > 0).unwrap_or(RETRIES),
        })
    }

    fn is_starting(&self, started_unix_ns: i64, at_unix_ns: i64) -> bool {
        let since = u64::try_from(at_unix_ns.saturating_sub(started_unix_ns)).unwrap_or(0);
        Duration::from_nanos(since) < self.start_period
    }

    /// The pause before the next probe.
    pub(crate) fn pause(&self, status: Status, started_unix_ns: i64, now_unix_ns: i64) -> Duration {
        if status == Status::Starting && self.is_starting(started_unix_ns, now_unix_ns) {
            self.start_interval
        } else {
            self.interval
        }
    }
}

impl Status {
    /// Docker's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Health {
    /// At a start; results of the run before stay.
    pub(crate) fn begin(before: Option<Self>) -> Self {
        let log = before.map(|before| before.log).unwrap_or_default();
        Self { status: Status::Starting, failing_streak: 0, log }
    }

    /// Takes a result; the new status if it has changed.
    pub(crate) fn take(&mut self, outcome: Outcome, plan: &Plan, started_unix_ns: i64) -> Option<Status> {
        let before = self.status;
        if outcome.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if before != Status::Starting || !plan.is_starting(started_unix_ns, outcome.start_unix_ns) {
            self.failing_streak += 1;
            if self.failing_streak >= plan.retries {
                self.status = Status::Unhealthy;
            }
        }
        if self.log.len() == KEPT {
            self.log.pop_front();
        }
        self.log.push_back(outcome);
        (self.status != before).then_some(self.status)
    }

    /// As inspection shows it.
    pub(crate) fn told(&self) -> Told {
        let result = |outcome: &Outcome| HealthcheckResult {
            start: Some(rfc3339(outcome.start_unix_ns)),
            end: Some(rfc3339(outcome.end_unix_ns)),
            exit_code: Some(outcome.exit_code),
            output: Some(outcome.output.clone()),
        };
        Told {
            status: Some(match self.status {
                Status::Starting => HealthStatusEnum::STARTING,
                Status::Healthy => HealthStatusEnum::HEALTHY,
                Status::Unhealthy => HealthStatusEnum::UNHEALTHY,
            }),
            failing_streak: Some(self.failing_streak),
            log: Some(self.log.iter().map(result).collect()),
        }
    }
}

/// As a list shows it.
pub(crate) fn summary(health: Option<&Health>) -> ContainerSummaryHealth {
    use ContainerSummaryHealthStatusEnum as Shown;
    let status = match health.map(|health| health.status) {
        None => Shown::NONE,
        Some(Status::Starting) => Shown::STARTING,
        Some(Status::Healthy) => Shown::HEALTHY,
        Some(Status::Unhealthy) => Shown::UNHEALTHY,
    };
    let failing_streak = Some(health.map_or(0, |health| health.failing_streak));
    ContainerSummaryHealth { status: Some(status), failing_streak }
}

/// The container's own, field by field before the image's.
pub(crate) fn merge(own: Option<HealthConfig>, image: Option<HealthConfig>) -> Option<HealthConfig> {
    let (Some(own), Some(image)) = (own.clone(), image.clone()) else { return own.or(image) };
    let number = |own: Option<i64>, image: Option<i64>| own.filter(|&n| n != 0).or(image);
    Some(HealthConfig {
        test: own.test.filter(|test| !test.is_empty()).or(image.test),
        interval: number(own.interval, image.interval),
        timeout: number(own.timeout, image.timeout),
        retries: number(own.retries, image.retries),
        start_period: number(own.start_period, image.start_period),
        start_interval: number(own.start_interval, image.start_interval),
    })
}

/// Docker's limits.
pub(crate) fn check(health: Option<&HealthConfig>) -> Result<(), Error> {
    let Some(health) = health else { return Ok(()) };
    for (ns, text) in [
        (health.interval, "Interval in Healthcheck cannot be less than 1ms"),
        (health.timeout, "Timeout in Healthcheck cannot be less than 1ms"),
        (health.start_period, "StartPeriod in Healthcheck cannot be less than 1ms"),
        (health.start_interval, "StartInterval in Healthcheck cannot be less than 1ms"),
    ] {
        if ns.is_some_and(|ns| ns != 0 && ns < LEAST_NS) {
            return Err(Invalid::Conflicting(text).into());
        }
    }
    if health.retries.is_some_and(|n| n < 0) {
        return Err(Invalid::Conflicting("Retries in Healthcheck cannot be negative").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str]) -> ContainerConfig {
        let test = Some(test.iter().map(|&part| part.to_owned()).collect());
        let healthcheck = HealthConfig { test, ..HealthConfig::default() };
        ContainerConfig { healthcheck: Some(healthcheck), ..ContainerConfig::default() }
    }

    #[test]
    fn tests_by_table() {
        for (test, command) in [
            (vec!["CMD", "a", "b"], Some(vec!["a", "b"])),
            (vec!["CMD-SHELL", "a || b"], Some(vec!["/bin/sh", "-c", "a || b"])),
            (vec!["NONE"], None),
            (vec![], None),
            (vec!["CMD"], None),
            (vec!["ODD", "x"], None),
        ] {
            let plan = Plan::of(&config(&test));
            let found = plan.as_ref().map(|plan| plan.command.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found, command, "{test:?}");
        }
        let own = ContainerConfig { shell: Some(vec!["bash".to_owned()]), ..config(&["CMD-SHELL", "x"]) };
        assert_eq!(Plan::of(&own).unwrap().command, ["bash", "x"]);
    }

    fn outcome(at_s: i64, exit_code: i64) -> Outcome {
        let at = at_s * 1_000_000_000;
        Outcome { start_unix_ns: at, end_unix_ns: at, exit_code, output: String::new() }
    }

    #[test]
    fn health_by_table() {
        let mut config = config(&["CMD", "x"]);
        let health = config.healthcheck.as_mut().unwrap();
        health.start_period = Some(10_000_000_000);
        health.retries = Some(2);
        let plan = Plan::of(&config).unwrap();
        let mut health = Health::begin(None);
        // Time, exit code, the news, the streak.
        for (at, code, news, streak) in [
            (1, 1, None, 0),
            (9, 1, None, 0),
            (11, 1, None, 1),
            (12, 1, Some(Status::Unhealthy), 2),
            (13, 0, Some(Status::Healthy), 0),
            (14, 0, None, 0),
            (15, -1, None, 1),
            (16, 7, Some(Status::Unhealthy), 2),
        ] {
            assert_eq!(health.take(outcome(at, code), &plan, 0), news, "{at}");
            assert_eq!(health.failing_streak, streak, "{at}");
        }
        assert_eq!(health.told().log.unwrap().len(), KEPT);
        assert_eq!(Health::begin(Some(health)).told().log.unwrap().len(), KEPT);
    }

    #[test]
    fn pauses_are_short_while_it_starts() {
        let mut config = config(&["CMD", "x"]);
        config.healthcheck.as_mut().unwrap().start_period = Some(10_000_000_000);
        let plan = Plan::of(&config).unwrap();
        assert_eq!(plan.pause(Status::Starting, 0, 9_000_000_000), START_INTERVAL);
        assert_eq!(plan.pause(Status::Healthy, 0, 9_000_000_000), INTERVAL);
        assert_eq!(plan.pause(Status::Starting, 0, 11_000_000_000), INTERVAL);
    }

    #[test]
    fn fields_come_from_the_image_unless_given() {
        let image = HealthConfig {
            test: Some(vec!["CMD".to_owned(), "i".to_owned()]),
            interval: Some(5),
            retries: Some(9),
            ..HealthConfig::default()
        };
        let own = HealthConfig { interval: Some(7), test: Some(vec![]), ..HealthConfig::default() };
        let merged = merge(Some(own), Some(image.clone())).unwrap();
        assert_eq!((merged.interval, merged.retries, merged.test), (Some(7), Some(9), image.test.clone()));
        assert_eq!(merge(None, Some(image.clone())), Some(image));
        let short = HealthConfig { timeout: Some(5), ..HealthConfig::default() };
        assert!(check(Some(&short)).is_err());
    }
}
