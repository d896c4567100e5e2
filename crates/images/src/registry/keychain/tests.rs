//! With a helper of a few lines of shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A helper `NAME` on disk that keeps one secret in a file; answers its program.
fn helper(folder: &Path, body: &str) -> Helper {
    let program = folder.join("docker-credential-x");
    fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Helper::at("x", program)
}

#[tokio::test]
async fn a_helper_is_asked_in_its_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let kept = kept.display();
    let helper = helper(
        dir.path(),
        &format!(
            "case $1 in store) cat > {kept} ;; erase) rm -f {kept} ;; get) cat >/dev/null; \
             if [ -f {kept} ]; then cat {kept}; else echo credentials not found in native keychain; exit 1; fi ;; esac"
        ),
    );
    assert!(helper.get("r:5000").await.unwrap().is_none());
    let entry = Entry { user: "me".into(), secret: "s\"ecret".into() };
    helper.store("r:5000", &entry).await.unwrap();
    assert!(helper.get("r:5000").await.unwrap() == Some(entry));
    helper.erase("r:5000").await.unwrap();
    assert!(helper.get("r:5000").await.unwrap().is_none());
}

#[tokio::test]
async fn a_helper_that_fails_is_named_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for (body, expected) in [
        ("echo the keychain is locked; exit 1", "docker-credential-x: the keychain is locked"),
        ("exit 3", "docker-credential-x: exit status: 3"),
        ("echo '{\"Secret\":\"hush'", "docker-credential-x: its answer is not JSON"),
        ("cat /dev/zero", "it says more than"),
    ] {
        let error = helper(dir.path(), body).get("r").await.err().unwrap().to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
    assert!(Helper::named("../x").is_none() && Helper::named("").is_none());
}

#[tokio::test]
async fn what_is_stored_in_the_file_is_found_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    let folder = Some(dir.path());
    let basic = Credentials::Basic { user: "me".into(), password: "secret".into() };
    let token = Credentials::IdentityToken("tok".into());
    store(folder, "r:5000", &basic).await.unwrap();
    store(folder, "docker.io", &token).await.unwrap();
    assert_eq!(find(folder, "r:5000").await, Some(basic));
    assert_eq!(find(folder, "docker.io").await, Some(token));
    assert_eq!(find(folder, "r:5001").await, None);
    erase(folder, "r:5000").await.unwrap();
    erase(folder, "r:5000").await.unwrap();
    assert_eq!(find(folder, "r:5000").await, None);
    assert!(fs::read_to_string(dir.path().join("config.json")).unwrap().contains(HUB_SERVER));
    assert!(matches!(
        store(None, "r", &Credentials::IdentityToken("t".into())).await,
        Err(KeychainError::NoFolder)
    ));
}

#[tokio::test]
async fn what_is_kept_is_listed_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},"gcr.io":{},
        "t:5000":{"identitytoken":"tok"}},"credHelpers":{"gcr.io":"gcr"},"credsStore":"../none"}"#;
    fs::write(dir.path().join("config.json"), config).unwrap();
    let account = |server: &str, user: Option<&str>, helper: Option<&str>| Account {
        server: server.into(),
        user: user.map(str::to_owned),
        helper: helper.map(str::to_owned),
    };
    let expected = [
        account("docker.io", Some("me"), None),
        account("gcr.io", None, Some("gcr")),
        account("t:5000", None, None),
    ];
    assert_eq!(list(Some(dir.path())).await.unwrap(), expected);
    assert_eq!(list(None).await.unwrap(), []);
    let helper = helper(dir.path(), r#"[ "$1" = list ] && echo '{"r:5000":"me","s":""}'"#);
    let told = helper.list().await.unwrap();
    assert_eq!(
        told.into_iter().collect::<Vec<_>>(),
        [("r:5000".into(), "me".into()), ("s".into(), String::new())]
    );
}
