//! The processes of a running container, as /proc tells them (`man 5 proc`). Raw values: how `ps` would print
//! them the host knows.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use agent_proto::v1;

use crate::agent::user;
use crate::paths;

/// Milliseconds of a clock tick.
const MS_PER_TICK: u64 = 10;
/// Longest command line that is told.
const MAX_ARGUMENTS_BYTES: usize = 4096;
/// Bytes of a page, in which /proc counts resident memory.
const PAGE_BYTES: u64 = 4096;

fn pids(group: &Path, found: &mut Vec<u32>) {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(procs.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids(&entry.path(), found);
        }
    }
}

/// Unix seconds of the boot.
fn boot_time() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

/// As `ps` names the device (`Documentation/admin-guide/devices.txt`).
fn terminal(number: u64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        5 if minor == 1 => "console".to_owned(),
        229 => format!("hvc{minor}"),
        _ => "?".to_owned(),
    }
}

/// The fields of `/proc/pid/stat` that count. The name in parentheses may hold anything.
fn stat(text: &str, boot_unix_s: u64) -> Option<v1::ProcessInfo> {
    let (pid, rest) = text.split_once(" (")?;
    let (command, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let signed = |at: usize| fields.get(at).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
    let number = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let small = |at: usize| u32::try_from(number(at)).unwrap_or(0);
    // Numbers as in the manual, less the three that are behind us.
    Some(v1::ProcessInfo {
        pid: pid.trim().parse().ok()?,
        command: command.to_owned(),
        state: (*fields.first()?).to_owned(),
        ppid: small(1),
        pgid: small(2),
        sid: small(3),
        tty: terminal(number(4)),
        flags: small(6),
        cpu_ms: (number(11) + number(12)) * MS_PER_TICK,
        priority: signed(15),
        nice: signed(16),
        threads: small(17),
        started_unix_ms: boot_unix_s * 1000 + number(19) * MS_PER_TICK,
        virtual_bytes: number(20),
        resident_bytes: number(21) * PAGE_BYTES,
        ..v1::ProcessInfo::default()
    })
}

/// The effective id of a `Uid:` or `Gid:` line.
fn effective(status: &str, name: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// What cannot be printed is a question mark, as `ps` has it.
fn printable(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| match c {
            '\0' => ' ',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

fn one(pid: u32, boot_unix_s: u64) -> Option<v1::ProcessInfo> {
    let file = |name: &str| format!("/proc/{pid}/{name}");
    let mut process = stat(&String::from_utf8_lossy(&fs::read(file("stat")).ok()?), boot_unix_s)?;
    let status = fs::read_to_string(file("status")).unwrap_or_default();
    process.uid = effective(&status, "Uid:");
    process.gid = effective(&status, "Gid:");
    let waits_in = fs::read_to_string(file("wchan")).unwrap_or_default();
    process.waits_in = Some(waits_in).filter(|name| name != "0").unwrap_or_default();
    let mut arguments = fs::read(file("cmdline")).unwrap_or_default();
    arguments.truncate(MAX_ARGUMENTS_BYTES);
    process.arguments =
        if arguments.is_empty() { format!("[{}]", process.command) } else { printable(&arguments) };
    Some(process)
}

/// Numbers to names, from a file in passwd's or group's form.
fn names(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok())) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// Every process of the container, whose first one is `first`. Blocking.
pub(crate) fn list(container: &str, first: i32) -> v1::TopReply {
    let boot_unix_s = boot_time();
    let mut found = Vec::new();
    pids(&paths::cgroup(container), &mut found);
    found.sort_unstable();
    let (mut users, mut groups) = (HashMap::new(), HashMap::new());
    if let Ok(root) = File::open(format!("/proc/{first}/root")) {
        users = names(&user::read_beneath(&root, "/etc/passwd"));
        groups = names(&user::read_beneath(&root, "/etc/group"));
    }
    let processes = found.into_iter().filter_map(|pid| one(pid, boot_unix_s)).map(|process| {
        let user = users.get(&process.uid).cloned().unwrap_or_default();
        let group = groups.get(&process.gid).cloned().unwrap_or_default();
        v1::ProcessInfo { user, group, ..process }
    });
    v1::TopReply {
        processes: processes.collect(),
        boot_unix_s,
        mem_total_bytes: crate::agent::disks::memory().0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read() {
        let text = "42 (a) b (c) S 1 42 42 34816 42 4194560 100 0 0 0 7 3 0 0 20 5 2 0 250 4096000 250 18446744073709551615";
        let process = stat(text, 1000).unwrap();
        assert_eq!((process.pid, process.ppid, process.command.as_str()), (42, 1, "a) b (c"));
        assert_eq!((process.tty.as_str(), process.cpu_ms, process.nice), ("pts/0", 100, 5));
        assert_eq!((process.started_unix_ms, process.resident_bytes), (1_002_500, 1_024_000));
        assert_eq!((process.threads, process.flags), (2, 0x40_0100));
        assert_eq!(stat("nonsense", 0), None);
    }

    #[test]
    fn lines_are_read() {
        assert_eq!(effective("Name:\tx\nUid:\t1\t2\t3\t4\n", "Uid:"), 2);
        assert_eq!(printable(b"sh\0-c\0a\nb\0"), "sh -c a?b");
        assert_eq!(names("root:x:0:0::/:/bin/sh\ntoor:x:0:0::\nbad\n"), [(0, "root".to_owned())].into());
        assert_eq!(terminal(0), "?");
    }
}
