//! Debian's `docker-registry` that trusts a token service of this test: tokens are true ones (RFC 7519, RS256), signed for what
//! was asked for and allowed. Skips where a program is missing.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::Home;
use crate::support::image::{image, layer, noise};
use crate::support::real::{RealRegistry, run};
use crate::support::tools::missing;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use images::{Credentials, Push};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Gives anybody `pull`, and `push` to who knows the password.
struct Service {
    key: PathBuf,
    /// The certificate's bytes (DER).
    certificate: Vec<u8>,
    /// The scopes that were asked for.
    asked: Mutex<Vec<String>>,
}

impl Service {
    fn token(&self, scopes: &[String], may_push: bool) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let access: Vec<Value> = scopes
            .iter()
            .map(|scope| {
                let (kind, rest) = scope.split_once(':').unwrap();
                let (name, actions) = rest.rsplit_once(':').unwrap();
                let allowed: Vec<_> =
                    actions.split(',').filter(|action| may_push || *action == "pull").collect();
                json!({"type": kind, "name": name, "actions": allowed})
            })
            .collect();
        let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(&self.certificate)]});
        let claims = json!({
            "iss": "test", "sub": "", "aud": "here", "nbf": now - 10, "iat": now, "exp": now + 300,
            "jti": format!("{now}"), "access": access,
        });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&head), encoded(&claims));
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), &signed).unwrap();
        let signature =
            run(Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(&self.key).arg(text.path()));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn answer(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let known = format!("Basic {}", STANDARD.encode("me:secret"));
    if shown.as_ref().is_some_and(|shown| *shown != known) {
        return (StatusCode::UNAUTHORIZED, r#"{"details":"incorrect username or password"}"#.into());
    }
    let scopes: Vec<String> = url_pairs(&query.unwrap_or_default())
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    service.asked.lock().unwrap().extend(scopes.clone());
    let token = service.token(&scopes, shown.is_some());
    (StatusCode::OK, json!({"token": token, "expires_in": 300}).to_string())
}

fn url_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",").replace(['+'], " ");
        Some((name.to_owned(), value.replace("%20", " ")))
    })
}

/// A key and a certificate for it; the paths of both.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    (key, certificate)
}

#[tokio::test]
async fn tokens_are_asked_for_what_is_done_and_the_registry_believes_them() {
    if missing("docker-registry") || missing("skopeo") || missing("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (key, pem) = certificate(folder.path());
    let der = run(Command::new("openssl").args(["x509", "-outform", "der", "-in"]).arg(&pem));
    let service = Arc::new(Service { key, certificate: der, asked: Mutex::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let realm = format!("http://{}/token", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&service));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let registry = RealRegistry::start_with(&format!(
        "auth: {{token: {{realm: \"{realm}\", service: here, issuer: test, rootcertbundle: {}}}}}\n",
        pem.display()
    ))
    .await;

    // Made here, then pushed: not without the password, and with it.
    let home = Home::new().await;
    let source = crate::support::registry::Registry::start().await;
    let made = image(&[layer("base", &noise(1, 200_000))]);
    home.pull(&source.add("x", "latest", &made)).await.unwrap();
    let name = format!("{}/deep/x:1", registry.host);
    home.store.tag(&format!("{}/x:latest", source.host), &name.parse().unwrap()).await.unwrap();
    let push = |credentials| {
        let (sender, mut receiver) = mpsc::channel(64);
        tokio::spawn(async move { while receiver.recv().await.is_some() {} });
        let wanted = Push { reference: name.parse().unwrap(), all_tags: false, platform: None, credentials };
        home.store.push(wanted, sender, CancellationToken::new())
    };
    let refused = push(Credentials::Anonymous).await.unwrap_err().to_string();
    assert!(refused.contains("authentication required"), "{refused}");
    let wrong = Credentials::Basic { user: "me".into(), password: "wrong".into() };
    let refused = push(wrong).await.unwrap_err().to_string();
    assert!(refused.contains("incorrect username or password"), "{refused}");
    push(Credentials::Basic { user: "me".into(), password: "secret".into() }).await.unwrap();
    assert!(service.asked.lock().unwrap().contains(&"repository:deep/x:pull,push".to_owned()));

    // Anybody may pull it.
    let other = Home::new().await;
    let pulled = other.pull(&name).await.unwrap();
    assert_eq!(pulled.layers.len(), 1);
    assert_eq!(service.asked.lock().unwrap().last().unwrap(), "repository:deep/x:pull");
    server.abort();
}
