//! Accounts, tokens, patience, mirrors and proxies, against servers of a few lines that say what they were asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::Home;
use crate::support::image::{Made, image, layer, noise};
use crate::support::registry::{Fault, Registry};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, header};
use images::{Credentials, LoginError, Mirror, ProxySettings, PullError, RegistrySettings};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Digest;

/// A registry with a token service. Tokens are numbered; one can be taken back.
#[derive(Default)]
struct Guarded {
    made: Option<Made>,
    /// Names what `made` is below `/v2/`.
    basic: bool,
    issued: usize,
    /// Tokens up to this one are worth nothing any more.
    expired: usize,
    /// `METHOD path?query` and the form or `Authorization` of each request for a token.
    tokens: Vec<(String, String)>,
    requests: Vec<(String, Option<String>)>,
    /// Answers the next requests for manifests so: status, Retry-After.
    busy: Vec<(u16, Option<&'static str>)>,
    /// Takes the tokens back when this blob is asked for the first time.
    expire_at_blob: bool,
}

struct Server {
    host: String,
    state: Arc<Mutex<Guarded>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(guarded: Guarded) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(guarded));
        let router = Router::new().fallback(answer).with_state((Arc::clone(&state), host.clone()));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, state, task }
    }

    async fn of(made: &Made) -> Self {
        Self::start(Guarded { made: Some(made.clone()), ..Guarded::default() }).await
    }

    fn tokens(&self) -> Vec<(String, String)> {
        self.state.lock().unwrap().tokens.clone()
    }
}

fn respond(status: u16, name: &str, value: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header(name, value).body(body.into()).unwrap()
}

async fn answer(
    State((state, host)): State<(Arc<Mutex<Guarded>>, String)>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let form = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let shown = parts.headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned());
    let mut guarded = state.lock().unwrap();
    if path == "/token" {
        let line = format!("{} {}", parts.method, parts.uri);
        let proof = if form.is_empty() {
            shown.clone().unwrap_or_default()
        } else {
            String::from_utf8_lossy(&form).into()
        };
        if proof.contains(&basic("me", "wrong")) {
            guarded.tokens.push((line, proof));
            let body = r#"{"details":"incorrect username or password"}"#;
            return respond(401, "content-type", "application/json", body);
        }
        let offline = line.contains("offline_token=true");
        guarded.tokens.push((line, proof));
        guarded.issued += 1;
        let refresh = if offline { r#","refresh_token":"refresh""# } else { "" };
        let body = format!(r#"{{"access_token":"token-{}","expires_in":300{refresh}}}"#, guarded.issued);
        return respond(200, "content-type", "application/json", body);
    }
    guarded.requests.push((path.clone(), shown.clone()));
    let good = if guarded.basic {
        shown == Some(basic("me", "secret"))
    } else {
        let number = shown.as_deref().and_then(|text| text.strip_prefix("Bearer token-"));
        number.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n > guarded.expired)
    };
    if guarded.expire_at_blob && good && path.contains("/blobs/") {
        guarded.expire_at_blob = false;
        guarded.expired = guarded.issued;
        return challenge(&host, false);
    }
    if !good {
        return challenge(&host, guarded.basic);
    }
    if path == "/v2/" {
        return respond(200, "content-type", "application/json", "{}");
    }
    if path.contains("/manifests/") {
        if let Some((status, told)) = guarded.busy.pop() {
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
            return respond(status, "retry-after", told.unwrap_or("0"), body);
        }
        let made = guarded.made.as_ref().unwrap();
        return respond(200, "content-type", crate::support::image::OCI_MANIFEST, made.manifest.clone());
    }
    let digest = path.rsplit('/').next().unwrap().parse::<Digest>().unwrap();
    respond(
        200,
        "content-type",
        "application/octet-stream",
        guarded.made.as_ref().unwrap().blobs[&digest].clone(),
    )
}

fn challenge(host: &str, basic: bool) -> Response<Body> {
    let text = if basic {
        r#"Basic realm="Registry""#.to_owned()
    } else {
        format!(
            r#"Bearer realm="http://{host}/token",service="here",scope="repository:x:pull",error="invalid_token""#
        )
    };
    respond(
        401,
        "www-authenticate",
        &text,
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
    )
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn account(password: &str) -> Credentials {
    Credentials::Basic { user: "me".into(), password: password.into() }
}

async fn pull(home: &Home, reference: &str, credentials: Credentials) -> Result<images::Image, PullError> {
    let (sender, _receiver) = mpsc::channel(1024);
    home.store.pull(&reference.parse().unwrap(), None, credentials, sender, CancellationToken::new()).await
}

#[tokio::test]
async fn a_token_serves_for_its_scope_and_is_renewed_when_it_expires() {
    let made = image(&[layer("a", &noise(1, 200_000)), layer("b", b"b")]);
    let server = Server::of(&made).await;
    let home = Home::new().await;
    let reference = format!("{}/team/app:1", server.host);
    server.state.lock().unwrap().expire_at_blob = true;
    assert_eq!(pull(&home, &reference, account("secret")).await.unwrap().id, made.id());
    let tokens = server.tokens();
    assert_eq!(tokens.len(), 2, "one, and one in the place of that which expired: {tokens:?}");
    for (line, proof) in &tokens {
        assert!(
            line.contains("service=here") && line.contains("scope=repository%3Ateam%2Fapp%3Apull"),
            "{line}"
        );
        assert!(line.contains("account=me"), "{line}");
        assert_eq!(*proof, basic("me", "secret"));
    }
    // The next pull has the token already, and no password goes to the registry itself.
    home.store.remove(&reference, false, &[]).await.unwrap();
    pull(&home, &reference, account("secret")).await.unwrap();
    assert_eq!(server.tokens().len(), 2);
    let requests = server.state.lock().unwrap().requests.clone();
    assert!(
        requests.iter().all(|(_, shown)| !shown.as_deref().unwrap_or("").starts_with("Basic")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn identity_and_registry_tokens_are_shown_as_docker_shows_them() {
    let made = image(&[layer("a", b"1")]);
    let server = Server::of(&made).await;
    let reference = format!("{}/x:1", server.host);
    pull(&Home::new().await, &reference, Credentials::IdentityToken("id".into())).await.unwrap();
    let (line, form) = server.tokens().remove(0);
    assert_eq!(line, "POST /token");
    for part in
        ["grant_type=refresh_token", "refresh_token=id", "service=here", "scope=repository%3Ax%3Apull"]
    {
        assert!(form.contains(part), "{form}");
    }
    let before = server.tokens().len();
    pull(&Home::new().await, &reference, Credentials::RegistryToken("token-7".into())).await.unwrap();
    assert_eq!(server.tokens().len(), before, "it is shown as it is");
}

#[tokio::test]
async fn refusals_are_in_dockers_words() {
    let made = image(&[layer("a", b"1")]);
    let server = Server::of(&made).await;
    let home = Home::new().await;
    let reference = format!("{}/x:1", server.host);
    let error = pull(&home, &reference, account("wrong")).await.unwrap_err();
    assert!(error.to_string().ends_with("unauthorized: incorrect username or password"), "{error}");
    assert!(!format!("{error:?}").contains("wrong"));
    server.state.lock().unwrap().basic = true;
    let error = pull(&home, &reference, Credentials::Anonymous).await.unwrap_err();
    assert!(error.to_string().ends_with("no basic auth credentials"), "{error}");
    let error = pull(&home, &reference, account("wrong")).await.unwrap_err();
    assert!(error.to_string().ends_with("unauthorized: authentication required"), "{error}");
    pull(&home, &reference, account("secret")).await.unwrap();
}

#[tokio::test]
async fn logins_are_asked_and_answered_as_by_docker() {
    let server = Server::start(Guarded::default()).await;
    let home = Home::new().await;
    let token = home.store.login(&server.host, &account("secret")).await.unwrap();
    assert_eq!(token.as_deref(), Some("refresh"), "the registry gives one in the password's place");
    let error = home.store.login(&server.host, &account("wrong")).await.unwrap_err();
    let expected =
        format!("Get \"http://{}/v2/\": unauthorized: incorrect username or password", server.host);
    assert_eq!(error, LoginError::Refused(expected));
    server.state.lock().unwrap().basic = true;
    assert_eq!(home.store.login(&server.host, &account("secret")).await, Ok(None));
    let error =
        home.store.login(&format!("http://{}/v2/", server.host), &account("wrong")).await.unwrap_err();
    let expected =
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", server.host);
    assert_eq!(error, LoginError::Refused(expected));
    let host = server.host.clone();
    drop(server);
    tokio::task::yield_now().await;
    let error = home.store.login(&host, &account("secret")).await.unwrap_err();
    assert!(matches!(&error, LoginError::Failed(text) if text.contains(&host)), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_stored_is_shown_when_nothing_was_sent() {
    let made = image(&[layer("a", b"1")]);
    let server = Server::of(&made).await;
    server.state.lock().unwrap().basic = true;
    let docker = tempfile::tempdir().unwrap();
    std::fs::write(docker.path().join("config.json"), "{}").unwrap();
    let settings = RegistrySettings { docker_config: Some(docker.path().to_owned()), ..Default::default() };
    let home = Home::with(settings).await;
    let reference = format!("{}/x:1", server.host);
    assert!(matches!(home.pull(&reference).await, Err(PullError::NoBasicCredentials { .. })));
    home.store.remember(&server.host, &account("secret")).await.unwrap();
    home.pull(&reference).await.unwrap();
    home.store.forget(&server.host).await.unwrap();
    home.store.remove(&reference, false, &[]).await.unwrap();
    assert!(matches!(home.pull(&reference).await, Err(PullError::NoBasicCredentials { .. })));
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_says() {
    let made = image(&[layer("a", b"1")]);
    let server = Server::of(&made).await;
    let home = Home::new().await;
    let reference = format!("{}/x:1", server.host);
    server.state.lock().unwrap().busy = vec![(503, None), (429, Some("1"))];
    let began = Instant::now();
    pull(&home, &reference, account("secret")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "it said one second");

    server.state.lock().unwrap().busy = vec![(429, Some("3600"))];
    let began = Instant::now();
    let error = pull(&home, &reference, account("secret")).await.unwrap_err();
    assert_eq!(error.to_string(), "toomanyrequests: You have reached your pull rate limit.");
    assert!(began.elapsed() < Duration::from_secs(5), "an hour is not waited for");
}

#[tokio::test]
async fn a_mirror_that_serves_wrong_bytes_is_passed_over() {
    let made = image(&[layer("a", &noise(1, 400_000)), layer("b", b"b")]);
    let (first, second, own) = (Registry::start().await, Registry::start().await, Registry::start().await);
    for registry in [&first, &second, &own] {
        registry.add("x", "latest", &made);
    }
    let mut other = made.blobs[&made.layers[0]].clone();
    other[1000] ^= 1;
    first.fault(made.layers[0], Fault { instead: Some(other), ..Fault::default() });
    first.fault(made.id(), Fault { instead: Some(b"{}".to_vec()), ..Fault::default() });
    second.fault(made.layers[0], Fault { break_after: Some((100_000, 100)), ..Fault::default() });
    let mirror =
        |registry: &Registry| Mirror { of: own.host.clone(), url: format!("http://{}", registry.host) };
    let gone = Mirror { of: own.host.clone(), url: "http://127.0.0.1:1".into() };
    let mirrors = vec![gone, mirror(&first), mirror(&second)];
    let home = Home::with(RegistrySettings { mirrors, ..Default::default() }).await;
    assert_eq!(home.pull(&format!("{}/x", own.host)).await.unwrap().id, made.id());
    assert_eq!(first.asked(made.layers[0]).len(), 1, "wrong once is enough");
    assert_eq!(second.asked(made.layers[0]).len(), 1, "broken once is enough");
    let rest = own.asked(made.layers[0]);
    assert!(rest.len() == 1 && rest[0].is_some(), "the registry itself serves the rest: {rest:?}");
    assert!(own.asked(made.layers[1]).is_empty(), "the mirror serves the other");
}

#[tokio::test]
async fn pulls_at_once_share_a_download() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 2_000_000)), layer("b", &noise(2, 100_000))]);
    let names: Vec<String> = (0..5).map(|n| registry.add(&format!("n{n}"), "latest", &made)).collect();
    let home = Home::new().await;
    let pulled = futures::future::join_all(names.iter().map(|name| home.pull(name))).await;
    assert!(pulled.into_iter().all(|image| image.unwrap().id == made.id()));
    assert_eq!(registry.asked(made.layers[0]).len(), 1);
    assert_eq!(registry.asked(made.layers[1]).len(), 1);
}

/// What a forward proxy was asked for: it answers as the registry that it stands before.
async fn proxy(registry: String) -> (String, Arc<Mutex<HashMap<String, usize>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
    let log = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| {
        let (registry, log) = (registry.clone(), Arc::clone(&log));
        async move {
            // A proxy is asked by the whole address (RFC 9112 section 3.2.2).
            let host = request.uri().host().unwrap_or("none").to_owned();
            *log.lock().unwrap().entry(host).or_default() += 1;
            if request.method() == "CONNECT" {
                return Response::builder().status(502).body(Body::empty()).unwrap();
            }
            let answer = reqwest::get(format!("http://{registry}{}", request.uri().path())).await.unwrap();
            let mut response = Response::builder().status(answer.status());
            if let Some(kind) = answer.headers().get("content-type") {
                response = response.header("content-type", kind);
            }
            response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

#[tokio::test]
async fn the_settings_proxy_counts_at_once_and_not_for_loopback() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", b"1")]);
    let direct = registry.add("x", "latest", &made);
    let (address, asked) = proxy(registry.host.clone()).await;
    let insecure_registries = vec!["far.invalid".to_owned(), "near.invalid".to_owned()];
    let without = RegistrySettings { insecure_registries, ..Default::default() };
    let home = Home::with(without.clone()).await;
    assert!(home.pull("far.invalid/x").await.is_err());
    let proxy = ProxySettings { http: address, https: String::new(), no_proxy: "near.invalid".into() };
    home.store.set_registries(RegistrySettings { proxy: Some(proxy), ..without });
    home.pull(&direct).await.unwrap();
    assert!(asked.lock().unwrap().is_empty(), "loopback is asked directly");
    home.pull("far.invalid/x").await.unwrap();
    assert!(asked.lock().unwrap().contains_key("far.invalid"));
    assert!(home.pull("near.invalid/x").await.is_err());
    assert!(!asked.lock().unwrap().contains_key("near.invalid"));
}

/// Tags of `many` in three pages, the last of which leads elsewhere; of `round`, in a page that leads to itself.
async fn paging() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(|request: Request| async move {
        let uri = request.uri();
        let last = uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("last=")));
        let (tags, link) = match (uri.path(), last) {
            ("/v2/many/tags/list", None) => {
                (r#"["a","b"]"#, r#"</v2/many/tags/list?n=2&last=b>; rel="next""#)
            }
            ("/v2/many/tags/list", Some("b")) => (r#"["c","d"]"#, r#"<list?n=2&last=d>; rel="next""#),
            ("/v2/many/tags/list", Some("d")) => (r#"["e"]"#, r#"<http://far.invalid/v2/x>; rel="next""#),
            _ => (r#"["a"]"#, r#"<list>; rel="next""#),
        };
        let body = format!(r#"{{"name":"many","tags":{tags}}}"#);
        Response::builder().header(header::LINK, link).body(Body::from(body)).unwrap()
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    host
}

#[tokio::test]
async fn tags_come_page_by_page_from_their_own_host_and_not_for_ever() {
    let host = paging().await;
    let home = Home::new().await;
    let tags = async |name: &str| {
        let reference = format!("{host}/{name}").parse().unwrap();
        home.store.remote_tags(&reference, &Credentials::Anonymous).await
    };
    let many: Vec<_> = tags("many").await.unwrap().iter().map(|one| one.tag().unwrap().to_owned()).collect();
    assert_eq!(many, ["a", "b", "c", "d", "e"]);
    assert!(tags("round").await.unwrap_err().to_string().contains("it has no end"));
}
