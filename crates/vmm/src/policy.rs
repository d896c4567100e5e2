//! Which transition follows: pure functions, so that every case stands in a table.
//!
//! ```text
//!   Attaching ─nothing─► Off ──start──► Booting ──hello──► Running ──link lost──► Repairing
//!       │                 ▲               │  ▲               │  ▲                   │   │
//!       └──attached───────│───────────────│──│──────────────►│  └─────repaired──────┘   │
//!                         │            failed│           death                       failed
//!                      removed            ▼  └─retry due─┐   ▼                          │
//!                         └── Removing ◄─stop─ ─ ─ ─ ─ Failed ◄─────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::RestartPolicy;

/// Where the machine's life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Another process has the lock.
    Unowned,
    Attaching,
    Off,
    Booting,
    Running,
    Repairing,
    Removing,
    Failed,
}

/// What is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Start,
    Stop,
    Restart,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is so already.
    Done,
    /// Begin to boot and answer when that ends.
    Boot,
    /// Answer when the boot under way ends.
    Join,
    /// Begin to take the machine down and answer when that ends.
    Remove,
    /// Take the machine down, then look at the command again.
    RemoveFirst,
    /// End the boot under way, then look at the command again.
    CancelFirst,
    /// Look at the command again when what is under way has ended.
    Later,
    /// Nobody runs and nobody shall: forget the failure.
    Forget,
    /// Try for the lock.
    Acquire,
}

pub(crate) fn step(phase: Phase, ask: Ask) -> Step {
    match (phase, ask) {
        (Phase::Unowned, _) => Step::Acquire,
        (Phase::Off | Phase::Failed, Ask::Start | Ask::Restart) => Step::Boot,
        (Phase::Off, Ask::Stop) | (Phase::Running, Ask::Start) => Step::Done,
        (Phase::Failed, Ask::Stop) => Step::Forget,
        // A boot under way is as fresh as one that would begin now.
        (Phase::Booting, Ask::Start | Ask::Restart) => Step::Join,
        (Phase::Booting, Ask::Stop) => Step::CancelFirst,
        (Phase::Running, Ask::Stop) => Step::Remove,
        (Phase::Running, Ask::Restart) => Step::RemoveFirst,
        (Phase::Attaching | Phase::Repairing | Phase::Removing, _) => Step::Later,
    }
}

/// Counts unexpected deaths and says whether and when to start again.
#[derive(Debug, Default)]
pub(crate) struct Deaths(VecDeque<Instant>);

impl Deaths {
    /// One more death: the wait before the next start, or `None` to give up.
    pub(crate) fn another(&mut self, now: Instant, policy: &RestartPolicy) -> Option<Duration> {
        self.0.retain(|&death| now.duration_since(death) < policy.window);
        let before = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if before >= policy.max {
            return None;
        }
        self.0.push_back(now);
        let doubled = policy.first_delay.saturating_mul(1u32.checked_shl(before).unwrap_or(u32::MAX));
        Some(doubled.min(policy.max_delay))
    }

    /// Somebody took the matter in hand.
    pub(crate) fn forgive(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_knows_every_command() {
        use Ask::{Restart, Start, Stop};
        let table = [
            (Phase::Unowned, [Step::Acquire, Step::Acquire, Step::Acquire]),
            (Phase::Attaching, [Step::Later, Step::Later, Step::Later]),
            (Phase::Off, [Step::Boot, Step::Done, Step::Boot]),
            (Phase::Booting, [Step::Join, Step::CancelFirst, Step::Join]),
            (Phase::Running, [Step::Done, Step::Remove, Step::RemoveFirst]),
            (Phase::Repairing, [Step::Later, Step::Later, Step::Later]),
            (Phase::Removing, [Step::Later, Step::Later, Step::Later]),
            (Phase::Failed, [Step::Boot, Step::Forget, Step::Boot]),
        ];
        for (phase, expected) in table {
            let got = [Start, Stop, Restart].map(|ask| step(phase, ask));
            assert_eq!(got, expected, "{phase:?}");
        }
    }

    #[test]
    fn restarts_back_off_and_give_up() {
        let policy = RestartPolicy {
            max: 3,
            window: Duration::from_secs(60),
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(3),
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deaths = Deaths::default();
        assert_eq!(deaths.another(at(0), &policy), Some(Duration::from_secs(1)));
        assert_eq!(deaths.another(at(1), &policy), Some(Duration::from_secs(2)));
        assert_eq!(deaths.another(at(2), &policy), Some(Duration::from_secs(3)));
        assert_eq!(deaths.another(at(3), &policy), None);
        assert_eq!(deaths.another(at(61), &policy), Some(Duration::from_secs(2)), "two have left the window");
        deaths.forgive();
        assert_eq!(deaths.another(at(62), &policy), Some(Duration::from_secs(1)));
        assert_eq!(Deaths::default().another(at(0), &RestartPolicy::NEVER), None);
    }
}
