//! Devices of the guest that a container is given, and the program that keeps it off all others.
//!
//! libcontainer makes nodes but does not enforce the rules of control group v2, which has no files for them: that
//! takes an eBPF program ([`program`]), which the shim attaches before the container's program runs.

mod limits;
mod program;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::sys::stat::{major, minor};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
    MountBuilder, Spec,
};

use crate::agent::failure::Failure;

/// Name of the program in the folder of a container.
pub(crate) const PROGRAM: &str = "devices.bpf";
/// Name of the rules behind it, for those who ask.
pub(crate) const RULES: &str = "devices.json";

/// What runc leaves out of a privileged container: made anew in each.
const NEVER: [&str; 6] = ["console", "fd", "mqueue", "ptmx", "pts", "shm"];

fn gathering(path: &str, why: impl std::fmt::Display) -> Failure {
    let text = format!("error gathering device information while adding custom device {path:?}: {why}");
    Failure::new(Code::NoSuchPath, text)
}

fn plain(error: &io::Error) -> String {
    let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    errno.desc().to_lowercase()
}

/// A node of the guest under a name of the container.
fn node(path: &Path, name: &Path) -> io::Result<Option<LinuxDevice>> {
    let meta = fs::metadata(path)?;
    let kind = if meta.file_type().is_char_device() {
        LinuxDeviceType::C
    } else if meta.file_type().is_block_device() {
        LinuxDeviceType::B
    } else {
        return Ok(None);
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(0);
    LinuxDeviceBuilder::default()
        .path(name)
        .typ(kind)
        .major(number(major(meta.rdev())))
        .minor(number(minor(meta.rdev())))
        .file_mode(meta.permissions().mode() & 0o7777)
        .uid(meta.uid())
        .gid(meta.gid())
        .build()
        .map(Some)
        .map_err(io::Error::other)
}

/// Every node below `folder`, under the same names below `name`.
fn below(folder: &Path, name: &Path, found: &mut Vec<LinuxDevice>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        if NEVER.iter().any(|never| file == *never) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below(&entry.path(), &name.join(&file), found)?;
        } else if !kind.is_symlink()
            && let Some(device) = node(&entry.path(), &name.join(&file))?
        {
            found.push(device);
        }
    }
    Ok(())
}

/// What one wish of the container comes to.
fn wished(device: &v1::Device) -> Result<Vec<LinuxDevice>, Failure> {
    let given = &device.path_on_host;
    let path = fs::canonicalize(given).map_err(|error| gathering(given, plain(&error)))?;
    let name = if device.path_in_container.is_empty() { given } else { &device.path_in_container };
    let mut found = Vec::new();
    match node(&path, Path::new(name)).map_err(|error| gathering(given, plain(&error)))? {
        Some(device) => found.push(device),
        None if path.is_dir() => {
            below(&path, Path::new(name), &mut found).map_err(|error| gathering(given, plain(&error)))?;
        }
        None => {}
    }
    if found.is_empty() { Err(gathering(given, "not a device node")) } else { Ok(found) }
}

fn rule(device: &LinuxDevice, access: &str) -> Result<LinuxDeviceCgroup, Failure> {
    LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(device.typ())
        .major(device.major())
        .minor(device.minor())
        .access(access)
        .build()
        .map_err(|error| Failure::new(Code::BadSpec, error))
}

/// `c 1:3 rwm`, of which `*` stands for any number and `a` for both kinds.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, Failure> {
    let bad = || Failure::new(Code::BadSpec, format_args!("invalid device cgroup rule format: '{text}'"));
    let mut parts = text.split_ascii_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let mut builder = LinuxDeviceCgroupBuilder::default().allow(true).access(access);
    builder = builder.typ(match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(bad()),
    });
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    if major != "*" {
        builder = builder.major(major.parse::<u32>().map_err(|_| bad())?);
    }
    if minor != "*" {
        builder = builder.minor(minor.parse::<u32>().map_err(|_| bad())?);
    }
    builder.build().map_err(|_| bad())
}

/// Adds what the request asks for to the spec, and writes the program into `dir`.
pub(crate) fn complete(
    spec: &mut Spec,
    request: &v1::StartContainerRequest,
    dir: &Path,
) -> Result<(), Failure> {
    let internal = |error: io::Error| Failure::internal("devices", error);
    let mut devices = Vec::new();
    let mut rules = Vec::new();
    let mut elsewhere: Vec<(PathBuf, LinuxDevice)> = Vec::new();
    if request.all_devices {
        below(Path::new("/dev"), Path::new("/dev"), &mut devices).map_err(internal)?;
    }
    for wish in &request.devices {
        let access = if wish.permissions.is_empty() { "rwm" } else { &wish.permissions };
        for device in wished(wish)? {
            rules.push(rule(&device, access)?);
            devices.retain(|have: &LinuxDevice| have.path() != device.path());
            // libcontainer makes nodes below /dev alone.
            if device.path().starts_with("/dev") {
                devices.push(device);
            } else {
                let source = fs::canonicalize(&wish.path_on_host).map_err(internal)?;
                elsewhere.push((source, device));
            }
        }
    }
    for text in &request.device_cgroup_rules {
        rules.push(parse_rule(text)?);
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for (source, device) in elsewhere {
        let mount = MountBuilder::default()
            .destination(device.path())
            .source(source)
            .typ("bind")
            .options(["bind", "rprivate"].map(str::to_owned));
        mounts.push(mount.build().map_err(|error| Failure::new(Code::BadSpec, error))?);
    }
    spec.set_mounts(Some(mounts));
    limits::complete(spec, &request.block_limits)?;
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    if !devices.is_empty() {
        let mut all = linux.devices().clone().unwrap_or_default();
        all.extend(devices);
        linux.set_devices(Some(all));
    }
    let mut all = linux.resources().as_ref().and_then(|r| r.devices().clone()).unwrap_or_default();
    all.extend(rules);
    let noted = serde_json::to_vec(&all).map_err(|error| Failure::internal("devices", error))?;
    fs::write(dir.join(RULES), noted).map_err(internal)?;
    match program::of(&all) {
        Some(program) => fs::write(dir.join(PROGRAM), program).map_err(internal),
        None => match fs::remove_file(dir.join(PROGRAM)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(internal(error)),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_by_table() {
        for (text, expected) in [
            ("c 1:3 rwm", Some((LinuxDeviceType::C, Some(1), Some(3)))),
            ("b 8:* r", Some((LinuxDeviceType::B, Some(8), None))),
            ("a *:* m", Some((LinuxDeviceType::A, None, None))),
            ("x 1:1 r", None),
            ("c 1 r", None),
            ("c 1:1", None),
            ("c 1:1 r w", None),
        ] {
            let read = parse_rule(text).ok().map(|rule| (rule.typ().unwrap(), rule.major(), rule.minor()));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn nodes_are_found_by_name_and_by_folder() {
        let wish = |path: &str| v1::Device { path_on_host: path.to_owned(), ..Default::default() };
        let null = wished(&wish("/dev/null")).unwrap();
        assert_eq!(
            (null[0].path().as_path(), null[0].major(), null[0].minor()),
            (Path::new("/dev/null"), 1, 3)
        );
        let missing = wished(&wish("/dev/no-such")).unwrap_err().to_string();
        let text = "error gathering device information while adding custom device \"/dev/no-such\": \
                    no such file or directory";
        assert!(missing.contains(text), "{missing}");
        assert!(wished(&wish("/proc/self/status")).unwrap_err().to_string().contains("not a device node"));
    }
}
