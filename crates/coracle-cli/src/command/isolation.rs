//! `coracle isolation`: what fences a container off, in at most 100 columns.

use std::collections::BTreeMap;

use client::isolation::{
    Capabilities, ControlGroup, Isolation, Namespace, Relation, Runtime, Seccomp, SeccompMode, Users, VmSide,
};

use crate::exit::{Exit, Failure};
use crate::output::{Output, size, table};

pub(super) const WIDTH: usize = 100;
/// Of the words before facts.
const LABEL: usize = 15;
/// Mounts and devices that are printed; `--json` has more.
const MOST: usize = 40;

pub(crate) async fn run(container: &str, out: Output) -> Result<Exit, Failure> {
    let found = super::connect().await?.container_isolation(container).await?;
    out.print(&found, text)?;
    Ok(Exit::OK)
}

/// A fact behind its word, wrapped at blanks.
pub(super) fn fact(label: &str, value: &str) -> String {
    let mut lines = vec![format!("{label:LABEL$}")];
    for word in value.split(' ') {
        let full = lines.last().is_some_and(|line| {
            let long = line.chars().count() + word.chars().count() >= WIDTH;
            long && line.chars().count() > LABEL
        });
        if full {
            lines.push(" ".repeat(LABEL));
        }
        if let Some(line) = lines.last_mut() {
            if line.chars().count() > LABEL {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn names(list: &[String]) -> String {
    let short: Vec<_> =
        list.iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_lowercase()).collect();
    if short.is_empty() { "none".to_owned() } else { short.join(" ") }
}

fn capabilities(found: &Capabilities) -> Vec<String> {
    vec![
        fact("Capabilities", &format!("in force: {}", names(&found.effective))),
        fact("", &format!("at most ({}): {}", found.bounding.len(), names(&found.bounding))),
        fact("", &format!("dropped ({}): {}", found.dropped.len(), names(&found.dropped))),
    ]
}

fn mode(mode: SeccompMode, filters: u32) -> String {
    match mode {
        SeccompMode::Off => "off".to_owned(),
        SeccompMode::Strict => "strict".to_owned(),
        SeccompMode::Filter if filters == 1 => "1 filter".to_owned(),
        SeccompMode::Filter => format!("{filters} filters"),
        SeccompMode::Unknown => "unknown".to_owned(),
    }
}

fn seccomp(found: &Seccomp) -> String {
    let mode = mode(found.mode, found.filters);
    match &found.profile {
        Some(profile) => format!(
            "{mode}: {} system calls allowed, {} more by their arguments; the rest: {}",
            profile.allowed, profile.conditional, profile.default_action
        ),
        None => format!("{mode}, no profile"),
    }
}

fn users(found: &Users) -> String {
    let inside = |id: Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
    let (uid, gid) = (inside(found.uid_inside), inside(found.gid_inside));
    format!("uid {uid}, gid {gid} inside; uid {}, gid {} in the guest", found.uid_outside, found.gid_outside)
}

fn group(found: &ControlGroup) -> Vec<String> {
    let of = |limit: Option<String>| limit.map_or(", no limit".to_owned(), |limit| format!(" of {limit}"));
    let mut memory = format!("{}{}", size(found.memory_current_bytes), of(found.memory_max_bytes.map(size)));
    if let Some(high) = found.memory_high_bytes {
        memory.push_str(&format!(", reclaimed beyond {}", size(high)));
    }
    let quota = found
        .cpu_quota_us
        .map_or("no quota".to_owned(), |quota| format!("{quota} µs of each {} µs", found.cpu_period_us));
    let mut lines = vec![
        fact("Control group", &found.path),
        fact("Memory", &memory),
        fact("Processors", &format!("{}, {quota}", found.cpuset)),
        fact("Processes", &format!("{}{}", found.pids_current, of(found.pids_max.map(|n| n.to_string())))),
    ];
    lines.extend(found.io_max.iter().map(|line| fact("Disk limit", line)));
    lines
}

fn namespaces(found: &[Namespace], outer: &str) -> String {
    let rows: Vec<_> = found
        .iter()
        .map(|namespace| {
            let relation = match namespace.relation {
                Relation::Same => "the same",
                Relation::Own => "its own",
                Relation::Absent => "not in this kernel",
                Relation::Unknown => "",
            };
            let (kind, inode, outer) =
                (namespace.kind.clone(), namespace.inode.to_string(), namespace.outer_inode.to_string());
            vec![kind, inode, outer, relation.to_owned()]
        })
        .collect();
    table(&["NAMESPACE", "INODE", outer, ""], &rows)
}

fn more(total: u32, shown: usize) -> Option<String> {
    (total as usize > shown).then(|| format!("and {} more", total as usize - shown))
}

fn mounts(found: &Isolation) -> Vec<String> {
    let shown: Vec<_> = found.mounts.iter().take(MOST).collect();
    let row = |mount: &&client::isolation::Mount| {
        vec![cut(&mount.target, 34), cut(&mount.fs_type, 10), cut(&mount.source, 16), cut(&mount.options, 31)]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let mut parts = vec![table(&["MOUNT", "TYPE", "SOURCE", "OPTIONS"], &rows)];
    parts.extend(more(found.mounts_total, shown.len()));
    parts
}

fn devices(found: &Isolation) -> Vec<String> {
    let shown: Vec<_> = found.devices.iter().take(MOST).collect();
    let row = |device: &&client::isolation::DeviceNode| {
        let kind = if device.block { 'b' } else { 'c' };
        vec![
            cut(&device.path, 50),
            format!("{kind} {}:{}", device.major, device.minor),
            format!("{:04o}", device.mode),
            format!("{}:{}", device.uid, device.gid),
        ]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let mut parts = vec![table(&["DEVICE", "NUMBERS", "MODE", "OWNER"], &rows)];
    parts.extend(more(found.devices_total, shown.len()));
    let rules = found.device_rules.as_ref().map(|rules| {
        let one = |rule: &client::isolation::DeviceRule| {
            format!("{} {}", if rule.allow { "allow" } else { "refuse" }, rule.rule)
        };
        rules.iter().map(one).collect::<Vec<_>>().join(", ")
    });
    parts.push(fact("Device rules", &rules.unwrap_or_else(|| "all may be opened".to_owned())));
    parts
}

fn paths(found: &[client::isolation::CoveredPath]) -> String {
    let one = |path: &client::isolation::CoveredPath| {
        format!("{}{}", path.path, if path.in_effect { "" } else { " (not there)" })
    };
    if found.is_empty() { "none".to_owned() } else { found.iter().map(one).collect::<Vec<_>>().join(", ") }
}

fn vm(found: &VmSide) -> Vec<String> {
    let unknown = || "unknown".to_owned();
    let (accelerator, transport) =
        (found.accelerator.clone().unwrap_or_else(unknown), found.transport.clone().unwrap_or_else(unknown));
    let processors = match found.cpus {
        1 => "1 processor".to_owned(),
        more => format!("{more} processors"),
    };
    let mut lines = vec![fact(
        "VM",
        &format!("{} MiB, {}, run by {accelerator}, spoken to by {transport}", found.memory_mib, processors),
    )];
    let Some(process) = &found.process else {
        lines.extend(found.pid.map(|pid| fact("QEMU", &format!("pid {pid} on this computer"))));
        return lines;
    };
    let mut devices: BTreeMap<&str, u32> = BTreeMap::new();
    for device in &process.devices {
        *devices.entry(device.driver.as_str()).or_default() += 1;
    }
    let devices: Vec<_> = devices.into_iter().map(|(driver, count)| format!("{count} {driver}")).collect();
    lines.extend([
        fact("VM's devices", &devices.join(", ")),
        fact(
            "QEMU",
            &format!(
                "pid {} on this computer, uid {}, gid {}, {} resident",
                found.pid.unwrap_or(0),
                process.uid,
                process.gid,
                size(process.resident_bytes)
            ),
        ),
        fact("", &format!("control group {}", process.cgroup)),
        fact(
            "",
            &format!(
                "seccomp {}, no new privileges: {}",
                mode(process.seccomp, process.seccomp_filters),
                yes(process.no_new_privs)
            ),
        ),
        fact("", &format!("capabilities ({}): {}", process.capabilities.len(), names(&process.capabilities))),
        String::new(),
        namespaces(&process.namespaces, "CORACLED'S"),
    ]);
    lines
}

fn text(found: &Isolation) -> String {
    let place = match found.runtime {
        Runtime::Container => "beside other containers, on their kernel",
        Runtime::Vm => "in a VM of its own",
        Runtime::Unknown => "somewhere",
    };
    let id = found.id.get(..12).unwrap_or(&found.id);
    let process = &found.process;
    let mut parts = vec![
        fact("Container", &format!("{} ({id}), {place}", found.name)),
        fact("Kernel", &format!("Linux {}, boot {}", found.kernel.release, found.kernel.boot_id)),
        fact("Host name", &found.hostname),
        fact(
            "First process",
            &format!("pid {} inside, {} in the guest", process.pid_inside, process.pid_in_guest),
        ),
        fact("Users", &users(&found.users)),
    ];
    parts.extend(capabilities(&found.capabilities));
    parts.push(fact("No new privs", yes(found.no_new_privs)));
    parts.push(fact("System calls", &seccomp(&found.seccomp)));
    parts.push(fact("Label", found.security_label.as_deref().unwrap_or("none")));
    parts.extend(group(&found.cgroup));
    parts.push(fact("Masked", &paths(&found.masked_paths)));
    parts.push(fact("Read-only", &paths(&found.read_only_paths)));
    parts.extend([String::new(), namespaces(&found.namespaces, "GUEST'S INIT"), String::new()]);
    parts.extend(mounts(found));
    parts.push(String::new());
    parts.extend(devices(found));
    parts.push(String::new());
    parts.extend(vm(&found.vm));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use client::isolation::{CoveredPath, DeviceNode, Mount, VmProcess};

    use super::*;

    #[test]
    fn nothing_is_wider_than_a_hundred_columns() {
        let long = |n: usize| "/é".repeat(n);
        let caps: Vec<String> = (0..41).map(|n| format!("CAP_NAME_{n}")).collect();
        let found = Isolation {
            capabilities: Capabilities {
                effective: caps.clone(),
                bounding: caps.clone(),
                dropped: caps.clone(),
                ..Capabilities::default()
            },
            namespaces: vec![Namespace {
                kind: "cgroup".into(),
                inode: u64::from(u32::MAX),
                ..Namespace::default()
            }],
            mounts: vec![
                Mount {
                    target: long(80),
                    fs_type: long(9),
                    source: long(80),
                    options: long(80),
                    ..Mount::default()
                };
                50
            ],
            mounts_total: 60,
            devices: vec![DeviceNode { path: long(80), ..DeviceNode::default() }],
            masked_paths: vec![CoveredPath { path: "/proc/kcore".into(), in_effect: true }; 20],
            vm: VmSide {
                process: Some(VmProcess { capabilities: caps, ..VmProcess::default() }),
                ..VmSide::default()
            },
            ..Isolation::default()
        };
        let text = text(&found);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("and 20 more") && text.contains("dropped (41): name_0 name_1"));
    }

    #[test]
    fn facts_are_wrapped() {
        let wrapped = fact("Word", &"abcdefghi ".repeat(10));
        assert_eq!(wrapped.lines().count(), 2);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
