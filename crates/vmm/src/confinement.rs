//! What the host sees of a VM's process: what it may do, and what it was made of. Read from /proc (`proc(5)`), so on
//! Linux alone.

/// A hypervisor's process, seen by the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Effective capabilities, bits by number (`capability.h`).
    pub capabilities: u64,
    /// The highest capability that the host's kernel knows.
    pub last_capability: u32,
    /// Whether programs that it runs gain nothing.
    pub no_new_privs: bool,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp_mode: u32,
    /// System call filters on it.
    pub seccomp_filters: u32,
    /// Its control group; empty without control groups of version 2.
    pub cgroup: String,
    /// Memory of its own and shared, in bytes.
    pub resident_bytes: u64,
    /// Its namespaces beside this process's, by kind: inode numbers, 0 where the kernel has none.
    pub namespaces: Vec<(&'static str, u64, u64)>,
    /// The virtual devices that it began with: driver and id, empty where it has none.
    pub devices: Vec<(String, String)>,
}

impl Confinement {
    /// That of the process `pid`; none when it has ended, and on other systems than Linux. Blocking, but short.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        #[cfg(target_os = "linux")]
        return linux::read(pid);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = pid;
            None
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use super::Confinement;

    /// The kernel's eight kinds (`namespaces(7)`).
    const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

    fn field<'a>(status: &'a str, name: &str) -> &'a str {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim).unwrap_or_default()
    }

    fn number(text: &str) -> u32 {
        text.parse().unwrap_or(0)
    }

    /// The second of real, effective, saved and file system's.
    fn effective(ids: &str) -> u32 {
        ids.split_whitespace().nth(1).map_or(0, number)
    }

    fn namespace(pid: &str, kind: &str) -> u64 {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap_or_default();
        let link = link.to_string_lossy();
        link.split_once(":[").and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok()).unwrap_or(0)
    }

    /// What follows each `-device`: QEMU's own form is `driver,key=value,…` or a JSON object.
    fn devices(command_line: &[u8]) -> Vec<(String, String)> {
        let arguments: Vec<_> = command_line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        let follows = arguments.windows(2).filter(|pair| pair[0] == "-device").map(|pair| &pair[1]);
        let one = |device: &str| {
            let mut parts = device.split(',');
            let driver = parts.next().unwrap_or_default().to_owned();
            let id = parts.find_map(|part| part.strip_prefix("id=")).unwrap_or_default();
            (driver, id.to_owned())
        };
        follows.map(|device| one(device)).collect()
    }

    fn parse(status: &str) -> Confinement {
        let resident = field(status, "VmRSS").split_whitespace().next().and_then(|kib| kib.parse().ok());
        Confinement {
            uid: effective(field(status, "Uid")),
            gid: effective(field(status, "Gid")),
            capabilities: u64::from_str_radix(field(status, "CapEff"), 16).unwrap_or(0),
            no_new_privs: field(status, "NoNewPrivs") == "1",
            seccomp_mode: number(field(status, "Seccomp")),
            seccomp_filters: number(field(status, "Seccomp_filters")),
            resident_bytes: resident.unwrap_or(0u64) * 1024,
            ..Confinement::default()
        }
    }

    pub(super) fn read(pid: u32) -> Option<Confinement> {
        let pid = pid.to_string();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
        Some(Confinement {
            last_capability: number(last.trim()),
            cgroup: group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned(),
            namespaces: KINDS
                .iter()
                .map(|&kind| (kind, namespace(&pid, kind), namespace("self", kind)))
                .collect(),
            devices: devices(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()),
            ..parse(&status)
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_process_is_read() {
            let own = read(std::process::id()).unwrap();
            assert!(own.resident_bytes > 0 && own.last_capability >= 37);
            assert!(own.namespaces.iter().all(|(_, its, ours)| its == ours));
            assert_eq!(read(u32::MAX), None);
            let text = "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nVmRSS:\t     12 kB\nCapEff:\t0000000000000021\n\
                        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
            let found = parse(text);
            assert_eq!((found.uid, found.gid, found.resident_bytes), (2, 6, 12288));
            assert_eq!((found.capabilities, found.no_new_privs), (0x21, true));
            assert_eq!((found.seccomp_mode, found.seccomp_filters), (2, 1));
        }

        #[test]
        fn devices_stand_in_the_command_line() {
            let line = b"qemu\0-m\x001G\0-device\0virtio-rng-pci,bus=a,id=rng\0-device\0virtio-blk-pci\0";
            let expected = [("virtio-rng-pci", "rng"), ("virtio-blk-pci", "")];
            assert_eq!(devices(line), expected.map(|(driver, id)| (driver.to_owned(), id.to_owned())));
        }
    }
}
