//! One element of `Binds`, `Mounts` or `VolumesFrom`, by the rules of Docker's Linux parser.

use std::collections::HashMap;

use bollard_stubs::models::{Mount as Asked, MountBindOptions, MountTmpfsOptions, MountType};

use super::error::{Fault, MountError};
use super::{Mount, Source};
use crate::error::Error;

/// A mount that was asked for; a volume of it does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// An anonymous volume's name is empty.
    pub(crate) mount: Mount,
    pub(crate) volume: NewVolume,
}

/// How a volume is made where it is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewVolume {
    /// Empty: `local`.
    pub(crate) driver: String,
    pub(crate) options: HashMap<String, String>,
    pub(crate) labels: HashMap<String, String>,
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// What a mode says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mode {
    read_only: bool,
    propagation: String,
    no_copy: bool,
}

/// Each sort of word at most once. An empty mode says nothing.
fn mode(text: &str) -> Option<Mode> {
    let mut mode = Mode::default();
    if text.is_empty() {
        return Some(mode);
    }
    let mut seen = [false; 5];
    for word in text.split(',') {
        let sort = match word {
            "rw" | "ro" => 0,
            "z" | "Z" => 1,
            "nocopy" => 2,
            "consistent" | "cached" | "delegated" | "default" => 3,
            _ if PROPAGATIONS.contains(&word) => 4,
            _ => return None,
        };
        if std::mem::replace(&mut seen[sort], true) {
            return None;
        }
        match sort {
            0 => mode.read_only = word == "ro",
            2 => mode.no_copy = true,
            4 => word.clone_into(&mut mode.propagation),
            _ => {}
        }
    }
    Some(mode)
}

/// Go's `path.Clean`, for a path that is absolute.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A drive, a share, or a slash in front. Names of volumes have two letters at least, so a drive is none.
fn is_host_path(text: &str) -> bool {
    text.starts_with('/') || text.starts_with(r"\\") || drive(text)
}

fn drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/')
}

/// Cuts at colons; that of a Windows drive in front of a further absolute path is none.
fn parts(raw: &str) -> Vec<&str> {
    if drive(raw)
        && let Some(colon) = raw[2..].find(':').map(|at| at + 2)
        && raw[colon + 1..].starts_with('/')
    {
        let mut parts = vec![&raw[..colon]];
        parts.extend(raw[colon + 1..].splitn(3, ':'));
        return parts;
    }
    raw.splitn(4, ':').collect()
}

fn config(kind: &str, fault: Fault) -> MountError {
    MountError::Config { kind: kind.to_owned(), fault }
}

fn target(kind: &str, text: &str) -> Result<String, MountError> {
    if text.is_empty() {
        return Err(config(kind, Fault::Missing("Target")));
    }
    if !text.starts_with('/') {
        return Err(config(kind, Fault::Relative(text.to_owned())));
    }
    match clean(text) {
        root if root == "/" => Err(config(kind, Fault::Root)),
        target => Ok(target),
    }
}

fn host_path(path: &str) -> std::path::PathBuf {
    if path.starts_with('/') { clean(path).into() } else { path.into() }
}

/// An element of `Binds`: `[source:]target[:mode]`.
pub(super) fn bind(raw: &str, driver: &str) -> Result<Wanted, MountError> {
    let parts = parts(raw);
    let (source, destination, text) = match parts[..] {
        [""] | ["", ..] => return Err(MountError::Spec(raw.to_owned())),
        [target] => ("", target, ""),
        // A volume without a name has no mode.
        [_, second] if mode(second).is_some() => return Err(MountError::Spec(raw.to_owned())),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(MountError::Spec(raw.to_owned())),
    };
    let mode = mode(text).ok_or_else(|| MountError::Mode(text.to_owned()))?;
    let is_bind = is_host_path(source);
    let kind = if is_bind { "bind" } else { "volume" };
    let part = |source| MountError::SpecPart { raw: raw.to_owned(), source: Box::new(source) };
    let target = target(kind, destination).map_err(part)?;
    if is_bind && mode.no_copy {
        return Err(part(config(kind, Fault::Extra("VolumeOptions"))));
    }
    if !is_bind && !mode.propagation.is_empty() {
        return Err(part(config(kind, Fault::Extra("BindOptions"))));
    }
    if source.is_empty() && mode.read_only {
        return Err(part(config(kind, Fault::ReadOnlyAnonymous)));
    }
    let source = if is_bind {
        Source::HostPath { path: host_path(source), create: true }
    } else {
        Source::Volume {
            name: source.to_owned(),
            subpath: String::new(),
            no_copy: mode.no_copy,
            anonymous: source.is_empty(),
        }
    };
    let mount = Mount {
        target,
        source,
        read_only: mode.read_only,
        propagation: mode.propagation,
        non_recursive: false,
        read_only_non_recursive: false,
        // What Docker sets for a volume where nothing is said.
        mode: if text.is_empty() && !is_bind { "z".to_owned() } else { text.to_owned() },
    };
    Ok(Wanted { mount, volume: NewVolume { driver: driver.to_owned(), ..NewVolume::default() } })
}

/// An element of `Mounts`.
pub(super) fn mount(asked: &Asked, exists: &dyn Fn(&str) -> bool) -> Result<Wanted, Error> {
    let kind = asked.typ.as_ref().map(ToString::to_string).unwrap_or_default();
    let fail = |fault| Error::from(config(&kind, fault));
    let place = target(&kind, asked.target.as_deref().unwrap_or_default())?;
    let source = asked.source.as_deref().unwrap_or_default();
    let mut mount = Mount {
        target: place,
        source: Source::Tmpfs { size_bytes: 0, mode: 0, options: Vec::new() },
        read_only: asked.read_only.unwrap_or(false),
        propagation: String::new(),
        non_recursive: false,
        read_only_non_recursive: false,
        mode: String::new(),
    };
    let mut volume = NewVolume::default();
    match asked.typ {
        Some(MountType::BIND) => {
            if asked.volume_options.is_some() {
                return Err(fail(Fault::Extra("VolumeOptions")));
            }
            if asked.tmpfs_options.is_some() {
                return Err(fail(Fault::Extra("TmpfsOptions")));
            }
            let options = asked.bind_options.clone().unwrap_or_default();
            bind_options(&options, &mut mount).map_err(fail)?;
            mount.source = bind_source(source, &options, exists).map_err(fail)?;
        }
        Some(MountType::VOLUME) => {
            if asked.bind_options.is_some() {
                return Err(fail(Fault::Extra("BindOptions")));
            }
            if asked.tmpfs_options.is_some() {
                return Err(fail(Fault::Extra("TmpfsOptions")));
            }
            let options = asked.volume_options.clone().unwrap_or_default();
            let subpath = options.subpath.unwrap_or_default();
            if !subpath.is_empty() && source.is_empty() {
                return Err(fail(Fault::SubpathOfAnonymous));
            }
            if !is_local(&subpath) {
                return Err(fail(Fault::Subpath));
            }
            if source.is_empty() && mount.read_only {
                return Err(fail(Fault::ReadOnlyAnonymous));
            }
            let driver = options.driver_config.unwrap_or_default();
            volume = NewVolume {
                driver: driver.name.unwrap_or_default(),
                options: driver.options.unwrap_or_default(),
                labels: options.labels.unwrap_or_default(),
            };
            "z".clone_into(&mut mount.mode);
            mount.source = Source::Volume {
                name: source.to_owned(),
                subpath,
                no_copy: options.no_copy.unwrap_or(false),
                anonymous: source.is_empty(),
            };
        }
        Some(MountType::TMPFS) => {
            if asked.bind_options.is_some() {
                return Err(fail(Fault::Extra("BindOptions")));
            }
            if asked.volume_options.is_some() {
                return Err(fail(Fault::Extra("VolumeOptions")));
            }
            if !source.is_empty() {
                return Err(fail(Fault::Extra("Source")));
            }
            mount.source = tmpfs(&asked.tmpfs_options.clone().unwrap_or_default()).map_err(fail)?;
        }
        Some(MountType::IMAGE) => {
            return Err(Error::Unsupported { field: "HostConfig.Mounts", given: "image".to_owned() });
        }
        Some(MountType::CLUSTER | MountType::NPIPE) | None => return Err(fail(Fault::Type)),
    }
    Ok(Wanted { mount, volume })
}

fn bind_options(options: &MountBindOptions, mount: &mut Mount) -> Result<(), Fault> {
    mount.propagation = options.propagation.as_ref().map(ToString::to_string).unwrap_or_default();
    mount.non_recursive = options.non_recursive.unwrap_or(false);
    let not_below = options.read_only_non_recursive.unwrap_or(false);
    let all_below = options.read_only_force_recursive.unwrap_or(false);
    mount.read_only_non_recursive = not_below;
    match (mount.read_only, not_below, all_below) {
        (false, true, _) => Err(Fault::Conflict("!ReadOnly && BindOptions.ReadOnlyNonRecursive")),
        (false, _, true) => Err(Fault::Conflict("!ReadOnly && BindOptions.ReadOnlyForceRecursive")),
        (_, true, true) => Err(Fault::Conflict("ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive")),
        _ => Ok(()),
    }
}

fn bind_source(
    source: &str,
    options: &MountBindOptions,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Source, Fault> {
    if source.is_empty() {
        return Err(Fault::Missing("Source"));
    }
    if !is_host_path(source) {
        return Err(Fault::Relative(source.to_owned()));
    }
    let create = options.create_mountpoint.unwrap_or(false);
    if !create && !exists(source) {
        return Err(Fault::NoSource(source.to_owned()));
    }
    Ok(Source::HostPath { path: host_path(source), create })
}

fn tmpfs(options: &MountTmpfsOptions) -> Result<Source, Fault> {
    let mut words = Vec::new();
    for option in options.options.iter().flatten() {
        match option.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [word @ ("exec" | "noexec")] => words.push(word.to_owned()),
            _ => return Err(Fault::TmpfsOption(option.join("="))),
        }
    }
    Ok(Source::Tmpfs {
        size_bytes: options.size_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        mode: options.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0),
        options: words,
    })
}

/// Go's `filepath.IsLocal`, and empty.
fn is_local(path: &str) -> bool {
    let mut depth = 0_i32;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    !path.starts_with('/')
}

/// An element of `VolumesFrom`: the container, and what it says of writing.
pub(super) fn volumes_from(text: &str) -> Result<(&str, Option<bool>), MountError> {
    if text.is_empty() {
        return Err(MountError::EmptyVolumesFrom);
    }
    let Some((container, word)) = text.split_once(':') else { return Ok((text, None)) };
    match mode(word) {
        Some(mode) if mode.propagation.is_empty() && !mode.no_copy && !word.is_empty() => {
            Ok((container, Some(mode.read_only)))
        }
        _ => Err(MountError::Mode(word.to_owned())),
    }
}

#[cfg(test)]
mod tests;
