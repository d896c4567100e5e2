//! The container's control group (`Documentation/admin-guide/cgroup-v2.rst`): what it may use, and uses.

use std::path::Path;

use agent_proto::v1;

use super::text;

/// The period that the kernel begins with.
const DEFAULT_PERIOD_US: u64 = 100_000;
/// Lines of `io.max` that are told.
const MAX_LINES: usize = 64;

/// `0::/coracle/…` of `/proc/PID/cgroup`.
fn path(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default()
}

/// `quota period`, the quota a number or `max`.
fn cpu_max(text: &str) -> (Option<u64>, u64) {
    let mut parts = text.split_whitespace();
    let quota = parts.next().and_then(|quota| quota.parse().ok());
    (quota, parts.next().and_then(|period| period.parse().ok()).unwrap_or(DEFAULT_PERIOD_US))
}

/// `of_process` is its `/proc/PID/cgroup`, `folder` the container's group, which the process may have gone below.
pub(super) fn of(of_process: &str, folder: &Path) -> v1::ControlGroup {
    let file = |name: &str| text(folder.join(name));
    // `max` is no number.
    let number = |name: &str| file(name).parse::<u64>().ok();
    let (cpu_quota_us, cpu_period_us) = cpu_max(&file("cpu.max"));
    let wished = file("cpuset.cpus");
    v1::ControlGroup {
        path: path(of_process).to_owned(),
        memory_max_bytes: number("memory.max"),
        memory_high_bytes: number("memory.high"),
        memory_current_bytes: number("memory.current").unwrap_or(0),
        cpu_quota_us,
        cpu_period_us,
        cpuset: if wished.is_empty() { file("cpuset.cpus.effective") } else { wished },
        pids_max: number("pids.max"),
        pids_current: number("pids.current").unwrap_or(0),
        io_max: file("io.max").lines().take(MAX_LINES).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn limits_and_their_absence() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("memory.max", "67108864\n"),
            ("memory.high", "max\n"),
            ("memory.current", "4096\n"),
            ("cpu.max", "50000 100000\n"),
            ("cpuset.cpus", "\n"),
            ("cpuset.cpus.effective", "0-1\n"),
            ("pids.max", "max\n"),
            ("pids.current", "2\n"),
            ("io.max", "8:0 rbps=1048576 wbps=max riops=max wiops=max\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let found = of("1:name=systemd:/x\n0::/coracle/abc\n", dir.path());
        assert_eq!(found.path, "/coracle/abc");
        assert_eq!((found.memory_max_bytes, found.memory_high_bytes), (Some(64 << 20), None));
        assert_eq!((found.cpu_quota_us, found.cpu_period_us), (Some(50_000), 100_000));
        assert_eq!((found.cpuset.as_str(), found.pids_max, found.pids_current), ("0-1", None, 2));
        assert_eq!(found.io_max.len(), 1);
        assert_eq!(cpu_max("max 20000"), (None, 20_000));
        let none = of("", Path::new("/no/such/group"));
        assert_eq!((none.memory_max_bytes, none.cpu_period_us), (None, DEFAULT_PERIOD_US));
    }
}
