//! Folders of the host in containers: live, owned by the user, bounded by what is approved.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coracle_e2e::{Host, Run, eventually};
use serde_json::json;

const HELLO: &str = "coracle/hello";
const DAEMON: &str = "bin/virtiofsd";

/// Waits for events and prints their masks and names.
const WATCHER: &str = r#"
#include <sys/inotify.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[65536] __attribute__((aligned(8)));
    int in = inotify_init();
    if (inotify_add_watch(in, argv[1], IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE) < 0) return 1;
    puts("ready");
    for (;;) {
        fflush(stdout);
        ssize_t length = read(in, buffer, sizeof buffer);
        for (char *at = buffer; at < buffer + length;) {
            struct inotify_event *event = (void *)at;
            printf("%x:%s\n", event->mask, event->len ? event->name : "");
            at += sizeof *event + event->len;
        }
    }
}
"#;

/// A Coracle with one approved root, and what lies around it.
struct Shared {
    host: Host,
    folder: tempfile::TempDir,
}

impl Shared {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("coracle-shared-").tempdir().unwrap();
        let base = folder.path();
        for name in ["home/src", "else"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("home/src/file"), "of the host\n").unwrap();
        fs::write(base.join("else/secret"), "secret\n").unwrap();
        let host = Host::with(&json!({ "file_sharing": [base.join("home")] })).await;
        Self { host, folder }
    }

    fn path(&self, beneath: &str) -> PathBuf {
        self.folder.path().join(beneath)
    }

    /// `docker run --rm` with one mount and a script.
    fn run(&self, mount: &[&str], script: &str) -> Run {
        let arguments = ["run", "--rm"].iter().chain(mount).copied();
        self.host.docker_args(arguments.chain([HELLO, "sh", "-c", script]))
    }

    async fn background(&self, name: &str, volume: &str, command: &[&str]) {
        let arguments = ["run", "-d", "--name", name, "-v", volume, HELLO];
        self.host.docker_args(arguments.iter().chain(command).copied()).ok().await;
    }

    async fn finish(self) {
        self.host.finish().await;
    }
}

fn bind(source: &Path, rest: &str) -> String {
    format!("{}:{rest}", source.display())
}

#[tokio::test]
async fn a_folder_is_live_both_ways_and_its_files_are_the_users() {
    let shared = Shared::start().await;
    let src = shared.path("home/src");
    let volume = bind(&src, "/src");
    shared.background("live", &volume, &["sleep", "1000"]).await;
    assert_eq!(shared.host.docker("exec live cat /src/file").ok().await, "of the host");

    fs::write(src.join("later"), "written later\n").unwrap();
    assert_eq!(shared.host.docker("exec live cat /src/later").ok().await, "written later");
    let script = "mkdir -p /src/made/deep; echo from inside > /src/made/deep/file; chmod 640 /src/made/deep/file; \
                  stat -c %u:%g:%a /src/made/deep/file; mv /src/later /src/moved; rm /src/file";
    let owner = shared.host.docker_args(["exec", "live", "sh", "-c", script]).ok().await;
    assert_eq!(owner, "0:0:640", "the container sees its files as its own");
    let made = src.join("made/deep/file");
    assert_eq!(fs::read_to_string(&made).unwrap(), "from inside\n");
    let meta = fs::metadata(&made).unwrap();
    let me = fs::metadata("/proc/self").unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (me.uid(), me.gid(), 0o640));
    assert!(src.join("moved").exists() && !src.join("file").exists());

    // One device and one daemon for all that lies beneath a root; none when nobody needs it any more.
    let second = bind(&shared.path("home"), "/home");
    assert_eq!(shared.run(&["-v", &second], "cat /home/src/moved").ok().await, "written later");
    assert_eq!(shared.host.processes(DAEMON).len(), 1);
    shared.host.docker("rm -f live").ok().await;
    let host = &shared.host;
    eventually("the daemon ends", Duration::from_secs(20), || async move {
        host.processes(DAEMON).is_empty().then_some(())
    })
    .await;
    // And again.
    assert_eq!(shared.run(&["-v", &volume], "cat /src/moved").ok().await, "written later");
    shared.finish().await;
}

#[tokio::test]
async fn read_only_single_files_and_what_is_missing() {
    let shared = Shared::start().await;
    let src = shared.path("home/src");
    let refused = shared.run(&["-v", &bind(&src, "/src:ro")], "cat /src/file; touch /src/new").finish().await;
    assert!(refused.code != 0 && refused.stdout == "of the host\n", "{refused:?}");
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    let mount = format!("type=bind,source={},target=/src,readonly", src.display());
    let refused = shared.run(&["--mount", &mount], "touch /src/file").finish().await;
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");

    let file = bind(&src.join("file"), "/etc/single");
    assert_eq!(
        shared.run(&["-v", &file], "cat /etc/single; echo more >> /etc/single").ok().await,
        "of the host"
    );
    assert_eq!(fs::read_to_string(src.join("file")).unwrap(), "of the host\nmore\n");

    // `-v` makes a missing folder, `--mount` does not.
    let made = src.join("made/deep");
    shared.run(&["-v", &bind(&made, "/made")], "touch /made/it").ok().await;
    assert!(made.join("it").exists());
    let absent = src.join("absent");
    let mount = format!("type=bind,source={},target=/x", absent.display());
    let missing = shared.run(&["--mount", &mount], "true").finish().await;
    assert_eq!(missing.code, 125, "{missing:?}");
    assert!(missing.stderr.contains("bind source path does not exist"), "{missing:?}");
    assert!(!absent.exists());

    // A folder that vanishes is missed at the next start, by its name.
    let gone = src.join("gone");
    fs::create_dir(&gone).unwrap();
    let mount = format!("type=bind,source={},target=/x", gone.display());
    let create = ["create", "--name", "later", "--mount", &mount, HELLO, "true"];
    shared.host.docker_args(create).ok().await;
    fs::remove_dir(&gone).unwrap();
    let missing = shared.host.docker("start later").finish().await;
    assert!(missing.code != 0 && missing.stderr.contains(&gone.display().to_string()), "{missing:?}");
    fs::create_dir(&gone).unwrap();
    shared.host.docker("start later").ok().await;
    shared.finish().await;
}

#[tokio::test]
async fn what_is_not_approved_is_neither_mounted_nor_reached() {
    let shared = Shared::start().await;
    let src = shared.path("home/src");
    symlink(shared.path("else"), src.join("out")).unwrap();
    symlink("../../else/secret", src.join("relative")).unwrap();
    symlink("file", src.join("alias")).unwrap();
    for outside in [shared.path("else"), src.join("out"), PathBuf::from("/etc"), src.join("out/new")] {
        let refused = shared.run(&["-v", &bind(&outside, "/x")], "ls /x").finish().await;
        assert_eq!(refused.code, 125, "{refused:?}");
        for text in [&outside.display().to_string(), "file_sharing", "settings"] {
            assert!(refused.stderr.contains(text), "{text}: {refused:?}");
        }
    }
    assert!(!shared.path("else/new").exists());
    // Links within are the container's to follow, in its own tree.
    let script = "cat /src/alias; cat /src/relative /src/out/secret; ls /src/out/";
    let inside = shared.run(&["-v", &bind(&src, "/src")], script).finish().await;
    assert_eq!(inside.stdout, "of the host\n", "{inside:?}");
    assert!(!inside.stderr.contains("secret\n"), "{inside:?}");
    shared.finish().await;
}

#[tokio::test]
async fn changes_on_the_host_raise_events_in_the_container() {
    let shared = Shared::start().await;
    let src = shared.path("home/src");
    let source = shared.path("watcher.c");
    fs::write(&source, WATCHER).unwrap();
    let program = src.join("watcher");
    Run::new("gcc")
        .args(["-static", "-o", &program.display().to_string(), &source.display().to_string()])
        .ok()
        .await;
    fs::create_dir(src.join("seen")).unwrap();
    fs::write(src.join("seen/file"), "one").unwrap();
    shared.background("watcher", &bind(&src, "/src"), &["/src/watcher", "/src/seen"]).await;
    let host = &shared.host;
    let logged = || async move { host.docker("logs watcher").ok().await };
    eventually("it watches", Duration::from_secs(10), || async move {
        logged().await.contains("ready").then_some(())
    })
    .await;
    // The host's own watcher is set up aside.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let seen = src.join("seen");
    let changes: [(&str, &str, &dyn Fn()); 4] = [
        ("a file is written", "2:file", &|| fs::write(seen.join("file"), "two").unwrap()),
        ("a file is made", "2:fresh", &|| fs::write(seen.join("fresh"), "").unwrap()),
        ("a folder is made", "40000004:folder", &|| fs::create_dir(seen.join("folder")).unwrap()),
        ("a file is removed", "40000004:", &|| fs::remove_file(seen.join("fresh")).unwrap()),
    ];
    for (what, event, change) in changes {
        let before = logged().await.lines().count();
        let begin = Instant::now();
        change();
        eventually(what, Duration::from_secs(5), || async move {
            logged().await.lines().skip(before).any(|line| line == event).then_some(())
        })
        .await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{what}: told after {:?}", begin.elapsed());
        // All of this change has been told.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    // What was raised raises nothing more, and nothing was changed by it.
    let before = logged().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(logged().await, before);
    assert_eq!(fs::read_to_string(seen.join("file")).unwrap(), "two");
    assert_eq!(host.docker("exec watcher cat /src/seen/file").ok().await, "two");
    shared.finish().await;
}

#[tokio::test]
async fn a_mount_outlives_coracled_and_a_dead_daemon_is_replaced() {
    let mut shared = Shared::start().await;
    let src = shared.path("home/src");
    let script = "i=0; while true; do i=$((i+1)); echo $i > /src/count; sleep 0.1; done";
    shared.background("counter", &bind(&src, "/src"), &["sh", "-c", script]).await;
    let daemon = shared.host.process(DAEMON);
    shared.host.kill_daemon().await;
    let count = || async { fs::read_to_string(src.join("count")).ok()?.trim().parse::<u64>().ok() };
    let before = eventually("it counts", Duration::from_secs(10), count).await;
    eventually("it counts on without coracled", Duration::from_secs(10), || async {
        (count().await? > before).then_some(())
    })
    .await;
    shared.host.start_daemon().await;
    let host = &shared.host;
    eventually("re-attached", Duration::from_secs(20), || async move {
        host.client().await.vm_status().await.unwrap().is_running().then_some(())
    })
    .await;
    assert_eq!(shared.host.docker("exec counter cat /src/file").ok().await, "of the host");
    // Longer than what nobody uses stays.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(daemon.lives(), "its container runs");

    // One that asks for nothing when the daemon dies.
    shared.background("idle", &bind(&src, "/src"), &["sleep", "1000"]).await;
    host.docker("rm -f counter").ok().await;
    daemon.kill();
    let died = daemon.pid;
    eventually("its device is taken out", Duration::from_secs(20), || async move {
        let record = fs::read_to_string(host.home().join("run/vm/vm.json")).unwrap();
        (!record.contains(&format!("{died}"))).then_some(())
    })
    .await;
    eventually("whoever reads gets an error", Duration::from_secs(20), || async move {
        let read = host.docker("exec idle cat /src/file").within(Duration::from_secs(15)).finish().await;
        (read.code != 0).then_some(())
    })
    .await;
    host.docker("restart -t 0 idle").ok().await;
    assert_eq!(host.docker("exec idle cat /src/file").ok().await, "of the host");
    assert_ne!(host.process(DAEMON).pid, died);

    shared.host.coracle("vm stop").ok().await;
    assert_eq!(shared.host.processes(DAEMON), []);
    shared.finish().await;
}
