//! What was tried, and what stopped it.
//!
//! [`crate::inside`] tries, and tells what it saw ([`Attempt`]); [`judge`] says which mechanism it was. Mechanisms are
//! named from the inside out, in the order in which they stand in the way: the first one stopped the attempt, the others
//! would have, had it not been there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Something that one ought not to be able to do to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Mounts a file system.
    Mount,
    /// Takes hold of another container's process.
    PtraceForeign,
    /// Reads the kernel's memory.
    ReadKcore,
    /// Loads a kernel module.
    LoadModule,
    /// Writes a setting of the kernel.
    WriteSysctl,
    /// Connects to a program that listens on the host's loopback, at 127.0.0.1.
    HostLoopback,
    /// Connects to that program by the address that the VM has for the host.
    HostGateway,
    /// Connects to another container.
    OtherContainer,
    /// Crashes the kernel.
    KernelPanic,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What an attempt was told to reach.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Targets {
    /// Where on its loopback the host listens.
    pub host_port: u16,
    /// What the VM calls the host.
    pub host_gateway: IpAddr,
    /// What the host answers there.
    pub host_word: String,
    /// The other container.
    pub neighbour: IpAddr,
    /// What it answers, and has in its command line.
    pub neighbour_word: String,
    /// Its first process, as its guest counts.
    pub neighbour_pid: u32,
}

/// What came of an attempt, as it looked from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Attempt {
    /// What was tried.
    pub probe: Probe,
    /// It went through.
    pub succeeded: bool,
    /// The kernel's answer.
    pub errno: Option<i32>,
    /// The system call filter refuses exactly this call.
    pub filtered: bool,
    /// What lies upon the path.
    pub cover: Option<Cover>,
    /// The capability that the kernel asks for here, when the process lacks it.
    pub missing_capability: Option<String>,
    /// There was nobody at the address or under the number.
    pub nobody_there: bool,
    /// What was done and seen, for people.
    pub detail: String,
}

/// What lies upon a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Cover {
    /// Another file.
    Masked,
    /// A mount that is read-only.
    ReadOnly,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The process counts processes by itself.
    pub own_pid_namespace: bool,
    /// The process has a network of its own.
    pub own_net_namespace: bool,
    /// The other container is on the same kernel.
    pub neighbours_kernel: bool,
}

/// What refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// The system call filter, before the kernel looks at the call.
    Seccomp,
    /// Something else lies upon the path.
    MaskedPath,
    /// The path is mounted read-only.
    ReadOnlyPath,
    /// The process lacks a right of root's.
    Capability,
    /// The thing has no name in here.
    Namespace,
    /// The thing is not in this machine.
    Hypervisor,
    /// The kernel, for another reason.
    Kernel,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether something crosses the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does not.
    Refused,
    /// It does.
    Allowed,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What came of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Finding {
    /// Whether it crossed the border.
    pub outcome: Outcome,
    /// What refused it.
    pub by: Option<Mechanism>,
    /// What would have refused it next, from the inside out.
    pub behind: Vec<Mechanism>,
    /// The kernel's answer.
    pub errno: Option<i32>,
    /// What was done and seen, for people.
    pub detail: String,
}

/// What stopped an attempt.
#[must_use]
pub fn judge(attempt: &Attempt, around: Around) -> Finding {
    let finding = |outcome, by, behind| Finding {
        outcome,
        by,
        behind,
        errno: attempt.errno,
        detail: attempt.detail.clone(),
    };
    if attempt.succeeded {
        return finding(Outcome::Allowed, None, Vec::new());
    }
    let mut mechanisms = obstacles(attempt, around).into_iter();
    finding(Outcome::Refused, Some(mechanisms.next().unwrap_or(Mechanism::Kernel)), mechanisms.collect())
}

fn obstacles(attempt: &Attempt, around: Around) -> Vec<Mechanism> {
    let cover = match attempt.cover {
        Some(Cover::Masked) => Some(Mechanism::MaskedPath),
        Some(Cover::ReadOnly) => Some(Mechanism::ReadOnlyPath),
        Some(Cover::Unknown) | None => None,
    };
    // A namespace hides what is there; a hypervisor is why it is not there.
    let (hidden, elsewhere) = match attempt.probe {
        Probe::PtraceForeign => (around.own_pid_namespace, !around.neighbours_kernel),
        Probe::HostLoopback => (around.own_net_namespace, true),
        Probe::HostGateway => (false, true),
        // Containers of one network see each other.
        Probe::OtherContainer => {
            (around.own_net_namespace && around.neighbours_kernel, !around.neighbours_kernel)
        }
        _ => (false, false),
    };
    let found = [
        attempt.filtered.then_some(Mechanism::Seccomp),
        cover,
        attempt.missing_capability.is_some().then_some(Mechanism::Capability),
        (attempt.nobody_there && hidden).then_some(Mechanism::Namespace),
        (attempt.nobody_there && elsewhere).then_some(Mechanism::Hypervisor),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: Around =
        Around { own_pid_namespace: true, own_net_namespace: true, neighbours_kernel: true };
    const VM: Around = Around { neighbours_kernel: false, ..CONTAINER };
    const VM_UNFENCED: Around =
        Around { own_pid_namespace: false, own_net_namespace: false, neighbours_kernel: false };

    fn of(probe: Probe) -> Attempt {
        Attempt { probe, ..Attempt::default() }
    }

    #[test]
    fn mechanisms_by_table() {
        use Mechanism::{Capability, Hypervisor, Kernel, MaskedPath, Namespace, ReadOnlyPath, Seccomp};
        let without = |capability: &str, attempt| Attempt {
            missing_capability: Some(capability.to_owned()),
            ..attempt
        };
        let filtered = |attempt| Attempt { filtered: true, ..attempt };
        let nobody = |probe| Attempt { nobody_there: true, ..of(probe) };
        let covered = |cover, probe| Attempt { cover: Some(cover), ..of(probe) };
        for (attempt, around, expected) in [
            (filtered(without("CAP_SYS_ADMIN", of(Probe::Mount))), CONTAINER, &[Seccomp, Capability][..]),
            (without("CAP_SYS_ADMIN", of(Probe::Mount)), CONTAINER, &[Capability]),
            (of(Probe::Mount), CONTAINER, &[Kernel]),
            (
                without("CAP_SYS_RAWIO", covered(Cover::Masked, Probe::ReadKcore)),
                VM,
                &[MaskedPath, Capability],
            ),
            (covered(Cover::ReadOnly, Probe::WriteSysctl), CONTAINER, &[ReadOnlyPath]),
            (nobody(Probe::PtraceForeign), CONTAINER, &[Namespace]),
            (nobody(Probe::PtraceForeign), VM, &[Namespace, Hypervisor]),
            (nobody(Probe::PtraceForeign), VM_UNFENCED, &[Hypervisor]),
            (filtered(nobody(Probe::PtraceForeign)), VM_UNFENCED, &[Seccomp, Hypervisor]),
            (nobody(Probe::HostLoopback), CONTAINER, &[Namespace, Hypervisor]),
            (nobody(Probe::HostLoopback), VM_UNFENCED, &[Hypervisor]),
            (nobody(Probe::HostGateway), CONTAINER, &[Hypervisor]),
            (nobody(Probe::OtherContainer), CONTAINER, &[Namespace]),
            (nobody(Probe::OtherContainer), VM, &[Hypervisor]),
        ] {
            let found = judge(&attempt, around);
            assert_eq!(found.outcome, Outcome::Refused);
            let all: Vec<_> = found.by.into_iter().chain(found.behind).collect();
            assert_eq!(all, expected, "{attempt:?} {around:?}");
        }
    }

    #[test]
    fn what_succeeds_is_allowed() {
        let found = judge(&Attempt { succeeded: true, filtered: true, ..of(Probe::Mount) }, CONTAINER);
        assert_eq!((found.outcome, found.by, found.behind), (Outcome::Allowed, None, Vec::new()));
    }
}
