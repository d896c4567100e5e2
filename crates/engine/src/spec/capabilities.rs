//! Capabilities: Docker's default set, and what `CapAdd`, `CapDrop` and `Privileged` make of it.

use crate::error::Invalid;

const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// All that Linux 6.12 knows, by number.
const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// All of them, for privileged processes.
pub(super) fn all() -> Vec<String> {
    ALL.iter().map(ToString::to_string).collect()
}

/// The names of set bits, up to the highest number that a kernel knows.
pub(crate) fn names(bits: u64, last: u32) -> Vec<String> {
    let set = (0..=last.min(63)).filter(|number| bits >> number & 1 == 1);
    let name = |number| ALL.get(number as usize).map_or_else(|| format!("CAP_{number}"), ToString::to_string);
    set.map(name).collect()
}

/// The set of an ordinary container.
pub(super) fn of(add: &[String], drop: &[String]) -> Result<Vec<String>, Invalid> {
    let (add, drop) = (normal("CapAdd", add)?, normal("CapDrop", drop)?);
    let everything = |list: &[String]| list.iter().any(|name| name == "ALL");
    let mut set: Vec<&str> = match (everything(&add), everything(&drop)) {
        (true, _) => ALL.to_vec(),
        (false, true) => Vec::new(),
        (false, false) => DEFAULT.to_vec(),
    };
    // "ALL" in one list leaves the other's names to be taken one by one.
    set.retain(|name| !drop.iter().any(|dropped| dropped == name));
    for name in &add {
        if let Some(known) = ALL.iter().find(|known| **known == name)
            && !set.contains(known)
        {
            set.push(known);
        }
    }
    Ok(set.into_iter().map(str::to_owned).collect())
}

fn normal(field: &'static str, names: &[String]) -> Result<Vec<String>, Invalid> {
    let one = |given: &String| {
        let upper = given.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(upper);
        }
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if ALL.contains(&name.as_str()) {
            Ok(name)
        } else {
            Err(Invalid::Field { field, given: given.clone(), why: "unknown capability" })
        }
    };
    names.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By number, from `include/uapi/linux/capability.h`.
    const HEADER: &str = "0 CHOWN 1 DAC_OVERRIDE 2 DAC_READ_SEARCH 3 FOWNER 4 FSETID 5 KILL 6 SETGID 7 SETUID \
        8 SETPCAP 9 LINUX_IMMUTABLE 10 NET_BIND_SERVICE 11 NET_BROADCAST 12 NET_ADMIN 13 NET_RAW 14 IPC_LOCK \
        15 IPC_OWNER 16 SYS_MODULE 17 SYS_RAWIO 18 SYS_CHROOT 19 SYS_PTRACE 20 SYS_PACCT 21 SYS_ADMIN 22 SYS_BOOT \
        23 SYS_NICE 24 SYS_RESOURCE 25 SYS_TIME 26 SYS_TTY_CONFIG 27 MKNOD 28 LEASE 29 AUDIT_WRITE \
        30 AUDIT_CONTROL 31 SETFCAP 32 MAC_OVERRIDE 33 MAC_ADMIN 34 SYSLOG 35 WAKE_ALARM 36 BLOCK_SUSPEND \
        37 AUDIT_READ 38 PERFMON 39 BPF 40 CHECKPOINT_RESTORE";

    #[test]
    fn bits_have_names() {
        let words: Vec<&str> = HEADER.split_whitespace().collect();
        assert_eq!(words.len(), 2 * ALL.len());
        for pair in words.chunks(2) {
            let number: u32 = pair[0].parse().unwrap();
            assert_eq!(names(1 << number, 40), [format!("CAP_{}", pair[1])]);
        }
        assert_eq!(names(u64::MAX, 40), ALL);
        assert_eq!(names(u64::MAX, 41).last().map(String::as_str), Some("CAP_41"));
        assert_eq!(names(u64::MAX, u32::MAX).len(), 64);
        assert!(names(0, 40).is_empty());
    }

    #[test]
    fn sets() {
        let of = |add: &[&str], drop: &[&str]| {
            let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            super::of(&own(add), &own(drop))
        };
        assert_eq!(of(&[], &[]).unwrap(), DEFAULT);
        assert_eq!(of(&["ALL"], &[]).unwrap(), ALL);
        assert!(of(&[], &["all"]).unwrap().is_empty());
        assert_eq!(of(&["net_admin"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
        assert_eq!(of(&["ALL"], &["CAP_MKNOD"]).unwrap().len(), 40);
        assert!(of(&["CAP_SYS_PTRACE"], &[]).unwrap().contains(&"CAP_SYS_PTRACE".to_owned()));
        assert!(!of(&[], &["CHOWN"]).unwrap().contains(&"CAP_CHOWN".to_owned()));
        assert!(of(&["nonsense"], &[]).is_err());
    }
}
