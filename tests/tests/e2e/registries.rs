//! The docker client's login, and downloads that end in the middle, with real registries and the VM off.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coracle_e2e::{Host, Image, Layer, Registry, Run, eventually, free_port};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// `secret`, by bcrypt.
const SECRET: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.pIKrLVkBX9/OvQMSygY1pWEVn72t6na";

/// A second registry on the folder of a plain one; ends with the value.
struct Guarded {
    address: String,
    _process: Child,
}

/// `http` is what the section has besides the address, `auth` the section of that name.
async fn guarded(of: &Registry, listen: &str, http: &str, auth: &str) -> Guarded {
    let port = free_port();
    let folder = of.folder();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{listen}:{port}'{http}}}\n{auth}",
        folder.join("data").display()
    );
    let path = folder.join(format!("guarded-{port}.yml"));
    std::fs::write(&path, config).unwrap();
    let process = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("docker-registry is installed");
    eventually("the registry listens", Duration::from_secs(10), || async move {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Guarded { address: format!("{listen}:{port}"), _process: process }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| byte()).collect()
}

fn image(bytes: &[u8]) -> Image {
    Image::new(vec![Layer::files([("etc/file", bytes, 0o644)])], json!({ "Cmd": ["true"] }))
}

/// A host whose coracled knows no login but what clients send along.
async fn host(settings: &serde_json::Value) -> Host {
    let mut host = Host::prepared(settings);
    let nobody = host.home().join("nobody").display().to_string();
    host.set("DOCKER_CONFIG", &nobody);
    host.start_daemon().await;
    host
}

#[tokio::test]
async fn the_docker_client_logs_in_pulls_and_logs_out() {
    let plain = Registry::start().await;
    image(b"guarded").push(&plain, "team/app:1").await;
    let passwords = plain.folder().join("htpasswd");
    std::fs::write(&passwords, format!("me:{SECRET}\n")).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: here, path: {}}}}}\n", passwords.display());
    let registry = guarded(&plain, "127.0.0.1", "", &auth).await;
    let host = host(&json!({ "insecure_registries": ["10.1.0.0/16", "nas:5000"] })).await;
    let reference = format!("{}/team/app:1", registry.address);

    let refused = host.docker_args(["pull", "-q", &reference]).finish().await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("no basic auth credentials"), "{}", refused.stderr);

    let login = |password: &str| {
        host.docker_args(["login", "-u", "me", "--password-stdin", &registry.address]).stdin(password)
    };
    let wrong = login("wrong").finish().await;
    let expected =
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", registry.address);
    assert!(wrong.code == 1 && wrong.stderr.contains(&expected), "{}", wrong.stderr);
    assert!(login("secret").ok().await.contains("Login Succeeded"));
    host.docker_args(["pull", "-q", &reference]).ok().await;
    host.docker_args(["rmi", &reference]).ok().await;
    host.docker_args(["logout", &registry.address]).ok().await;
    assert_eq!(host.docker_args(["pull", "-q", &reference]).finish().await.code, 1);

    let nobody = format!("127.0.0.1:{}", free_port());
    let gone = host.docker_args(["login", "-u", "me", "--password-stdin", &nobody]).stdin("x").finish().await;
    assert!(gone.stderr.contains(&nobody) && gone.stderr.contains("refused"), "{}", gone.stderr);

    // Settings of registries count at once, and are shown.
    let shown =
        async || host.docker_args(["info", "-f", "{{json .RegistryConfig}} {{.HTTPProxy}}"]).ok().await;
    let before = shown().await;
    assert!(before.contains("10.1.0.0/16") && before.contains("nas:5000"), "{before}");
    let settings =
        json!({ "proxy": { "http": "http://me:secret@127.0.0.1:1" }, "mirrors": [{ "url": "http://m:1" }] });
    std::fs::write(host.home().join("settings.json"), settings.to_string()).unwrap();
    let after = eventually("the settings count", Duration::from_secs(10), || async {
        let text = shown().await;
        text.contains("http://m:1").then_some(text)
    })
    .await;
    assert!(after.contains("http://xxxxx:xxxxx@127.0.0.1:1") && !after.contains("nas:5000"), "{after}");
    host.finish().await;
}

/// Our own login is kept by coracled, for every client that sends none.
#[tokio::test]
async fn our_own_login_serves_pulls_and_pushes() {
    let plain = Registry::start().await;
    image(b"guarded").push(&plain, "team/app:1").await;
    let passwords = plain.folder().join("htpasswd");
    std::fs::write(&passwords, format!("me:{SECRET}\n")).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: here, path: {}}}}}\n", passwords.display());
    let registry = guarded(&plain, "127.0.0.1", "", &auth).await;
    let host = host(&json!({})).await;
    let address = &registry.address;
    let (app, copy) = (format!("{address}/team/app:1"), format!("{address}/mine/copy:2"));

    let login = |password: &str| {
        host.coracle(&format!("login -u me --password-stdin {address}")).stdin(format!("{password}\n"))
    };
    let wrong = login("wrong").finish().await;
    assert!(wrong.code == 1 && wrong.stderr.contains("401 Unauthorized"), "{wrong:?}");
    assert_eq!(host.coracle(&format!("pull -q {app}")).finish().await.code, 1, "a refused login is not kept");
    assert_eq!(login("secret").ok().await, "Login Succeeded");
    host.coracle(&format!("pull -q {app}")).ok().await;
    host.coracle(&format!("tag {app} {copy}")).ok().await;
    let pushed = host.coracle(&format!("push {copy}")).finish().await;
    assert!(pushed.code == 0 && pushed.stderr.contains("2: digest: sha256:"), "{pushed:?}");
    let there = format!("docker://{}/mine/copy:2", plain.address());
    Run::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &there]).ok().await;

    host.coracle(&format!("logout {address}")).ok().await;
    let refused = host.coracle(&format!("push {copy}")).finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("no basic auth credentials"), "{refused:?}");
    for log in std::fs::read_dir(host.home().join("log")).unwrap() {
        let path = log.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("secret") && !text.contains("bWU6c2VjcmV0"), "{path:?}: {text}");
    }
    // Typed in clear, it would be seen by others.
    let flag = host.coracle(&format!("login -u me -p secret {address}")).finish().await;
    assert_eq!(flag.code, 2, "{flag:?}");
    host.finish().await;
}

async fn openssl(folder: &Path, arguments: &str) {
    let run = Run::new("sh").args(["-c", &format!("cd '{}' && openssl {arguments}", folder.display())]);
    run.ok().await;
}

#[tokio::test]
async fn own_authorities_and_client_certificates_are_read_from_certs_d() {
    // A name of this machine's that is not `localhost`: that one is trusted without proof.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let found = tokio::net::lookup_host((name.as_str(), 80)).await;
    if name == "localhost" || !found.is_ok_and(|mut found| found.any(|address| address.ip().is_loopback())) {
        eprintln!("SKIPPED: this machine's name does not lead to it");
        return;
    }
    let plain = Registry::start().await;
    image(b"by TLS").push(&plain, "app:1").await;
    let folder = plain.folder();
    let key = "req -x509 -newkey rsa:2048 -nodes -days 2";
    openssl(folder, &format!("{key} -keyout ca.key -out ca.crt -subj /CN=authority")).await;
    for (file, subject, usage) in [("server", name.as_str(), "serverAuth"), ("client", "me", "clientAuth")] {
        let of = format!(
            "-subj /CN={subject} -addext subjectAltName=DNS:{subject} -addext extendedKeyUsage={usage}"
        );
        let ca = "-addext basicConstraints=critical,CA:FALSE";
        openssl(
            folder,
            &format!("{key} -CA ca.crt -CAkey ca.key -keyout {file}.key -out {file}.cert {of} {ca}"),
        )
        .await;
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let tls = format!(
        ", tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
        file("server.cert"),
        file("server.key"),
        file("ca.crt")
    );
    let registry = guarded(&plain, &name, &tls, "").await;
    let host = host(&json!({})).await;
    let reference = format!("{}/app:1", registry.address);

    let unknown = host.docker_args(["pull", "-q", &reference]).finish().await;
    assert!(unknown.code == 1 && unknown.stderr.contains("certificate"), "{}", unknown.stderr);
    let certs = host.home().join("certs.d").join(&registry.address);
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(folder.join("ca.crt"), certs.join("ca.crt")).unwrap();
    let nameless = host.docker_args(["pull", "-q", &reference]).finish().await;
    assert_eq!(nameless.code, 1, "the registry wants to see a certificate");
    std::fs::copy(folder.join("client.cert"), certs.join("me.cert")).unwrap();
    let keyless = host.docker_args(["pull", "-q", &reference]).finish().await;
    assert!(
        keyless.stderr.contains("missing key me.key for client certificate me.cert"),
        "{}",
        keyless.stderr
    );
    std::fs::copy(folder.join("client.key"), certs.join("me.key")).unwrap();
    host.docker_args(["pull", "-q", &reference]).ok().await;
    host.finish().await;
}

/// Stands before a registry, lets little through at a time, and remembers what was asked for.
async fn slow(registry: String) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<Mutex<String>>::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (registry, log) = (registry.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                let server = TcpStream::connect(registry).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = async {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                        log.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                        to_server.write_all(&buffer[..count]).await.unwrap();
                    }
                };
                let down = async {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                        if to_client.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::join!(up, down);
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_download_goes_on_where_a_killed_coracled_left_it() {
    let plain = Registry::start().await;
    image(&noise(16 << 20)).push(&plain, "large:1").await;
    let (address, asked) = slow(plain.address()).await;
    let mut host = host(&json!({})).await;
    let reference = format!("{address}/large:1");
    let partials = host.home().join("images/partial");
    let arrived = || {
        let entries = std::fs::read_dir(&partials).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).max().unwrap_or(0)
    };
    let pull = tokio::spawn(host.docker_args(["pull", "-q", &reference]).finish());
    eventually("a part has arrived", Duration::from_secs(20), || async {
        (arrived() > 2 << 20).then_some(())
    })
    .await;
    host.kill_daemon().await;
    assert_ne!(pull.await.unwrap().code, 0);
    let kept = arrived();
    assert!(kept > 2 << 20 && kept < 16 << 20, "killed in the middle: {kept}");
    assert!(!asked.lock().unwrap().to_ascii_lowercase().contains("range: bytes="));

    host.start_daemon().await;
    host.docker_args(["pull", "-q", &reference]).ok().await;
    let asked = asked.lock().unwrap().to_ascii_lowercase();
    let range = asked.split("range: bytes=").nth(1).expect("a range was asked for");
    let from: u64 = range.split('-').next().unwrap().parse().unwrap();
    assert!(from > 2 << 20 && from <= kept, "{from} of {kept}");
    host.finish().await;
}
