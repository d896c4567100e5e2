//! The Debian package, installed in a root that has nothing but what the package asks for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use coracle_e2e::desktop::{Desktop, LATER, Opening, SOON};
use coracle_e2e::{Process, Run, assets_are_built, binary, eventually};
use nix::unistd::geteuid;
use tokio::process::Child;

/// The suite that has all that the package needs in its main archive. Debian 12's QEMU is too old.
const SUITE: &str = "trixie";

/// A fresh Debian with the package, as a root that processes can be put into.
struct Installed {
    folder: tempfile::TempDir,
    /// In namespaces of its own, where it is the first process: all others end with it, and the mounts too.
    first: Process,
    _unshare: Child,
}

impl Installed {
    async fn with(deb: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("coracle-root-").tempdir().unwrap();
        let root = folder.path();
        let copy = format!("copy-in {} /var/tmp", deb.display());
        let name = deb.file_name().unwrap().to_string_lossy();
        let install = format!("chroot \"$1\" apt-get install -y --no-install-recommends /var/tmp/{name}");
        Run::new("mmdebstrap")
            .args(["--quiet", "--mode=root", "--variant=apt", "--dpkgopt=force-unsafe-io"])
            .args(["--customize-hook", &*copy, "--customize-hook", &*install])
            .args([SUITE.as_ref(), root.as_os_str()])
            .args(std::env::var_os("CORACLE_DEBIAN_MIRROR"))
            .within(Duration::from_secs(250))
            .ok()
            .await;

        // A mount of its own first: virtiofsd looks for its folder's mount, and a mere folder has none in here.
        let enter = "mount --bind . \"$PWD\" && cd \"$PWD\" && mount --rbind /dev dev && mount -t proc proc proc \
                     && mount -t tmpfs tmpfs tmp && exec chroot . sleep infinity";
        let unshare = Run::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter])
            .into_command()
            .current_dir(root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let parent = unshare.id().unwrap();
        let first = eventually("the root is entered", SOON, || async {
            let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
            let child = Process::of(children.trim().parse().ok()?)?;
            child.command.starts_with("sleep").then_some(child)
        })
        .await;
        Self { folder, first, _unshare: unshare }
    }

    /// A command line that runs another one inside, with nothing of Coracle's in its environment.
    fn enter(&self) -> Vec<String> {
        let mut words: Vec<String> =
            ["nsenter", "--mount", "--pid", "--root", "--wd=/"].map(Into::into).into();
        words.push(format!("--target={}", self.first.pid));
        words.push("env".to_owned());
        let coracle = ["CORACLE_HOME", "CORACLE_ASSETS", "CORACLE_LIBEXEC", "DOCKER_CONFIG"];
        let places = ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"];
        words.extend(coracle.into_iter().chain(places).map(|name| format!("--unset={name}")));
        words.extend(["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"].map(Into::into));
        words
    }

    /// The installed command line.
    fn coracle(&self, arguments: &str) -> Run {
        let enter = self.enter();
        Run::new(&enter[0]).args(&enter[1..]).args(["coracle"]).args(arguments.split(' ')).within(LATER)
    }

    /// A program outside that starts the one of this name inside.
    fn launcher(&self, program: &str) -> PathBuf {
        let path = self.folder.path().join("launcher");
        let script = format!("#!/bin/sh\nexec {} {program} \"$@\"\n", self.enter().join(" "));
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

#[tokio::test]
async fn the_package_works_on_a_bare_debian() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: a root of its own for the package needs root");
        return;
    }
    assets_are_built();
    let made = tempfile::tempdir().unwrap();
    let xtask =
        Run::new(binary("xtask")).args(["dist", "--debug", "--no-build", "--out"]).args([made.path()]);
    xtask.within(LATER).ok().await;
    let deb = std::fs::read_dir(made.path()).unwrap().next().unwrap().unwrap().path();
    let bare = Installed::with(&deb).await;

    // The app starts the service by itself, and its page is told by it that there is no VM.
    let opening = Opening::new("installed").program(&bare.launcher("coracle-desktop"));
    let desktop = Desktop::open_with(Path::new("/root/.local/share/coracle"), opening).await;
    desktop.find("vm-card", "[data-state='off']", SOON).await;
    desktop.picture("1-open").await;
    desktop.close().await;

    // The service outlives the window. A VM boots, so QEMU, image and helper programs are all found.
    let status: serde_json::Value = serde_json::from_str(&bare.coracle("status --json").ok().await).unwrap();
    assert_eq!(status["service"]["socket"], "/root/.local/share/coracle/run/docker.sock", "{status}");
    std::fs::create_dir(bare.folder.path().join("root/shared")).unwrap();
    std::fs::write(bare.folder.path().join("root/shared/word"), "seen").unwrap();
    let socket = bare.folder.path().join("root/.local/share/coracle/run/docker.sock");
    let docker = Run::new("docker").env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let run = ["run", "--rm", "-v", "/root/shared:/shared", "coracle/hello", "cat", "/shared/word"];
    assert_eq!(docker.args(run).within(LATER).ok().await, "seen");
    bare.coracle("vm stop").ok().await;
    bare.coracle("service stop").ok().await;
}
