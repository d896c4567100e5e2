//! Images by the real docker client, with the VM off: archives, imports, names, removals, lists.

use coracle_e2e::{Host, Layer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const HELLO: &str = "coracle/hello";

async fn inspect(host: &Host, name: &str) -> Value {
    let all: Value = serde_json::from_str(&host.docker(&format!("image inspect {name}")).ok().await).unwrap();
    all[0].clone()
}

async fn import(host: &Host, name: &str, text: &[u8]) -> String {
    let root = host.home().join("root.tar");
    std::fs::write(&root, Layer::files([("etc/hostname", text, 0o644)]).tar()).unwrap();
    host.docker_args(["import", "-c", "CMD [\"a\",\"b\"]", "-c", "LABEL tier=front", "-m", "by hand"])
        .args([root.to_str().unwrap(), name])
        .ok()
        .await
}

#[tokio::test]
async fn archives_go_round() {
    let host = Host::start().await;
    let archive = host.home().join("hello.tar");
    let archive = archive.to_str().unwrap();
    let before = inspect(&host, HELLO).await;
    host.docker(&format!("tag {HELLO} mine/hello:1")).ok().await;
    host.docker(&format!("save -o {archive} {HELLO} mine/hello:1")).ok().await;
    let refused = host.docker(&format!("save -o {archive}.2 mine/hello:2")).finish().await;
    assert!(refused.stderr.contains("reference does not exist"), "{refused:?}");

    let other = Host::start().await;
    other.docker(&format!("rmi {HELLO}")).ok().await;
    assert_eq!(other.docker("images -q").ok().await, "");
    let said = other.docker(&format!("load -i {archive}")).ok().await;
    assert!(said.contains("Loaded image: coracle/hello:latest"), "{said}");
    assert!(said.contains("Loaded image: mine/hello:1"), "{said}");
    let after = inspect(&other, HELLO).await;
    for field in ["Id", "RootFS", "Config", "Created", "Size", "Descriptor"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    // Both of an image's digests are names of it.
    let manifest = before["Descriptor"]["digest"].as_str().unwrap();
    assert_eq!(inspect(&other, manifest).await["Id"], before["Id"]);
    let refused = other.docker("load").stdin(b"no tar".repeat(1000)).finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("damaged"), "{refused:?}");
    host.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn imports_names_and_removals() {
    let host = Host::start().await;
    let id = import(&host, "rootfs:1", b"one\n").await;
    let made = inspect(&host, "rootfs:1").await;
    assert_eq!((&made["Id"], &made["Comment"]), (&id.as_str().into(), &"by hand".into()));
    assert_eq!(
        (&made["Config"]["Cmd"][1], &made["Config"]["Labels"]["tier"]),
        (&"b".into(), &"front".into())
    );
    assert!(!made["Metadata"]["LastTagTime"].as_str().unwrap().starts_with("0001"), "{made}");
    let history = host.docker_args(["history", "--format", "{{.Size}} {{.Comment}}", "rootfs:1"]).ok().await;
    assert!(history.ends_with("by hand"), "{history}");
    let refused = host.docker_args(["import", "-c", "RUN true", "-", "x"]).stdin(Vec::new()).finish().await;
    assert!(refused.stderr.contains("RUN is not a valid change command"), "{refused:?}");

    host.docker("tag rootfs:1 other:1").ok().await;
    let short = &id["sha256:".len()..][..12];
    let refused = host.docker(&format!("rmi {short}")).finish().await;
    let text = format!(
        "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    );
    assert!(refused.stderr.contains(&text), "{refused:?}");
    assert_eq!(host.docker("rmi other:1").ok().await, "Untagged: other:1");

    let container = host.docker("create rootfs:1").ok().await;
    let refused = host.docker("rmi rootfs:1").finish().await;
    let text = format!(
        "conflict: unable to remove repository reference \"rootfs:1\" (must force) - container {} is using its referenced image {short}",
        &container[..12]
    );
    assert!(refused.stderr.contains(&text), "{refused:?}");
    host.docker(&format!("rm {container}")).ok().await;
    let removed = host.docker("rmi rootfs:1").ok().await;
    let lines: Vec<&str> = removed.lines().collect();
    assert_eq!(
        (lines.len(), lines[0], lines[1]),
        (3, "Untagged: rootfs:1", format!("Deleted: {id}").as_str())
    );
    host.finish().await;
}

#[tokio::test]
async fn lists_prunes_and_events() {
    let host = Host::start().await;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first = import(&host, "one:1", b"1").await;
    let second = import(&host, "one:1", b"2").await;
    import(&host, "two/b:1", b"3").await;
    let listed = async |filter: &str| {
        let format = ["--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
        let output = host.docker(&format!("images {filter}")).args(format).ok().await;
        let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(listed("-f dangling=true").await, [format!("<none>:<none> {first}")]);
    assert_eq!(listed("-f reference=one").await, [format!("one:1 {second}")]);
    assert_eq!(listed("-f reference=two/*").await.len(), 1);
    assert_eq!(listed("-f label=tier=front -f dangling=false").await.len(), 2);
    assert_eq!(listed("-f until=1h").await.len(), 1, "the bundled image alone");
    assert_eq!(listed("-f before=one:1 -f label=tier").await, [] as [String; 0], "made within one second");
    let refused = host.docker("images -f colour=red").finish().await;
    assert!(refused.stderr.contains("invalid filter 'colour'"), "{refused:?}");

    let pruned = host.docker("image prune -f").ok().await;
    assert!(pruned.contains(&format!("deleted: {first}")), "{pruned}");
    host.docker("image prune -f -a --filter label=tier").ok().await;
    assert_eq!(listed("").await.len(), 1);
    let format = "{{.Action}} {{index .Actor.Attributes \"name\"}}";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    let (since, until) = (since.to_string(), now.to_string());
    let events = host
        .docker_args(["events", "--since", &since, "--until", &until, "--filter", "type=image"])
        .args(["--format", format])
        .ok()
        .await;
    for line in
        ["tag one:1".to_owned(), format!("import {first}"), format!("delete {first}"), "prune ".to_owned()]
    {
        assert!(events.lines().any(|event| event.trim_end() == line.trim_end()), "{line}: {events}");
    }
    host.finish().await;
}

/// The verbs of our own command line, in docker's flags and words.
#[tokio::test]
async fn the_command_line_has_dockers_verbs_for_images() {
    let host = Host::start().await;
    let before = inspect(&host, HELLO).await;
    host.coracle(&format!("tag {HELLO} localhost:5000/mine")).ok().await;
    let steps = host.coracle(&format!("history -q {HELLO}")).ok().await;
    let id = &before["Id"].as_str().unwrap()["sha256:".len()..][..12];
    assert!(steps.starts_with(id) && steps.contains("<missing>"), "{steps}");

    let archive = host.home().join("hello.tar");
    let archive = archive.to_str().unwrap();
    host.coracle(&format!("save -o {archive} {HELLO} localhost:5000/mine")).ok().await;
    let refused = host.coracle(&format!("save -o {archive} mine/none:1")).finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("reference does not exist"), "{refused:?}");
    let removed = host.coracle(&format!("rmi none {HELLO} localhost:5000/mine")).finish().await;
    assert!(removed.code == 1 && removed.stderr.contains("No such image: none:latest"), "{removed:?}");
    assert!(removed.stdout.starts_with(&format!("Untagged: {HELLO}:latest")), "{removed:?}");
    assert!(removed.stdout.contains(&format!("Deleted: sha256:{id}")), "{removed:?}");
    assert_eq!(host.coracle("rmi -f none").finish().await.code, 0);
    assert_eq!(host.coracle("images -q").ok().await, "");

    let bytes = std::fs::read(archive).unwrap();
    let loaded = host.coracle("load").stdin(bytes).ok().await;
    assert!(loaded.contains(&format!("Loaded image: {HELLO}:latest")), "{loaded}");
    assert!(loaded.contains("Loaded image: localhost:5000/mine:latest"), "{loaded}");
    assert_eq!(inspect(&host, "localhost:5000/mine").await["Id"], before["Id"]);
    let refused = host.coracle("load").stdin(b"no tar".repeat(1000)).finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("damaged"), "{refused:?}");

    let root = Layer::files([("etc/hostname", b"x".as_slice(), 0o644)]).tar().to_vec();
    let changes = ["-c", "CMD [\"a\",\"b\"]", "-c", "ENV A=b", "-m", "by hand"];
    let import = host.coracle("import - rootfs:1").args(changes);
    let id = import.stdin(root.clone()).ok().await;
    let made = inspect(&host, "rootfs:1").await;
    assert_eq!((&made["Id"], &made["Comment"]), (&id.as_str().into(), &"by hand".into()));
    assert_eq!((&made["Config"]["Cmd"][1], &made["Config"]["Env"][0]), (&"b".into(), &"A=b".into()));

    let url = served(root).await;
    let imported = host.coracle(&format!("import {url}root.tar rootfs:2")).finish().await;
    assert!(imported.stderr.contains(&format!("Downloading from {url}root.tar")), "{imported:?}");
    assert_eq!(inspect(&host, "rootfs:2").await["Id"], imported.stdout.trim());
    assert_eq!(inspect(&host, "rootfs:2").await["RootFS"], made["RootFS"]);
    let refused = host.coracle(&format!("import {url}none.tar")).finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("404"), "{refused:?}");
    host.finish().await;
}

/// An HTTP server with `bytes` at `/root.tar` and nothing elsewhere; its address.
async fn served(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let found = request[..length].starts_with(b"GET /root.tar ");
            let (status, body) =
                if found { ("200 OK", bytes.as_slice()) } else { ("404 Not Found", &[][..]) };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body).await.unwrap();
        }
    });
    url
}
