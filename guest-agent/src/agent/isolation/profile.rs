//! How wide a system call profile is. The profile itself is compiled and gone by the time that someone asks, so its
//! numbers are kept beside the bundle.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use agent_proto::v1;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use serde::{Deserialize, Serialize};

/// Name of the file in the folder of a container.
const FILE: &str = "profile.json";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Width {
    default_action: String,
    allowed: u32,
    conditional: u32,
    refused: u32,
}

fn allows(action: LinuxSeccompAction) -> bool {
    matches!(action, LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog)
}

fn width(profile: &LinuxSeccomp) -> Width {
    #[derive(Default)]
    struct Seen {
        allowed: bool,
        refused: bool,
        conditional: bool,
    }
    let mut names: BTreeMap<&str, Seen> = BTreeMap::new();
    for rule in profile.syscalls().iter().flatten() {
        let conditional = rule.args().as_ref().is_some_and(|args| !args.is_empty());
        for name in rule.names() {
            let seen = names.entry(name).or_default();
            match (conditional, allows(rule.action())) {
                (true, _) => seen.conditional = true,
                (false, true) => seen.allowed = true,
                (false, false) => seen.refused = true,
            }
        }
    }
    let mut width = Width {
        default_action: serde_json::to_value(profile.default_action())
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default(),
        ..Width::default()
    };
    for seen in names.values() {
        // A rule without a condition counts whatever stands beside it.
        match seen {
            Seen { allowed: true, .. } => width.allowed += 1,
            Seen { conditional: true, .. } => width.conditional += 1,
            Seen { .. } => width.refused += 1,
        }
    }
    width
}

/// Notes the numbers in the folder of a container, or that it has no profile.
pub(in crate::agent) fn note(profile: Option<&LinuxSeccomp>, dir: &Path) -> io::Result<()> {
    let file = dir.join(FILE);
    match profile {
        Some(profile) => fs::write(file, serde_json::to_vec(&width(profile))?),
        None => match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// What was noted.
pub(super) fn read(dir: &Path) -> Option<v1::SystemCallFilter> {
    let Width { default_action, allowed, conditional, refused } =
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()?;
    Some(v1::SystemCallFilter { default_action, allowed, conditional, refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_once() {
        let profile: LinuxSeccomp = serde_json::from_str(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#,
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        note(Some(&profile), dir.path()).unwrap();
        let found = read(dir.path()).unwrap();
        assert_eq!(found.default_action, "SCMP_ACT_ERRNO");
        assert_eq!((found.allowed, found.conditional, found.refused), (2, 1, 1));
        note(None, dir.path()).unwrap();
        note(None, dir.path()).unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
