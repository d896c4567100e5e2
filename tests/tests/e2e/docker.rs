//! The real docker client against Coracle, as against Docker Engine.

use std::time::Duration;

use coracle_e2e::{Host, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

const HELLO: &str = "coracle/hello";

#[tokio::test]
async fn run_gives_output_and_exit_codes() {
    let host = Host::start().await;
    let greeting = host.docker("run --rm coracle/hello").ok().await;
    assert!(greeting.to_lowercase().contains("coracle"), "{greeting}");

    let split = host.docker_args(["run", "--rm", HELLO, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    let split = split.finish().await;
    assert_eq!((split.code, split.stdout.as_str(), split.stderr.as_str()), (7, "out\n", "err\n"));

    let killed =
        host.docker_args(["run", "--rm", HELLO, "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).finish().await;
    assert_eq!(killed.code, 137, "{killed:?}");

    let missing = host.docker("run --rm coracle/hello no-such-command").finish().await;
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{missing:?}");

    let folder = host.docker("run --rm coracle/hello /etc").finish().await;
    assert_eq!(folder.code, 126, "{folder:?}");

    // Whoever the process is, its own streams are open to it by name.
    let script = "id -u; echo err >/dev/stderr";
    for user in ["0", "1000:1000"] {
        let by = host.docker_args(["run", "--rm", "-u", user, HELLO, "sh", "-c", script]).finish().await;
        let uid = format!("{}\n", user.split(':').next().unwrap());
        assert_eq!((by.code, by.stdout, by.stderr.as_str()), (0, uid, "err\n"));
    }

    let unknown = host.docker("run --rm 127.0.0.1:1/nowhere").finish().await;
    assert_eq!(unknown.code, 125, "{unknown:?}");

    assert_eq!(host.docker("ps -aq").ok().await, "", "--rm leaves nothing");
    host.finish().await;
}

#[tokio::test]
async fn stdin_reaches_the_container_and_ends() {
    let host = Host::start().await;
    let text = "line one\nline two\n".repeat(20_000);
    let echoed = host.docker("run --rm -i coracle/hello cat").stdin(text.clone()).finish().await;
    assert_eq!(echoed.code, 0, "{}", echoed.stderr);
    assert!(echoed.stdout == text, "{} of {} bytes came back", echoed.stdout.len(), text.len());

    // Output after the end of input still arrives.
    let counted = host.docker("run --rm -i coracle/hello wc -c").stdin(vec![b'x'; 1_000_000]).ok().await;
    assert_eq!(counted.trim(), "1000000");
    host.finish().await;
}

#[tokio::test]
async fn a_container_lives_its_whole_life() {
    let host = Host::start().await;
    let script = "i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.2; done";
    let id = host
        .docker_args(["run", "-d", "--name", "clock", "-e", "A=b", "-l", "k=v", HELLO, "sh", "-c", script]);
    let id = id.ok().await;
    assert_eq!(id.len(), 64);

    let listed = host.docker("ps --no-trunc --format {{.ID}}|{{.Image}}|{{.Names}}|{{.State}}").ok().await;
    assert_eq!(listed, format!("{id}|{HELLO}|clock|running"));
    assert!(host.docker("ps").ok().await.contains("Up "));

    let state =
        host.docker("inspect -f {{.State.Status}}:{{.State.Running}}:{{.Config.Image}} clock").ok().await;
    assert_eq!(state, format!("running:true:{HELLO}"));
    let exec = host.docker_args(["exec", "clock", "sh", "-c", "echo $A; hostname"]).ok().await;
    assert_eq!(exec, format!("b\n{}", &id[..12]));
    assert_eq!(host.docker("exec clock no-such-command").finish().await.code, 127);
    assert_eq!(host.docker_args(["exec", "clock", "sh", "-c", "exit 9"]).finish().await.code, 9);

    let host_ref = &host;
    eventually("the log grows", Duration::from_secs(10), || async move {
        host_ref.docker("logs clock").ok().await.contains("tick 3").then_some(())
    })
    .await;
    assert_eq!(host.docker("logs -n 1 clock").ok().await.lines().count(), 1);

    host.docker("pause clock").ok().await;
    assert!(host.docker("ps").ok().await.contains("(Paused)"));
    host.docker("unpause clock").ok().await;
    host.docker("rename clock watch").ok().await;
    let conflict = host.docker("run --rm --name watch coracle/hello true").finish().await;
    assert_eq!(conflict.code, 125);
    assert!(conflict.stderr.contains("is already in use by container"), "{conflict:?}");

    host.docker("stop -t 1 watch").ok().await;
    assert_eq!(
        host.docker("inspect -f {{.State.Status}}:{{.State.ExitCode}} watch").ok().await,
        "exited:137"
    );
    let refused = host.docker("exec watch true").finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("is not running"), "{refused:?}");
    assert!(host.docker("logs watch").ok().await.contains("tick 0"), "logs outlive the process");

    host.docker("start watch").ok().await;
    let busy = host.docker("rm watch").finish().await;
    assert!(busy.code == 1 && busy.stderr.contains("container is running"), "{busy:?}");
    host.docker("kill -s TERM watch").ok().await;
    host.docker("rm -f watch").ok().await;
    assert_eq!(host.docker("ps -aq").ok().await, "");
    host.finish().await;
}

#[tokio::test]
async fn wait_start_attached_and_restart() {
    let host = Host::start().await;
    let create = ["create", "--name", "job", HELLO, "sh", "-c", "echo working; sleep 0.3; exit 4"];
    host.docker_args(create).ok().await;
    assert_eq!(host.docker("inspect -f {{.State.Status}} job").ok().await, "created");
    let attached = host.docker("start -a job").finish().await;
    assert_eq!((attached.code, attached.stdout.as_str()), (4, "working\n"));
    assert_eq!(host.docker("wait job").ok().await, "4", "a wait after the end answers at once");

    host.docker_args(["run", "-d", "--name", "server", HELLO, "sleep", "1000"]).ok().await;
    let before = host.docker("inspect -f {{.State.StartedAt}} server").ok().await;
    host.docker("restart -t 0 server").ok().await;
    assert_ne!(host.docker("inspect -f {{.State.StartedAt}} server").ok().await, before);
    assert_eq!(host.docker("inspect -f {{.State.Status}} server").ok().await, "running");

    let policy = ["run", "-d", "--name", "crasher", "--restart", "on-failure:2", HELLO, "sh", "-c", "exit 1"];
    host.docker_args(policy).ok().await;
    let host_ref = &host;
    eventually("two restarts, then it stays down", Duration::from_secs(30), || async move {
        let state = host_ref.docker("inspect -f {{.RestartCount}}:{{.State.Status}} crasher").ok().await;
        (state == "2:exited").then_some(())
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn logs_follow_until_the_end() {
    let host = Host::start().await;
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done; echo no newline at the end >&2";
    host.docker_args(["run", "-d", "--name", "talker", HELLO, "sh", "-c", script]).ok().await;
    let followed = host.docker("logs -f talker").finish().await;
    assert_eq!(followed.stdout, "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert_eq!(followed.stderr, "no newline at the end\n");
    let stamped = host.docker("logs -t -n 1 talker").finish().await.stderr;
    assert!(stamped.starts_with("20") && stamped.contains("Z no newline"), "{stamped}");
    host.finish().await;
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let host = Host::start().await;
    // `script` gives the docker client a terminal of its own.
    let command = format!(
        "stty rows 33 cols 101; docker run --rm -it {HELLO} sh -c 'tty; stty size; read -r word; echo got $word'"
    );
    let mut child = host.docker_args([]).into_command();
    let environment: Vec<_> = child
        .as_std()
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    child = tokio::process::Command::new("script");
    let mut child = child
        .args(["-qec", &command, "/dev/null"])
        .envs(environment)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let session = async {
        let mut text = String::new();
        while !text.contains("33 101") {
            assert_ne!(shown.read_line(&mut text).await.unwrap(), 0, "ended early: {text}");
        }
        assert!(text.contains("/dev/pts/0"), "{text}");
        typed.write_all(b"ahoy\r").await.unwrap();
        shown.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("got ahoy"), "{text}");
        assert!(child.wait().await.unwrap().success());
    };
    tokio::time::timeout(Duration::from_secs(60), session).await.expect("the session ends");
    host.finish().await;
}

#[tokio::test]
async fn events_tell_what_happens() {
    let host = Host::start().await;
    host.docker("run --rm --name brief coracle/hello true").ok().await;
    let events = host.docker("events --since 5m --until=-1s --format {{.Type}}:{{.Action}}").ok().await;
    let events: Vec<&str> = events.lines().filter(|event| event.starts_with("container:")).collect();
    let expected =
        ["container:create", "container:attach", "container:start", "container:die", "container:destroy"];
    assert_eq!(events, expected);
    host.finish().await;
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let host = Host::start().await;
    for (arguments, text) in [
        ("inspect -f x nobody", "no such object: nobody"),
        ("start nobody", "No such container: nobody"),
        ("rm nobody", "No such container: nobody"),
        ("rmi nobody:1", "No such image: nobody:1"),
        ("checkpoint create nobody now", ""),
        ("build -", ""),
    ] {
        let answer = host.docker(arguments).finish().await;
        assert_ne!(answer.code, 0, "{arguments}: {answer:?}");
        assert!(answer.stderr.to_lowercase().contains(&text.to_lowercase()), "{arguments}: {answer:?}");
    }
    let version = host.docker("version --format {{.Server.Version}}/{{.Server.APIVersion}}").ok().await;
    assert!(version.contains("/1."), "{version}");
    assert_eq!(host.docker("info --format {{.OSType}}").ok().await, "linux");
    assert!(host.processes("qemu-system").is_empty(), "none of this needs the VM");
    host.finish().await;
}
