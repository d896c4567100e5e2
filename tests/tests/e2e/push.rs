//! The docker client at registries, with the VM off.

use coracle_e2e::{Host, Image, Layer, Registry, Run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn image(word: &str) -> Image {
    let large = word.repeat(100_000);
    let layers = vec![
        Layer::files([("etc/base", b"the base".as_slice(), 0o644)]),
        Layer::files([("etc/word", large.as_bytes(), 0o644)]),
    ];
    Image::new(layers, json!({ "Cmd": ["true"] }))
}

async fn manifest(reference: &str) -> String {
    let from = format!("docker://{reference}");
    Run::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &from]).ok().await
}

#[tokio::test]
async fn tags_are_pushed_and_all_of_them_pulled() {
    let registry = Registry::start().await;
    let address = registry.address();
    let one = image("one").push(&registry, "from:one").await;
    let two = image("two").push(&registry, "from:two").await;
    let host = Host::start().await;

    let pulled = host.docker_args(["pull", "-a", &format!("{address}/from")]).ok().await;
    assert!(
        pulled.contains("one: Pulling from from") && pulled.contains("two: Pulling from from"),
        "{pulled}"
    );
    assert_eq!(pulled.matches("Status: Downloaded newer image for").count(), 1, "{pulled}");
    let again = host.docker_args(["pull", "-a", &format!("{address}/from")]).ok().await;
    assert!(again.contains(&format!("Status: Image is up to date for {address}/from")), "{again}");

    for (from, tag) in [(&one, "one"), (&two, "two")] {
        host.docker_args(["tag", from, &format!("{address}/to:{tag}")]).ok().await;
    }
    let to = format!("{address}/to");
    let pushed = host.docker_args(["push", &format!("{to}:one")]).ok().await;
    assert!(pushed.contains(&format!("The push refers to repository [{to}]")), "{pushed}");
    assert!(pushed.contains("Mounted from from"), "{pushed}");
    assert!(pushed.contains("one: digest: sha256:"), "{pushed}");
    assert_eq!(manifest(&format!("{to}:one")).await, manifest(&one).await);
    let all = host.docker_args(["push", "-a", &to]).ok().await;
    assert!(all.contains("Layer already exists") && all.contains("two: digest: sha256:"), "{all}");
    assert_eq!(manifest(&format!("{to}:two")).await, manifest(&two).await);

    let digests = host.docker_args(["inspect", "-f", "{{json .RepoDigests}}", &one]).ok().await;
    let digests: Vec<String> = serde_json::from_str(&digests).unwrap();
    assert_eq!(digests.len(), 2, "{digests:?}");
    // The client's time has whole seconds: what is of this one would be cut off.
    let until = ["events", "--since", "1h", "--until=-1s", "--filter", "event=push"];
    let events = host.docker_args(until).ok().await;
    assert!(events.contains(&format!("image push {to}:one")), "{events}");

    let nowhere = host.docker_args(["push", &format!("{address}/nowhere:1")]).finish().await;
    assert_eq!(nowhere.code, 1);
    let expected = format!("An image does not exist locally with the tag: {address}/nowhere");
    assert!(nowhere.stderr.contains(&expected), "{nowhere:?}");
    let pushed = host.coracle(&format!("push {to}:one")).finish().await;
    assert!(pushed.code == 0 && pushed.stderr.contains("one: digest: sha256:"), "{pushed:?}");

    assert!(host.processes("qemu").is_empty(), "nothing of this needs a VM");
    host.finish().await;
}

#[tokio::test]
async fn a_registry_is_asked_what_it_has_and_says_when_it_cannot_search() {
    let registry = Registry::start().await;
    let reference = image("x").push(&registry, "from/x:1").await;
    let host = Host::start().await;
    let told: Value =
        serde_json::from_str(&get(&host, &format!("/distribution/{reference}/json")).await).unwrap();
    assert_eq!(told["Platforms"], json!([{ "os": "linux", "architecture": "amd64" }]), "{told}");
    assert_eq!(told["Descriptor"]["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert!(told["Descriptor"]["digest"].as_str().unwrap().starts_with("sha256:"));
    let none = get(&host, &format!("/distribution/{}/from/none:1/json", registry.address())).await;
    assert!(none.contains("name unknown") || none.contains("manifest unknown"), "{none}");

    let search = host.docker_args(["search", &format!("{}/x", registry.address())]).finish().await;
    assert!(search.code == 1 && search.stderr.contains("offers no search"), "{search:?}");
    let limit = host.docker_args(["search", "--limit", "101", "x"]).finish().await;
    assert!(limit.stderr.contains("limit 101 is outside the range of [1, 100]"), "{limit:?}");
    host.finish().await;
}

/// The body of an answer.
async fn get(host: &Host, path: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(host.endpoint().socket()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
