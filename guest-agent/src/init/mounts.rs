//! The mounts that everything else needs, in the order and number that make the boot short.
//!
//! The root is the kernel's own tmpfs with the unpacked initramfs. `pivot_root` refuses the first mount of
//! a namespace as old root, so the root is bind-mounted onto itself: no byte is copied, and
//! `/proc/self/exe` stays good.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::paths;

const NONE: Option<&str> = None;

fn attach(kind: &str, target: &str, flags: MsFlags, data: Option<&str>) -> io::Result<()> {
    if !Path::new(target).exists() {
        fs::create_dir_all(target)?;
    }
    match mount(Some(kind), target, Some(kind), flags, data) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => {
            Err(io::Error::new(io::Error::from(error).kind(), format!("{kind} on {target}: {error}")))
        }
    }
}

/// What the agent's hello needs.
pub(crate) fn early() -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    fs::create_dir_all("/.root")?;
    mount(Some("/"), "/.root", NONE, MsFlags::MS_BIND, NONE)?;
    std::env::set_current_dir("/.root")?;
    mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)?;
    nix::unistd::chroot(".")?;
    std::env::set_current_dir("/")?;

    attach("devtmpfs", "/dev", MsFlags::MS_NOSUID, Some("mode=0755"))?;
    console()?;
    attach("proc", "/proc", safe, None)?;
    attach("sysfs", "/sys", safe, None)?;
    // favordynmods: moving a process into a group need not wait for a grace period of the whole machine, which
    // was a fifth of starting one.
    attach("cgroup2", "/sys/fs/cgroup", safe, Some("nsdelegate,favordynmods"))?;
    attach("tmpfs", "/run", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=0755"))?;
    fs::create_dir_all(paths::OWN_CGROUP)?;
    fs::write(Path::new(paths::OWN_CGROUP).join("cgroup.procs"), "1")?;
    Ok(())
}

/// Standard streams on the console: the kernel opens none when the initramfs has no /dev/console.
fn console() -> io::Result<()> {
    let console = match fs::File::options().read(true).write(true).open("/dev/console") {
        Ok(console) => console,
        Err(_) => fs::File::options().read(true).write(true).open("/dev/null")?,
    };
    nix::unistd::dup2_stdin(&console)?;
    nix::unistd::dup2_stdout(&console)?;
    nix::unistd::dup2_stderr(&console)?;
    Ok(())
}

/// What containers need; the agent calls it while the host already talks to it.
pub(crate) fn late() -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    attach(
        "devpts",
        "/dev/pts",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("mode=0620,ptmxmode=0666,gid=5"),
    )?;
    attach("tmpfs", "/dev/shm", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
    attach("mqueue", "/dev/mqueue", safe, None)?;
    attach("tmpfs", "/tmp", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777"))?;
    for dir in ["c", "x", "r", "s", "layers", "root", "empty"] {
        fs::create_dir_all(Path::new(paths::RUN).join(dir))?;
    }
    fs::create_dir_all(paths::DATA)?;
    delegate()?;
    sysctls();
    Ok(())
}

/// Hands every controller down to the containers' control groups.
fn delegate() -> io::Result<()> {
    fs::create_dir_all(paths::CONTAINERS_CGROUP)?;
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")?;
    for group in ["/sys/fs/cgroup", paths::CONTAINERS_CGROUP] {
        for controller in controllers.split_whitespace() {
            // One at a time: a controller that refuses must not take the others with it.
            if let Err(error) =
                fs::write(Path::new(group).join("cgroup.subtree_control"), format!("+{controller}"))
            {
                tracing::warn!(group, controller, %error, "controller not delegated");
            }
        }
    }
    Ok(())
}

fn sysctls() {
    for (name, value) in [
        ("kernel/hostname", "coracle"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/ip_unprivileged_port_start", "0"),
        ("net/ipv4/ping_group_range", "0 2147483647"),
        ("net/core/somaxconn", "4096"),
        ("fs/inotify/max_user_instances", "8192"),
        ("fs/inotify/max_user_watches", "1048576"),
        ("fs/file-max", "1048576"),
        ("kernel/pid_max", "4194304"),
        ("kernel/panic_on_oops", "1"),
        ("kernel/keys/root_maxkeys", "1000000"),
        ("vm/max_map_count", "262144"),
        ("vm/overcommit_memory", "1"),
        // For transparent huge pages the kernel keeps 66 MiB free, which no process could then use: too much
        // for a VM of this size. This is a little over what it reserves without them.
        ("vm/min_free_kbytes", "8192"),
    ] {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            tracing::debug!(name, %error, "sysctl not set");
        }
    }
}
