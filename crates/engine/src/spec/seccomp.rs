//! The seccomp filter that Docker's users expect by default: a list of what is allowed, widened by the
//! container's capabilities. Everything else fails with EPERM (`clone3` with ENOSYS, so that C libraries
//! fall back to `clone`, whose flags can be seen by a filter).

use serde_json::{Value, json};

/// Allowed to everyone.
const ALLOWED: &str = include_str!("syscalls.txt");

/// Allowed with a capability.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: (&[&str], &str) = (
    &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
);
#[cfg(not(target_arch = "aarch64"))]
const ARCHITECTURE: (&[&str], &str) =
    (&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arch_prctl modify_ldt");

/// The guest is one virtual machine away from the host by vsock; containers stay off it.
const AF_VSOCK: u64 = 40;
/// Execution domains that change nothing about security: Linux, Linux32, UNAME26, both, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
/// Every `CLONE_NEW…` flag.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
const ENOSYS: u32 = 38;

/// The `linux.seccomp` of a container with these capabilities.
pub(super) fn profile(capabilities: &[String]) -> Value {
    let has = |name: &str| capabilities.iter().any(|have| have == name);
    let mut names: Vec<&str> = ALLOWED.split_ascii_whitespace().collect();
    names.extend(ARCHITECTURE.1.split(' '));
    for (capability, more) in BY_CAPABILITY {
        if has(capability) {
            names.extend(more.split_ascii_whitespace());
        }
    }
    names.sort_unstable();
    names.dedup();
    let mut rules =
        vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"}), rule("socket", 0, AF_VSOCK, "SCMP_CMP_NE")];
    rules.extend(PERSONALITIES.iter().map(|&value| rule("personality", 0, value, "SCMP_CMP_EQ")));
    if !has("CAP_SYS_ADMIN") {
        // All namespace flags must be clear.
        rules.push(json!({
            "names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        }));
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ARCHITECTURE.0,
        "syscalls": rules,
    })
}

fn rule(name: &str, index: u32, value: u64, op: &str) -> Value {
    json!({
        "names": [name], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": index, "value": value, "op": op}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(profile: &Value) -> Vec<String> {
        serde_json::from_value(profile["syscalls"][0]["names"].clone()).unwrap()
    }

    #[test]
    fn dangerous_calls_need_their_capability() {
        let plain = allowed(&profile(&[]));
        for name in
            ["mount", "unshare", "setns", "reboot", "keyctl", "add_key", "kexec_load", "bpf", "userfaultfd"]
        {
            assert!(!plain.contains(&name.to_owned()), "{name}");
        }
        for name in ["read", "openat", "execve", "futex", "wait4", "statx"] {
            assert!(plain.contains(&name.to_owned()), "{name}");
        }
        let admin = profile(&["CAP_SYS_ADMIN".to_owned()]);
        assert!(allowed(&admin).contains(&"unshare".to_owned()));
        assert!(!admin.to_string().contains("SCMP_CMP_MASKED_EQ"));
    }
}
