//! Settings, statistics of the VM, clean-up and the support bundle, with the VM off.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Mutex;

use engine_api::{ChangeError, Limits, Preferences, Shown};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Map;

use super::*;

/// Keeps what it is given; one field is not allowed, one file not readable, one not writable.
#[derive(Debug, Default)]
pub(super) struct Fake(Mutex<Map<String, Value>>);

impl Preferences for Fake {
    fn shown(&self) -> Shown {
        Shown {
            file: "/h/settings.json".into(),
            problem: None,
            values: self.0.lock().unwrap().clone(),
            fields: Default::default(),
            limits: Limits::default(),
            vm_restart_needed: false,
            service_restart_needed: false,
        }
    }

    fn change(&self, wanted: Map<String, Value>) -> BoxFuture<'_, Result<Shown, ChangeError>> {
        let refused = ["invalid", "conflict", "failed"].into_iter().find(|name| wanted.contains_key(*name));
        async move {
            match refused {
                Some("invalid") => return Err(ChangeError::Invalid("unknown setting \"invalid\"".into())),
                Some("conflict") => return Err(ChangeError::Conflict("mend it".into())),
                Some(_) => return Err(ChangeError::Failed("the disk is full".into())),
                None => self.0.lock().unwrap().extend(wanted),
            }
            Ok(self.shown())
        }
        .boxed()
    }

    fn secrets(&self) -> Vec<String> {
        vec!["proxyword".into()]
    }
}

#[tokio::test]
async fn settings_are_shown_and_changed() {
    let served = served().await;
    let (status, changed) = served.json("PATCH", "/coracle/settings", Some((JSON, r#"{"cpus":2}"#))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(changed["values"], json!({ "cpus": 2 }));
    let (status, shown) = served.json("GET", "/coracle/settings", None).await;
    assert_eq!((status, shown), (StatusCode::OK, changed));
    for (body, status, text) in [
        (r#"{"invalid":1}"#, 400, "unknown setting \"invalid\""),
        (r#"{"conflict":1}"#, 409, "mend it"),
        (r#"{"failed":1}"#, 500, "the disk is full"),
        ("[1]", 400, "invalid JSON"),
        ("", 400, "invalid JSON"),
    ] {
        let said = served.refused("PATCH", "/coracle/settings", Some((JSON, body)), status).await;
        assert!(said.contains(text), "{body}: {said}");
    }
    served.end().await;
}

#[tokio::test]
async fn without_a_vm_its_disks_are_told() {
    let served = served().await;
    let disk = std::fs::File::create(served.dir.path().join("disks/data.raw")).unwrap();
    disk.set_len(3 << 30).unwrap();
    let (status, usage) = served.json("GET", "/coracle/vm/stats", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(usage["data_disk"]["size_bytes"], 3_u64 << 30);
    assert!(usage["data_disk"]["allocated_bytes"].as_u64().unwrap() < 1 << 20, "{usage}");
    assert!(usage["cpu"]["host_percent"].is_null() && usage["memory"]["size_bytes"].is_null(), "{usage}");

    let mut stream = served.send("GET", "/coracle/vm/stats?stream=1", None).await.into_body();
    let (mut states, begun) = (Vec::new(), std::time::Instant::now());
    while states.len() < 2 {
        let line = stream.frame().await.unwrap().unwrap().into_data().unwrap();
        states.push(serde_json::from_slice::<Value>(&line).unwrap()["state"].clone());
    }
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(5), "{waited:?}");
    served.end().await;
}

#[tokio::test]
async fn a_clean_up_is_shown_before() {
    let served = served().await;
    let (status, preview) = served.json("GET", "/coracle/cleanup", None).await;
    assert_eq!(status, StatusCode::OK);
    for kind in [
        "stopped_containers",
        "dangling_images",
        "unused_images",
        "anonymous_volumes",
        "unused_volumes",
        "unused_networks",
        "build_cache",
    ] {
        assert_eq!(preview[kind], json!({ "count": 0, "bytes": 0, "names": [] }), "{kind}");
    }
    let volume = Some((JSON, r#"{"Name":"cache"}"#));
    assert_eq!(served.json("POST", "/volumes/create", volume).await.0, StatusCode::CREATED);
    let network = Some((JSON, r#"{"Name":"front"}"#));
    assert_eq!(served.json("POST", "/networks/create", network).await.0, StatusCode::CREATED);
    let (_, preview) = served.json("GET", "/coracle/cleanup", None).await;
    // Nobody but a guest knows how large a volume is.
    assert_eq!(preview["unused_volumes"], json!({ "count": 1, "bytes": null, "names": ["cache"] }));
    assert_eq!(preview["anonymous_volumes"]["count"], 0);
    assert_eq!(preview["unused_networks"], json!({ "count": 1, "bytes": 0, "names": ["front"] }));
    // What is shown is what goes.
    let all = "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D";
    assert_eq!(served.json("POST", all, None).await.1["VolumesDeleted"], json!(["cache"]));
    assert_eq!(served.json("POST", "/networks/prune", None).await.1["NetworksDeleted"], json!(["front"]));
    assert_eq!(served.json("GET", "/coracle/cleanup", None).await.1["unused_volumes"]["count"], 0);
    served.end().await;
}

/// The bundle's files by name.
fn unpacked(bytes: &[u8]) -> HashMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let mut files = HashMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name.strip_prefix("coracle-support/").unwrap().to_owned(), text);
    }
    files
}

#[tokio::test]
async fn a_support_bundle_tells_no_secret() {
    let served = served().await;
    let (_, _) = served.json("PATCH", "/coracle/settings", Some((JSON, r#"{"note":"proxyword"}"#))).await;
    let log = served.dir.path().join("log");
    let lines = "INFO asking http://me:urlword@proxy:1/v2\nDEBUG token=tokenword\nINFO with proxyword\n";
    std::fs::write(log.join("coracled.log"), lines).unwrap();
    std::fs::write(log.join("console.log"), "Linux version 6\n").unwrap();

    let response = served.send("GET", "/coracle/support-bundle", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/gzip");
    let name = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.contains("coracle-support-") && name.ends_with(".tar.gz\""), "{name}");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let files = unpacked(&bytes);
    for name in [
        "README.txt",
        "versions.json",
        "status.json",
        "doctor.json",
        "settings.json",
        "containers.json",
        "host.json",
        "log/coracled.log",
        "log/console.log",
    ] {
        assert!(files.contains_key(name), "{name} is not among {:?}", files.keys());
    }
    assert!(files["log/coracled.log"].contains("INFO asking http://xxxxx@proxy:1/v2"));
    assert_eq!(files["log/console.log"], "Linux version 6\n");
    // There is no VM, and the bundle says so.
    assert!(files["README.txt"].contains("vm.json: "), "{}", files["README.txt"]);
    let host: Value = serde_json::from_str(&files["host.json"]).unwrap();
    assert!(host["means"]["cpus"].as_u64() > Some(0));
    let all = files.values().cloned().collect::<String>();
    for secret in ["urlword", "tokenword", "proxyword"] {
        assert!(!all.contains(secret), "{secret}");
    }
    served.end().await;
}
