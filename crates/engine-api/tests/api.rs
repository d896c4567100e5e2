//! The API over its real socket, with a real engine and image store and a VM that cannot start: what a
//! client meets before any container runs. The real docker client is asked where there is one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test; clippy does not see that of its helpers")]

#[path = "api/browse.rs"]
mod browse;
#[path = "api/settings.rs"]
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineConfig};
use engine_api::{Api, Listener, Service};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use vmm::{Vm, VmConfig};

struct Served {
    dir: tempfile::TempDir,
    socket: PathBuf,
    api: Api,
    serving: tokio::task::JoinHandle<()>,
}

async fn served() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_owned();
    for folder in ["db", "images", "log", "disks"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    let socket = home.join("run/docker.sock");
    let (folder, database) = (home.join("images"), home.join("db/images.redb"));
    let images = images::Store::open(&folder, &database, Default::default()).await.unwrap();
    let config = VmConfig::below(&home, home.join("no-assets"), home.join("no-helpers"));
    let config = VmConfig { qemu: Some(home.join("no-qemu")), ..config };
    let own_vms = engine::OwnVmConfig::below(&home, config.clone());
    let vm = Vm::new(config);
    let engine = EngineConfig {
        db_path: home.join("db/engine.redb"),
        file_sharing: Vec::new(),
        own_vms,
        volume_disks: home.join("disks/volumes"),
        publish_on: engine::PublishOn::default(),
        name_servers: Vec::new(),
        card: None,
        lab_work: None,
    };
    let engine = Engine::open(engine, images, Arc::new(vm.clone())).await.unwrap();
    let service = Service {
        version: "1.2.3".into(),
        home,
        socket: socket.clone(),
        id: "an-id".into(),
        log_dir: dir.path().join("log"),
        preferences: Arc::new(settings::Fake::default()),
        warnings: vec!["WARNING: something".into()],
    };
    let api = Api::new(engine, vm, service);
    let listener = Listener::bind(&socket).await.unwrap();
    let serving = tokio::spawn(engine_api::serve(listener, api.clone()));
    Served { dir, socket, api, serving }
}

impl Served {
    async fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Response<Incoming> {
        let io = TokioIo::new(UnixStream::connect(&self.socket).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", "docker");
        if let Some((kind, _)) = body {
            request = request.header("content-type", kind);
        }
        let body = Full::new(Bytes::from(body.map(|(_, text)| text.to_owned()).unwrap_or_default()));
        sender.send_request(request.body(body).unwrap()).await.unwrap()
    }

    async fn json(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The error's text, after a look at its status.
    async fn refused(&self, method: &str, path: &str, body: Option<(&str, &str)>, status: u16) -> String {
        let (got, answer) = self.json(method, path, body).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {answer}");
        answer["message"].as_str().unwrap_or_default().to_owned()
    }

    async fn docker(&self, args: &[&str]) -> std::process::Output {
        let mut command = tokio::process::Command::new("docker");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).arg("-H").arg(format!("unix://{}", self.socket.display()));
        tokio::time::timeout(Duration::from_secs(30), command.args(args).output()).await.unwrap().unwrap()
    }

    async fn end(self) {
        self.api.stop();
        tokio::time::timeout(Duration::from_secs(5), self.serving).await.expect("a quick drain").unwrap();
        assert!(!self.socket.exists());
    }
}

const JSON: &str = "application/json";

#[tokio::test]
async fn ping_negotiates() {
    let served = served().await;
    for method in ["GET", "HEAD"] {
        let response = served.send(method, "/_ping", None).await;
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [("api-version", "1.51"), ("ostype", "linux"), ("docker-experimental", "false")]
        {
            assert_eq!(response.headers()[name], value);
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], if method == "GET" { &b"OK"[..] } else { b"" });
    }
    let (status, version) = served.json("GET", "/v1.44/version", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(version["ApiVersion"], "1.51");
    assert_eq!(version["MinAPIVersion"], "1.24");
    assert!(served.refused("GET", "/v1.99/version", None, 400).await.contains("is too new"));
    assert!(served.refused("GET", "/v1.12/version", None, 400).await.contains("is too old"));
    served.end().await;
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let served = served().await;
    for (method, path) in
        [("GET", "/nothing"), ("POST", "/_ping"), ("GET", "/v1.51/nothing/at/all"), ("GET", "/")]
    {
        assert_eq!(served.refused(method, path, None, 404).await, "page not found", "{method} {path}");
    }
    for (method, path) in [
        ("POST", "/build"),
        ("POST", "/swarm/init"),
        ("POST", "/v1.51/containers/x/checkpoints"),
        ("POST", "/session"),
    ] {
        let text = served.refused(method, path, None, 501).await;
        assert!(text.ends_with("is not implemented by Coracle yet"), "{method} {path}: {text}");
    }
    for (path, status, text) in [
        ("/networks/x", 404, "network x not found"),
        ("/volumes/x", 404, "get x: no such volume"),
        ("/plugins/x/json", 404, "plugin \"x\" not found"),
    ] {
        assert_eq!(served.refused("GET", path, None, status).await, text);
    }
    let swarm = served.refused("GET", "/v1.51/services/x", None, 503).await;
    assert!(swarm.starts_with("This node is not a swarm manager."), "{swarm}");
    served.end().await;
}

#[tokio::test]
async fn bodies_are_checked() {
    let served = served().await;
    let create = "/containers/create";
    let empty = "config cannot be empty in order to create a container";
    assert_eq!(served.refused("POST", create, None, 400).await, empty);
    assert!(
        served.refused("POST", create, Some((JSON, "{\"Image\":")), 400).await.starts_with("invalid JSON")
    );
    let plain = served.refused("POST", create, Some(("text/plain", "{}")), 400).await;
    assert!(plain.contains("must be 'application/json'"), "{plain}");
    let unknown = Some((JSON, r#"{"Image":"no/such:tag","Later":{"than":"us"}}"#));
    assert_eq!(served.refused("POST", create, unknown, 404).await, "No such image: no/such:tag");
    served.end().await;
}

#[tokio::test]
async fn unknown_things_are_dockers_404() {
    let served = served().await;
    for (method, path, text) in [
        ("GET", "/containers/nope/json", "No such container: nope"),
        ("POST", "/containers/nope/start", "No such container: nope"),
        ("POST", "/containers/nope/stop", "No such container: nope"),
        ("POST", "/containers/nope/wait", "No such container: nope"),
        ("DELETE", "/containers/nope", "No such container: nope"),
        ("GET", "/containers/nope/logs?stdout=1", "No such container: nope"),
        ("POST", "/containers/nope/attach?stream=1&stdout=1", "No such container: nope"),
        ("POST", "/containers/nope/resize?h=1&w=1", "No such container: nope"),
        ("GET", "/images/no/such/json", "No such image: no/such:latest"),
        ("GET", "/images/localhost:5000/no/such:1/history", "No such image: localhost:5000/no/such:1"),
        ("DELETE", "/images/no/such", "No such image: no/such:latest"),
        ("GET", "/exec/nope/json", "No such exec instance: nope"),
    ] {
        assert_eq!(served.refused(method, path, None, 404).await, text, "{method} {path}");
    }
    served.end().await;
}

#[tokio::test]
async fn parameters_are_checked() {
    let served = served().await;
    for (method, path, text) in [
        ("GET", "/containers/json?filters=%7B", "invalid filter"),
        ("GET", "/containers/json?filters=%7B%22moon%22%3A%5B%22full%22%5D%7D", "invalid filter 'moon'"),
        ("GET", "/images/json?filters=%7B%22moon%22%3A%5B%22full%22%5D%7D", "invalid filter 'moon'"),
        ("GET", "/containers/x/logs", "you must choose at least one stream"),
        ("POST", "/containers/x/wait?condition=bored", "invalid condition"),
        ("POST", "/containers/x/resize?h=a&w=1", "invalid value"),
        ("POST", "/containers/x/attach?detachKeys=oops", "invalid detach keys"),
        ("POST", "/images/create?fromImage=UPPER", "must be lowercase"),
        ("GET", "/events?since=x", "not a unix timestamp"),
        ("GET", "/events?since=2&until=1", "cannot be after"),
    ] {
        let got = served.refused(method, path, None, 400).await;
        assert!(got.contains(text), "{method} {path}: {got}");
    }
    served.end().await;
}

#[tokio::test]
async fn an_unreachable_registry_is_an_error_with_a_status() {
    let served = served().await;
    let (status, answer) = served.json("POST", "/images/create?fromImage=127.0.0.1:1/x&tag=1", None).await;
    assert!(status.is_server_error(), "{status} {answer}");
    assert!(answer["message"].as_str().unwrap().contains("127.0.0.1:1"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn coracles_own_answers() {
    let served = served().await;
    let (status, doctor) = served.json("GET", "/coracle/doctor", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(doctor["findings"].as_array().unwrap().iter().any(|finding| finding["id"] == "service"));
    let (status, all) = served.json("GET", "/coracle/status", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(all["service"]["version"], "1.2.3");
    assert_eq!(all["containers"], json!({ "total": 0, "running": 0 }));
    assert_eq!(all["guest"], Value::Null);
    let text = served.refused("POST", "/coracle/vm/start", None, 503).await;
    assert!(!text.is_empty());
    let (_, vm) = served.json("GET", "/coracle/vm", None).await;
    assert_eq!(vm["state"], "failed", "{vm}");

    let mut events = served.send("GET", "/coracle/vm/events", None).await.into_body();
    let first = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap()["state"], "failed");
    served.end().await;
}

#[tokio::test]
async fn an_upload_that_is_refused_is_read_to_its_end() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let served = served().await;
    let mut client = UnixStream::connect(&served.socket).await.unwrap();
    let body = vec![7; 4 << 20];
    let head = "PUT /v1.44/containers/nobody/archive?path=/ HTTP/1.1\r\nHost: docker\r\nConnection: close";
    client.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    client.write_all(&body).await.expect("no broken pipe");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("No such container: nobody"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn endless_answers_end_with_the_service() {
    let served = served().await;
    let events = served.send("GET", "/events", None).await;
    assert_eq!(events.status(), StatusCode::OK);
    // This one hangs up; the other is told.
    drop(served.send("GET", "/events", None).await);
    assert_eq!(served.send("POST", "/coracle/shutdown", None).await.status(), StatusCode::NO_CONTENT);
    assert!(events.into_body().collect().await.unwrap().to_bytes().is_empty());
    served.end().await;
}

#[tokio::test]
async fn events_until_the_past_end_at_once() {
    let served = served().await;
    let events = served.send("GET", "/events?since=1&until=2", None).await;
    let all =
        tokio::time::timeout(Duration::from_secs(5), events.into_body().collect()).await.unwrap().unwrap();
    assert!(all.to_bytes().is_empty());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docker_client_is_content() {
    let found = std::process::Command::new("docker").arg("--version").output();
    if found.is_err() {
        eprintln!("SKIPPED: no docker client in PATH");
        return;
    }
    let served = served().await;
    for (args, expected) in [
        (
            &["version", "--format", "{{.Server.APIVersion}} {{.Server.Platform.Name}}"][..],
            "1.51 Coracle 1.2.3\n",
        ),
        (&["info", "--format", "{{.ServerVersion}} {{.Containers}} {{.DefaultRuntime}}"], "1.2.3 0 runc\n"),
        (&["ps", "-aq"], ""),
        (&["images", "-q"], ""),
    ] {
        let output = served.docker(args).await;
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "docker {args:?}: {stderr}");
        assert_eq!(stdout, expected, "docker {args:?}: {stderr}");
    }
    let info = served.docker(&["info"]).await;
    assert!(String::from_utf8_lossy(&info.stderr).contains("WARNING: something"));
    let run = served.docker(&["run", "--rm", "127.0.0.1:1/no/such"]).await;
    assert_eq!(run.status.code(), Some(125), "{}", String::from_utf8_lossy(&run.stderr));
    served.end().await;
}
