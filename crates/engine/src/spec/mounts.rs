//! What is mounted in every container, and `Tmpfs`.

use bollard_stubs::models::HostConfig;
use serde_json::{Value, json};

use crate::error::Invalid;
use crate::mounts::{Mount, Source};

const DEFAULT_SHM_BYTES: i64 = 64 << 20;

pub(super) fn of(host: &HostConfig, own_mounts: &[Mount], privileged: bool) -> Result<Vec<Value>, Invalid> {
    let shm_bytes = host.shm_size.filter(|&bytes| bytes > 0).unwrap_or(DEFAULT_SHM_BYTES);
    let access = if privileged { "rw" } else { "ro" };
    let shm_size = format!("size={shm_bytes}");
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", access]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    if host.ipc_mode.as_deref() == Some("host") {
        mounts.push(mount(
            "/dev/shm",
            "bind",
            "/dev/shm",
            &["bind", "rprivate", "nosuid", "noexec", "nodev"],
        ));
    } else if host.ipc_mode.as_deref() != Some("none") {
        let options = ["nosuid", "noexec", "nodev", "mode=1777", &shm_size];
        mounts.push(mount("/dev/shm", "tmpfs", "shm", &options));
    }
    let mut own: Vec<_> = host.tmpfs.iter().flatten().collect();
    // A mount below another comes after it.
    own.sort();
    for (target, options) in own {
        if !target.starts_with('/') || target.split('/').any(|part| part == "..") || target == "/" {
            let given = target.clone();
            return Err(Invalid::Field { field: "HostConfig.Tmpfs", given, why: "not an absolute path" });
        }
        let mut all = vec!["noexec", "nosuid", "nodev"];
        for option in options.split(',').filter(|option| !option.is_empty()) {
            // An opposite takes the default's place.
            let opposite = match option {
                "exec" => "noexec",
                "suid" => "nosuid",
                "dev" => "nodev",
                _ => "",
            };
            all.retain(|have| *have != opposite && *have != option);
            if !matches!(option, "exec" | "suid" | "dev" | "rw") {
                all.push(option);
            }
        }
        mounts.push(mount(target, "tmpfs", "tmpfs", &all));
    }
    for own in own_mounts {
        if let Source::Tmpfs { size_bytes, mode, options } = &own.source {
            let size = format!("size={size_bytes}");
            let mode_text = format!("mode={mode:o}");
            let mut all = vec!["nosuid", "nodev"];
            all.push(if options.iter().any(|option| option == "exec") { "exec" } else { "noexec" });
            all.extend((*size_bytes > 0).then_some(size.as_str()));
            all.extend((*mode > 0).then_some(mode_text.as_str()));
            all.extend(own.read_only.then_some("ro"));
            mounts.push(mount(&own.target, "tmpfs", "tmpfs", &all));
        }
    }
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}
