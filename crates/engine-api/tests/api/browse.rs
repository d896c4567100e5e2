//! Looking into images over HTTP, with the VM off.

use types::Digest;

use super::*;

type Entry<'a> = (&'a str, tar::EntryType, &'a [u8]);

const FILE: tar::EntryType = tar::EntryType::Regular;
const DIRECTORY: tar::EntryType = tar::EntryType::Directory;
const LINK: tar::EntryType = tar::EntryType::Symlink;

/// A tar; a link's bytes are its target, and names may hold any bytes but text's.
fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for &(name, kind, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind == DIRECTORY { 0o755 } else { 0o640 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_600_000_000);
        // As it is, so that a name need be no text.
        let name: Vec<u8> = name.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect();
        header.as_mut_bytes()[..name.len()].copy_from_slice(&name);
        let data: &[u8] = if kind == LINK { b"" } else { bytes };
        if kind == LINK {
            header.set_link_name_literal(bytes).unwrap();
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        archive.append(&header, data).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What `docker load` takes: images by name, each of these layers.
fn archive(images: &[(&str, &[&[u8]])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    let mut manifest = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (name, layers) in images {
        let diff_ids: Vec<_> = layers.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let steps = (0..layers.len()).map(|i| json!({ "created_by": format!("STEP {i}") }));
        let mut history: Vec<_> = steps.collect();
        history.insert(1, json!({ "created_by": "ENV x=y", "empty_layer": true }));
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {}, "history": history,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
        .to_string();
        let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
        add(&config_name, config.as_bytes());
        let names: Vec<_> = layers.iter().map(|tar| format!("{}/layer.tar", Digest::of(tar).hex())).collect();
        for (name, tar) in names.iter().zip(*layers) {
            if known.insert(name.clone()) {
                add(name, tar);
            }
        }
        manifest.push(json!({ "Config": config_name, "RepoTags": [name], "Layers": names }));
    }
    add("manifest.json", Value::Array(manifest).to_string().as_bytes());
    archive.into_inner().unwrap()
}

impl Served {
    async fn load(&self, images: &[(&str, &[&[u8]])]) {
        let (status, _, body) = self.raw("POST", "/images/load", &[], archive(images)).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status == StatusCode::OK && !text.contains("errorDetail"), "{status}: {text}");
    }

    async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, http::HeaderMap, Bytes) {
        let io = TokioIo::new(UnixStream::connect(&self.socket).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "docker");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.json("GET", path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }
}

fn names(value: &Value) -> Vec<&str> {
    value["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn base() -> Vec<u8> {
    layer(&[
        ("etc/", DIRECTORY, b""),
        ("etc/a", FILE, b"lower"),
        ("etc/b", FILE, b"to be deleted"),
        ("etc/c?", FILE, b"bytes"),
        ("link", LINK, b"/etc"),
    ])
}

fn upper() -> Vec<u8> {
    let big: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    layer(&[("etc/a", FILE, b"upper!"), ("etc/.wh.b", FILE, b""), ("big", FILE, &big)])
}

#[tokio::test]
async fn files_are_listed_merged_and_by_layer() {
    let served = served().await;
    served.load(&[("browse/me:1", &[&base(), &upper()])]).await;
    let root = served.get("/coracle/images/browse/me:1/files").await;
    assert_eq!(names(&root), ["big", "etc", "link"]);
    assert_eq!(
        (&root["path"], &root["entry"]["type"], &root["next"]),
        (&json!("/"), &json!("directory"), &Value::Null)
    );
    assert_eq!(root["entries"][2]["target"], "/etc");

    let etc = served.get("/v1.47/coracle/images/browse/me:1/files?path=/link/").await;
    assert_eq!((names(&etc), &etc["path"]), (vec!["a", "c\u{fffd}"], &json!("/etc")));
    let a = &etc["entries"][0];
    let stat = json!({
        "name": "a", "type": "file", "mode": 0o640, "uid": 7, "gid": 8, "size_bytes": 6, "links": 1,
        "mtime_s": 1_600_000_000, "mtime_ns": 0, "layer": 1,
    });
    assert_eq!(a, &stat);
    let owners = etc["layers"].as_array().unwrap();
    assert_eq!((&owners[1]["index"], &owners[1]["created_by"]), (&json!(1), &json!("STEP 1")));
    assert_eq!(owners[0]["diff_id"], Digest::of(&base()).to_string());

    // What is no text comes back as it was given.
    let coded = etc["entries"][1]["name_encoded"].as_str().unwrap();
    let one = served.get(&format!("/coracle/images/browse/me:1/files?path=/etc/{coded}")).await;
    assert_eq!((&one["entry"]["size_bytes"], &one["path_encoded"]), (&json!(5), &json!("/etc/c%FF")));

    let page = served.get("/coracle/images/browse/me:1/files?path=etc&limit=1").await;
    assert_eq!((names(&page), &page["next"]), (vec!["a"], &json!("a")));
    let page = served.get("/coracle/images/browse/me:1/files?path=etc&limit=1&after=a").await;
    assert_eq!((names(&page), &page["next"]), (vec!["c\u{fffd}"], &Value::Null));

    let lower = served.get("/coracle/images/browse/me:1/files?path=etc&layer=0").await;
    assert_eq!(names(&lower), ["a", "b", "c\u{fffd}"]);
    let upper = served.get("/coracle/images/browse/me:1/files?path=etc&layer=1").await;
    assert_eq!((names(&upper), &upper["entries"][1]["type"]), (vec!["a", "b"], &json!("whiteout")));
    served.end().await;
}

#[tokio::test]
async fn wrong_paths_have_errors_of_their_own() {
    let served = served().await;
    served.load(&[("me:1", &[&base(), &upper()])]).await;
    for (path, status, text) in [
        ("/coracle/images/no/such/files", 404, "No such image: no/such:latest"),
        ("/coracle/images/me:1/files?path=/etc/b", 404, "/etc/b: no such file or directory"),
        ("/coracle/images/me:1/files?path=etc/a/x", 400, "/etc/a/x: not a directory"),
        ("/coracle/images/me:1/file?path=/etc", 400, "/etc: not a regular file"),
        ("/coracle/images/me:1/file?path=/etc/b", 404, "/etc/b: no such file or directory"),
        ("/coracle/images/me:1/archive?path=/etc/b", 404, "/etc/b: no such file or directory"),
        ("/coracle/images/me:1/files?layer=2", 404, "no such layer: 2 (the image has 2, counted from 0)"),
        ("/coracle/images/me:1/files?layer=x", 400, "invalid value \"x\" for layer: not a number"),
        ("/coracle/images/diff?a=me:1", 400, "bad parameter: \"b\" cannot be empty"),
        ("/coracle/images/diff?a=me:1&b=you:1", 404, "No such image: you:1"),
        ("/coracle/images/me:1/moons", 404, "page not found"),
    ] {
        assert_eq!(served.refused("GET", path, None, status).await, text, "{path}");
    }
    served.end().await;
}

#[tokio::test]
async fn contents_come_whole_and_in_ranges() {
    let served = served().await;
    served.load(&[("me:1", &[&base(), &upper()])]).await;
    let big: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let url = "/coracle/images/me:1/file?path=/big";
    let (status, head, body) = served.raw("GET", url, &[], Vec::new()).await;
    assert_eq!(
        (status, &head["content-type"], &head["content-length"]),
        (StatusCode::OK, &"application/octet-stream".parse().unwrap(), &"300000".parse().unwrap())
    );
    assert!(body == big);
    let tag = head["etag"].to_str().unwrap().to_owned();
    let (status, head, body) = served.raw("HEAD", url, &[], Vec::new()).await;
    assert_eq!((status, head["content-length"].to_str().unwrap(), body.len()), (StatusCode::OK, "300000", 0));
    let (status, head, body) = served.raw("GET", url, &[("range", "bytes=100000-199999")], Vec::new()).await;
    assert_eq!(
        (status, head["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, "bytes 100000-199999/300000")
    );
    assert!(body == big[100_000..200_000]);
    let (status, head, _) = served.raw("GET", url, &[("range", "bytes=300000-")], Vec::new()).await;
    assert_eq!(
        (status, head["content-range"].to_str().unwrap()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */300000")
    );
    let (status, _, body) = served.raw("GET", url, &[("if-none-match", &tag)], Vec::new()).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    // By a link and of the layer below; another file, another tag.
    let lower = "/coracle/images/me:1/file?path=/etc/a&layer=0";
    let (_, head, body) = served.raw("GET", lower, &[], Vec::new()).await;
    assert_eq!((&body[..], head["etag"] != tag), (&b"lower"[..], true));
    let (_, _, body) = served.raw("GET", "/coracle/images/me:1/file?path=link/a", &[], Vec::new()).await;
    assert_eq!(&body[..], b"upper!");
    served.end().await;
}

#[tokio::test]
async fn a_folder_comes_as_a_tar() {
    let served = served().await;
    served.load(&[("me:1", &[&base(), &upper()])]).await;
    let (status, head, body) =
        served.raw("GET", "/coracle/images/me:1/archive?path=/", &[], Vec::new()).await;
    assert_eq!((status, &head["content-type"]), (StatusCode::OK, &"application/x-tar".parse().unwrap()));
    let mut archive = tar::Archive::new(&body[..]);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let sizes: Vec<_> = entries.map(|entry| (entry.path().unwrap().into_owned(), entry.size())).collect();
    let size = |name: &str| sizes.iter().find(|(path, _)| path.as_os_str() == name).map(|&(_, size)| size);
    assert_eq!((size("./big"), size("./etc/a"), size("./etc/b")), (Some(300_000), Some(6), None));
    served.end().await;
}

#[tokio::test]
async fn layers_say_what_they_hold_and_waste() {
    let served = served().await;
    served.load(&[("me:1", &[&base(), &upper()])]).await;
    let layers = served.get("/coracle/images/me:1/layers").await;
    let lower = &layers["layers"][0];
    assert_eq!(
        (&lower["created_by"], &lower["files"], &lower["directories"]),
        (&json!("STEP 0"), &json!(3), &json!(2))
    );
    assert_eq!((&lower["content_bytes"], &lower["wasted_bytes"]), (&json!(23), &json!(18)));
    assert_eq!(lower["size_bytes"], base().len());
    assert_eq!(
        (&layers["layers"][1]["whiteouts"], &layers["layers"][1]["created_by"]),
        (&json!(1), &json!("STEP 1"))
    );
    assert_eq!((&layers["wasted_bytes"], &layers["content_bytes"]), (&json!(18), &json!(300_029)));
    let worst = json!({ "path": "/etc/b", "bytes": 13, "files": 1, "layers": [0], "hidden_by": 1 });
    assert_eq!(layers["wasted"][0], worst);
    served.end().await;
}

async fn lines(served: &Served, path: &str) -> Vec<Value> {
    let (status, _, body) = served.raw("GET", path, &[], Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    body.split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test]
async fn two_images_are_compared_as_they_are_read() {
    let served = served().await;
    served.load(&[("a:1", &[&base()]), ("b:1", &[&base(), &upper()])]).await;
    let found = lines(&served, "/coracle/images/diff?a=a:1&b=b:1").await;
    let told: Vec<_> = found
        .iter()
        .map(|line| (line["kind"].as_str().unwrap(), line["path"].as_str().unwrap_or("-")))
        .collect();
    // The layer's own root, and `etc`, which it does not name, are made at the epoch.
    let expected =
        [("added", "/big"), ("changed", "/etc"), ("changed", "/etc/a"), ("removed", "/etc/b"), ("end", "-")];
    assert_eq!(told, expected);
    let a = found.iter().find(|line| line["path"] == "/etc/a").unwrap();
    assert_eq!(
        (&a["fields"], &a["before"]["size_bytes"], &a["after"]["layer"]),
        (&json!(["size", "content"]), &json!(5), &json!(1))
    );
    assert_eq!(found[4], json!({ "kind": "end", "added": 1, "removed": 1, "changed": 2, "next": null }));
    let first = lines(&served, "/coracle/images/diff?a=a:1&b=b:1&limit=3").await;
    assert_eq!((first.len(), &first[3]["next"]), (4, &json!("/etc/a")));
    let rest = lines(&served, "/coracle/images/diff?a=a:1&b=b:1&limit=3&after=/etc/a").await;
    assert_eq!((rest.len(), &rest[0]["path"], &rest[1]["next"]), (2, &json!("/etc/b"), &Value::Null));
    served.end().await;
}

#[tokio::test]
async fn an_image_that_is_looked_at_can_be_removed() {
    let served = served().await;
    let zeros = vec![0; 8 << 20];
    served.load(&[("me:1", &[&layer(&[("zeros", FILE, &zeros)])])]).await;
    let answer = served.send("GET", "/coracle/images/me:1/file?path=zeros", None).await;
    let (status, _) = served.json("DELETE", "/images/me:1", None).await;
    assert_eq!(status, StatusCode::OK);
    // Nobody else gets the blocks before the reader is through.
    served.load(&[("you:1", &[&layer(&[("ones", FILE, &vec![1; 8 << 20])])])]).await;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.len() == 8 << 20 && body.iter().all(|&byte| byte == 0));
    served.refused("GET", "/coracle/images/me:1/files", None, 404).await;
    served.end().await;
}
