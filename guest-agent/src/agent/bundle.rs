//! From the host's runtime spec to the bundle that libcontainer reads: the fields that only the guest can
//! know (root, user, control group), the files bound into /etc, and the working directory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxNamespaceType, MountBuilder, Process, RootBuilder, Spec, User as SpecUser};

use crate::agent::failure::Failure;
use crate::agent::user::{self, User, open_beneath};
use crate::agent::{devices, filter, isolation, join, volumes};
use crate::paths;

/// What the shim must know about a completed spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completed {
    /// A network namespace is asked for and none is named.
    pub(crate) own_network: bool,
    /// The shim's program loads the filter, not libcontainer.
    pub(crate) confined: bool,
    /// The process's user.
    pub(crate) uid: u32,
}

fn bad(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::BadSpec, format_args!("{what}: {error}"))
}

fn set_user(process: &mut Process, user: &User) {
    let mut its = SpecUser::default();
    its.set_uid(user.uid).set_gid(user.gid);
    its.set_umask(process.user().umask());
    its.set_additional_gids((!user.groups.is_empty()).then(|| user.groups.clone()));
    process.set_user(its);
    // libcontainer takes `false` for "set" and loads the filter when it may no longer.
    process.set_no_new_privileges(process.no_new_privileges().filter(|&set| set));
    let mut env = process.env().clone().unwrap_or_default();
    // An empty one counts as none.
    env.retain(|entry| entry != "HOME=");
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    process.set_env(Some(env));
}

fn find_user(root: &File, user: &str, group_add: &[String]) -> Result<User, Failure> {
    user::find(root, user, group_add).map_err(|error| Failure::new(Code::NoSuchUser, error))
}

/// Fills in what the guest knows. Pure but for the paths it names.
fn complete(spec: &mut Spec, id: &str, rootfs: &Path, user: &User, tty: bool) -> Result<Completed, Failure> {
    let readonly = spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
    let root = RootBuilder::default().path(rootfs).readonly(readonly).build().map_err(|e| bad("root", e))?;
    spec.set_root(Some(root));
    let mut process = spec.process().clone().ok_or_else(|| bad("spec", "no process"))?;
    process.set_terminal(Some(tty));
    set_user(&mut process, user);
    spec.set_process(Some(process));
    let mut linux = spec.linux().clone().ok_or_else(|| bad("spec", "no linux section"))?;
    linux.set_cgroups_path(Some(PathBuf::from(format!("/coracle/{id}"))));
    let mut own_network = false;
    if let Some(namespaces) = linux.namespaces_mut() {
        for namespace in namespaces.iter_mut() {
            if namespace.typ() == LinuxNamespaceType::Network && namespace.path().is_none() {
                own_network = true;
                // The shim's own: see shim::launch.
                namespace.set_path(Some(PathBuf::from("/proc/self/ns/net")));
            }
        }
    }
    spec.set_linux(Some(linux));
    Ok(Completed { own_network, confined: false, uid: user.uid })
}

/// Names of what the shim reads in the folder of a container.
pub(crate) const FILTER: &str = "filter.bpf";
pub(crate) const PROFILE: &str = "seccomp.json";
pub(crate) const CAPABILITIES: &str = "capabilities.json";
pub(crate) const SYSCTLS: &str = "sysctls.json";

/// Puts the network's sysctls beside the bundle, for the shim to set: its own network namespace is the
/// container's, so libcontainer takes them for the host's and refuses them.
fn put_network_sysctls_aside(spec: &mut Spec, dir: &Path) -> Result<(), Failure> {
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let (network, others): (HashMap<_, _>, HashMap<_, _>) = linux
        .sysctl()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .partition(|(name, _)| name.starts_with("net."));
    linux.set_sysctl(Some(others));
    let bytes = serde_json::to_vec(&network).map_err(|error| bad("sysctls", error))?;
    fs::write(dir.join(SYSCTLS), bytes).map_err(|error| Failure::internal("sysctls", error))
}

/// Puts the filter and what must come behind it beside the bundle. True when libcontainer has no part in it.
fn confine(spec: &mut Spec, dir: &Path) -> Result<bool, Failure> {
    let io = |error: io::Error| Failure::internal("filter", error);
    let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()) else {
        return Ok(false);
    };
    let compiled = match filter::compiled(&profile) {
        Ok(compiled) => compiled,
        Err(error) => {
            tracing::info!(%error, "filter not compiled ahead");
            // For execs, which do without libcontainer.
            let bytes = serde_json::to_vec(&profile).map_err(|error| bad("seccomp", error))?;
            fs::write(dir.join(PROFILE), bytes).map_err(io)?;
            return Ok(false);
        }
    };
    let _ = fs::remove_file(dir.join(FILTER));
    fs::hard_link(compiled, dir.join(FILTER)).map_err(io)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(None);
    }
    if let Some(process) = spec.process_mut() {
        put_capabilities_aside(process, dir)?;
    }
    Ok(true)
}

/// The process drops to its capabilities itself, behind the filter, whose loading takes more than they allow.
fn put_capabilities_aside(process: &mut Process, dir: &Path) -> Result<(), Failure> {
    let capabilities = process.capabilities().clone().unwrap_or_default();
    let bytes = serde_json::to_vec(&capabilities).map_err(|error| bad("capabilities", error))?;
    process.set_capabilities(None);
    fs::write(dir.join(CAPABILITIES), bytes).map_err(|error| Failure::internal("capabilities", error))
}

fn bind(spec: &mut Spec, source: &Path, destination: &str) -> Result<(), Failure> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if mounts.iter().any(|mount| mount.destination() == Path::new(destination)) {
        return Ok(());
    }
    let mount = MountBuilder::default()
        .destination(destination)
        .source(source)
        .typ("bind")
        .options(["rbind", "rprivate"].map(str::to_owned))
        .build()
        .map_err(|error| bad("mount", error))?;
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Writes the container's bundle into its run folder.
pub(crate) fn write(
    request: &v1::StartContainerRequest,
    rootfs: &Path,
    joined: &[join::Joined],
) -> Result<Completed, Failure> {
    let io = |error: io::Error| Failure::internal("bundle", error);
    let id = &request.container_id;
    let dir = paths::run_dir(id);
    let mut spec: Spec =
        serde_json::from_slice(&request.spec_json).map_err(|error| bad("runtime spec", error))?;
    join::complete(&mut spec, request, joined)?;
    devices::complete(&mut spec, request, &dir)?;
    let root = File::open(rootfs).map_err(io)?;
    let user = find_user(&root, &request.user, &request.group_add)?;
    let tty = request.stdio.as_ref().is_some_and(|stdio| stdio.tty);
    let completed = complete(&mut spec, id, rootfs, &user, tty)?;
    if let Some(process) = spec.process() {
        make_workdir(&root, process.cwd(), &user)?;
    }
    volumes::complete(&mut spec, request, &root)?;
    for (name, text) in
        [("hosts", &request.hosts), ("resolv.conf", &request.resolv_conf), ("hostname", &request.hostname)]
    {
        if !text.is_empty() {
            let file = dir.join(name);
            fs::write(&file, text).map_err(io)?;
            bind(&mut spec, &file, &format!("/etc/{name}"))?;
        }
    }
    if completed.own_network {
        put_network_sysctls_aside(&mut spec, &dir)?;
    }
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    isolation::profile::note(profile, &dir).map_err(io)?;
    let confined = confine(&mut spec, &dir)?;
    fs::write(dir.join("config.json"), serde_json::to_vec(&spec).map_err(|e| bad("runtime spec", e))?)
        .map_err(io)?;
    Ok(Completed { confined, ..completed })
}

/// Writes an exec's process into its folder. `pid` is the container's first process.
pub(crate) fn write_exec(request: &v1::StartExecRequest, exec: &str, pid: i32) -> Result<(), Failure> {
    let io = |error: io::Error| Failure::internal("exec", error);
    let mut process: Process =
        serde_json::from_slice(&request.process_json).map_err(|error| bad("process", error))?;
    let root = File::open(format!("/proc/{pid}/root")).map_err(io)?;
    let user = find_user(&root, &request.user, &[])?;
    set_user(&mut process, &user);
    process.set_terminal(Some(request.stdio.as_ref().is_some_and(|stdio| stdio.tty)));
    let cwd = process.cwd().to_string_lossy().into_owned();
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
    if let Err(error) = open_beneath(root.as_fd(), &cwd, directory) {
        let text =
            format!("chdir to cwd ({cwd:?}) set in config.json failed: {}", error.desc().to_lowercase());
        return Err(Failure::new(Code::Workdir, text));
    }
    let dir = paths::exec_dir(exec);
    fs::create_dir_all(&dir).map_err(io)?;
    fs::write(dir.join("process.json"), serde_json::to_vec(&process).map_err(|e| bad("process", e))?)
        .map_err(io)
}

/// Makes the working directory where the image lacks it, as Docker does; never outside the root.
fn make_workdir(root: &File, cwd: &Path, user: &User) -> Result<(), Failure> {
    let fail = |error: nix::errno::Errno| {
        let text = format!("mkdir {}: {}", cwd.display(), error.desc().to_lowercase());
        Failure::new(Code::Workdir, text)
    };
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let whole = cwd.to_string_lossy();
    if open_beneath(root.as_fd(), &whole, directory).is_ok() {
        return Ok(());
    }
    let mut at = open_beneath(root.as_fd(), "/", directory).map_err(fail)?;
    let mut path = String::new();
    for part in whole.split('/').filter(|part| !part.is_empty()) {
        path = format!("{path}/{part}");
        at = match open_beneath(root.as_fd(), &path, directory) {
            Ok(next) => next,
            Err(nix::errno::Errno::ENOENT) => {
                nix::sys::stat::mkdirat(&at, part, Mode::from_bits_truncate(0o755)).map_err(fail)?;
                let (uid, gid) = (user.uid.into(), user.gid.into());
                let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
                nix::unistd::fchownat(&at, part, Some(uid), Some(gid), flags).map_err(fail)?;
                open_beneath(root.as_fd(), &path, directory).map_err(fail)?
            }
            Err(error) => return Err(fail(error)),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User { uid: 5, gid: 6, groups: vec![7], home: "/home/x".to_owned() }
    }

    #[test]
    fn the_guest_fills_in_its_part() {
        let mut spec = Spec::default();
        let done = complete(&mut spec, "abc", Path::new("/run/r"), &user(), true).unwrap();
        assert!(done.own_network);
        assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("/run/r"));
        let process = spec.process().as_ref().unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (5, 6));
        assert_eq!(process.user().additional_gids(), &Some(vec![7]));
        assert_eq!(process.terminal(), Some(true));
        assert!(process.env().as_ref().unwrap().contains(&"HOME=/home/x".to_owned()));
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/coracle/abc")));
    }

    #[test]
    fn a_mount_of_the_host_wins_over_ours() {
        let mut spec = Spec::default();
        bind(&mut spec, Path::new("/a"), "/etc/hosts").unwrap();
        bind(&mut spec, Path::new("/b"), "/etc/hosts").unwrap();
        let mounts = spec.mounts().as_ref().unwrap();
        let of_hosts: Vec<_> = mounts.iter().filter(|m| m.destination() == Path::new("/etc/hosts")).collect();
        assert_eq!(of_hosts.len(), 1);
        assert_eq!(of_hosts[0].source().as_deref(), Some(Path::new("/a")));
    }

    #[test]
    fn a_workdir_is_made_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let me = User {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            groups: vec![],
            home: String::new(),
        };
        make_workdir(&root, Path::new("/a/b/c"), &me).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
        let _ = make_workdir(&root, Path::new("/link/deep"), &me);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        fs::write(dir.path().join("file"), "").unwrap();
        let error = make_workdir(&root, Path::new("/file"), &me).unwrap_err();
        assert_eq!(error.code, Code::Workdir);
    }
}
