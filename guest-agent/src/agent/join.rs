//! Namespaces that a container shares with another one, and what belongs to them: the files in /etc of a shared
//! network, /dev/shm of a shared IPC namespace; and our own binary, as its first process or as the Lab's program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, MountBuilder, Spec};

use crate::agent::failure::Failure;
use crate::agent::guest::container_key;
use crate::agent::table::Table;
use crate::{paths, pid1};

const SHM: &str = "/dev/shm";

/// One namespace of a container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    kind: LinuxNamespaceType,
    container: String,
    pid: i32,
}

impl Joined {
    fn path(&self) -> PathBuf {
        let name = match self.kind {
            LinuxNamespaceType::Network => "net",
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Ipc => "ipc",
            _ => "uts",
        };
        PathBuf::from(format!("/proc/{}/ns/{name}", self.pid))
    }
}

/// Looks up who is joined.
pub(crate) fn find(table: &Table, wanted: &[v1::JoinNamespace]) -> Result<Vec<Joined>, Failure> {
    let one = |wish: &v1::JoinNamespace| {
        let kind = match wish.kind.as_str() {
            "network" => LinuxNamespaceType::Network,
            "pid" => LinuxNamespaceType::Pid,
            "ipc" => LinuxNamespaceType::Ipc,
            "uts" => LinuxNamespaceType::Uts,
            other => return Err(Failure::new(Code::BadSpec, format_args!("no namespace is called {other}"))),
        };
        let key = container_key(&wish.container_id)?;
        let (state, _) = table.running(&key)?;
        Ok(Joined { kind, container: key.container, pid: state.pid })
    };
    wanted.iter().map(one).collect()
}

fn bad(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::BadSpec, error)
}

fn bind(spec: &mut Spec, source: &Path, target: &str, options: &[&str]) -> Result<(), Failure> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.retain(|mount| mount.destination() != Path::new(target));
    let mount = MountBuilder::default()
        .destination(target)
        .source(source)
        .typ("bind")
        .options(options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>());
    mounts.push(mount.build().map_err(bad)?);
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Puts all of it into the spec.
pub(crate) fn complete(
    spec: &mut Spec,
    request: &v1::StartContainerRequest,
    joined: &[Joined],
) -> Result<(), Failure> {
    for its in joined {
        if let Some(namespaces) = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut())
        {
            namespaces.retain(|namespace| namespace.typ() != its.kind);
            let joined = LinuxNamespaceBuilder::default().typ(its.kind).path(its.path());
            namespaces.push(joined.build().map_err(bad)?);
        }
        let theirs = paths::run_dir(&its.container);
        match its.kind {
            LinuxNamespaceType::Network => {
                for name in ["hosts", "resolv.conf", "hostname"] {
                    let file = theirs.join(name);
                    if file.exists() {
                        bind(spec, &file, &format!("/etc/{name}"), &["rbind", "rprivate"])?;
                    }
                }
            }
            LinuxNamespaceType::Ipc => {
                let options = ["bind", "rprivate", "nosuid", "noexec", "nodev"];
                bind(spec, &theirs.join("shm"), SHM, &options)?;
            }
            _ => {}
        }
    }
    if request.share_shm {
        share_shm(spec, &request.container_id)?;
    }
    if binds_shm_of_guest(spec) {
        own_shm().map_err(|error| Failure::internal("/dev/shm", error))?;
    }
    if request.init {
        bind_own_binary(spec, pid1::PATH)?;
        if let Some(process) = spec.process_mut() {
            let mut args = vec![pid1::PATH.to_owned(), "--".to_owned()];
            args.extend(process.args().clone().unwrap_or_default());
            process.set_args(Some(args));
        }
    }
    if request.lab {
        bind_own_binary(spec, lab::inside::PROGRAM)?;
    }
    Ok(())
}

/// Under another name it does other things.
fn bind_own_binary(spec: &mut Spec, target: &str) -> Result<(), Failure> {
    let ours = std::env::current_exe().map_err(|error| Failure::internal("our own binary", error))?;
    bind(spec, &ours, target, &["bind", "rprivate", "ro"])
}

/// Mounts the container's /dev/shm outside of it, where others can bind it from.
fn share_shm(spec: &mut Spec, container: &str) -> Result<(), Failure> {
    let internal = |error: io::Error| Failure::internal("shared memory", error);
    let mounts = spec.mounts().clone().unwrap_or_default();
    let Some(own) = mounts.iter().find(|mount| mount.destination() == Path::new(SHM)) else { return Ok(()) };
    let data: Vec<_> = own
        .options()
        .iter()
        .flatten()
        .filter(|option| option.starts_with("size=") || option.starts_with("mode="))
        .map(String::as_str)
        .collect();
    let folder = paths::run_dir(container).join("shm");
    unshare_shm(container);
    fs::create_dir_all(&folder).map_err(internal)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("shm"), &folder, Some("tmpfs"), flags, Some(data.join(",").as_str()))
        .map_err(|errno| internal(errno.into()))?;
    bind(spec, &folder, SHM, &["bind", "rprivate", "nosuid", "noexec", "nodev"])
}

/// Lets go of it. Whoever has bound it keeps it.
pub(crate) fn unshare_shm(container: &str) {
    let _ = umount2(&paths::run_dir(container).join("shm"), MntFlags::MNT_DETACH);
}

fn binds_shm_of_guest(spec: &Spec) -> bool {
    spec.mounts().iter().flatten().any(|mount| {
        mount.destination() == Path::new(SHM) && mount.source().as_deref() == Some(Path::new(SHM))
    })
}

/// The guest itself needs none, so it has none before it is asked for.
fn own_shm() -> io::Result<()> {
    let mounted = fs::read_to_string("/proc/self/mountinfo")?;
    if mounted.lines().any(|line| line.split(' ').nth(4) == Some(SHM)) {
        return Ok(());
    }
    fs::create_dir_all(SHM)?;
    mount(Some("shm"), SHM, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_others_and_init_stand_in_the_spec() {
        let mut spec: Spec = serde_json::from_str(
            r#"{"ociVersion":"1.0.2","process":{"cwd":"/","args":["sh","-c","x"],"user":{"uid":0,"gid":0}},
                "linux":{"namespaces":[{"type":"pid"},{"type":"network"},{"type":"mount"}]}}"#,
        )
        .unwrap();
        let container = "ab".repeat(32);
        let its = |kind| Joined { kind, container: container.clone(), pid: 7 };
        let joined = [its(LinuxNamespaceType::Pid), its(LinuxNamespaceType::Network)];
        let request = v1::StartContainerRequest { init: true, ..Default::default() };
        complete(&mut spec, &request, &joined).unwrap();
        let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        let paths: Vec<_> = namespaces.iter().filter_map(|n| n.path().clone()).collect();
        assert_eq!(paths, [PathBuf::from("/proc/7/ns/pid"), PathBuf::from("/proc/7/ns/net")]);
        let args = spec.process().as_ref().unwrap().args().clone().unwrap();
        assert_eq!(args, ["/sbin/docker-init", "--", "sh", "-c", "x"]);
        let bound = |spec: &Spec, target: &str| {
            spec.mounts().iter().flatten().any(|mount| mount.destination() == Path::new(target))
        };
        assert!(bound(&spec, pid1::PATH) && !bound(&spec, lab::inside::PROGRAM));
        complete(&mut spec, &v1::StartContainerRequest { lab: true, ..Default::default() }, &[]).unwrap();
        assert!(bound(&spec, lab::inside::PROGRAM));
    }
}
