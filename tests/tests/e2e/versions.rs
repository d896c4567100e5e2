//! Clients that speak older versions of the API: the docker client as a Docker of that age would use it.

use std::time::Duration;

use coracle_e2e::{Host, Run};

const HELLO: &str = "coracle/hello";

/// The oldest; the last and the first of each way to wait; what Testcontainers speaks; the last of many fields.
const VERSIONS: [&str; 7] = ["1.24", "1.29", "1.30", "1.32", "1.40", "1.41", "1.43"];

fn speaking<'a>(host: &Host, version: &str, arguments: impl IntoIterator<Item = &'a str>) -> Run {
    host.docker_args(arguments).env("DOCKER_API_VERSION", version).within(Duration::from_secs(30))
}

#[tokio::test]
async fn older_clients_are_served() {
    let host = Host::start().await;
    host.docker("volume create kept").ok().await;
    for version in VERSIONS {
        let docker = |arguments: &'static str| speaking(&host, version, arguments.split(' '));
        let asked = host.docker("version -f {{.Client.APIVersion}}").env("DOCKER_API_VERSION", version);
        assert_eq!(asked.ok().await, version);
        let script = "echo out; echo err >&2; exit 3";
        let mut run = speaking(&host, version, ["run", "--rm", HELLO, "sh", "-c", script]).finish().await;
        if version == "1.24" {
            // The client removes the container itself, and sometimes gives that up as soon as it hears that it worked.
            run.stderr = run
                .stderr
                .lines()
                .filter(|line| !line.contains("context canceled"))
                .fold(String::new(), |text, line| text + line + "\n");
        }
        assert_eq!((run.code, &*run.stdout, &*run.stderr), (3, "out\n", "err\n"), "{version}");
        assert_eq!(docker("ps -aq").ok().await, "", "{version}: --rm leaves nothing");
        let counted = docker("run --rm -i coracle/hello wc -c").stdin(vec![b'x'; 100_000]).ok().await;
        assert_eq!(counted.trim(), "100000", "{version}");

        let kept = speaking(&host, version, ["run", "--name", "kept", HELLO, "sh", "-c", "echo k; exit 2"]);
        assert_eq!(kept.finish().await.code, 2, "{version}");
        assert_eq!(docker("logs kept").ok().await, "k", "{version}");
        assert_eq!(docker("start -a kept").finish().await.code, 2, "{version}");
        assert_eq!(docker("wait kept").ok().await, "2", "{version}");

        docker("run -d --name long -v kept:/kept coracle/hello sleep 1000").ok().await;
        assert_eq!(docker("ps --format {{.Names}}").ok().await, "long", "{version}");
        assert_eq!(docker("exec long echo here").ok().await, "here", "{version}");
        assert_eq!(docker("exec long sh -c false").finish().await.code, 1, "{version}");
        assert!(docker("images").ok().await.contains(HELLO), "{version}");
        let size = docker("image inspect -f {{.Size}} coracle/hello").ok().await;
        assert!(size.parse::<u64>().unwrap() > 0, "{version}: {size}");
        assert!(docker("network ls").ok().await.contains("bridge"), "{version}");
        docker("network inspect bridge").ok().await;
        assert!(docker("volume ls -q").ok().await.contains("kept"), "{version}");
        assert!(docker("info -f {{.Containers}}").ok().await.contains('2'), "{version}");
        if version != "1.24" {
            docker("system df").ok().await;
        }
        docker("stats --no-stream long").ok().await;
        docker("stop -t 0 long").ok().await;
        docker("rm -f kept long").ok().await;
    }
    // Until 1.42 volumes with names were pruned as well.
    assert!(!speaking(&host, "1.42", ["volume", "prune", "-f"]).ok().await.contains("kept"));
    assert!(speaking(&host, "1.41", ["volume", "prune", "-f"]).ok().await.contains("kept"));
    let older = speaking(&host, "1.23", ["ps"]).finish().await;
    let text = "client version 1.23 is too old. Minimum supported API version is 1.24";
    assert!(older.code == 1 && older.stderr.contains(text), "{older:?}");
    host.finish().await;
}
