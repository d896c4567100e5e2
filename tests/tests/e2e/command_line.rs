//! Our own command line.

use coracle_e2e::{Host, Run};
use serde_json::Value;

#[tokio::test]
async fn the_command_line_does_what_dockers_does() {
    let host = Host::start().await;
    assert!(host.coracle("run --rm coracle/hello").ok().await.to_lowercase().contains("coracle"));
    assert_eq!(host.coracle("run --rm coracle/hello no-such-command").finish().await.code, 127);
    assert_eq!(host.coracle("run --rm coracle/hello /etc").finish().await.code, 126);
    assert_eq!(host.coracle("run --rm --pull never nothing/here").finish().await.code, 125);
    assert_eq!(host.coracle("run --rm -i coracle/hello cat").stdin("ahoy").ok().await, "ahoy");

    let id = host.coracle("run -d --name box --label a=b coracle/hello sleep 1000").ok().await;
    assert!(host.coracle("ps").ok().await.contains("box"));
    assert_eq!(host.coracle("ps -q").ok().await, id[..12]);
    let listed: Value = serde_json::from_str(&host.coracle("--json ps").ok().await).unwrap();
    assert_eq!(listed[0]["Id"], id.as_str());
    assert_eq!(host.coracle("exec box echo hello").ok().await, "hello");
    assert_eq!(host.coracle("stop -t 0 box").ok().await, "box");
    assert_eq!(host.coracle("logs box").ok().await, "");
    assert_eq!(host.coracle("rm box").ok().await, "box");
    let gone = host.coracle("rm box").finish().await;
    assert!(gone.code == 1 && gone.stderr.contains("No such container: box"), "{gone:?}");

    assert!(host.coracle("images").ok().await.contains("coracle/hello"));
    let status: Value = serde_json::from_str(&host.coracle("--json status").ok().await).unwrap();
    assert_eq!(status["vm"]["state"], "running");
    assert!(host.coracle("status").ok().await.contains("running on"));
    host.finish().await;
}

#[tokio::test]
async fn the_docker_context_works() {
    let host = Host::start().await;
    let installed = host.coracle("context install").ok().await;
    assert!(installed.contains("docker context use coracle"), "{installed}");
    let version = Run::new("docker")
        .env("DOCKER_CONFIG", host.home().join("docker-config"))
        .args(["--context", "coracle", "version", "--format", "{{.Server.Os}}"])
        .ok()
        .await;
    assert_eq!(version, "linux");
    host.coracle("context remove").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn looking_starts_nothing() {
    let host = Host::prepared(&serde_json::json!({}));
    assert_eq!(host.coracle("status").finish().await.code, 3);
    assert_eq!(host.coracle("service status").finish().await.code, 3);
    assert_eq!(host.coracle("vm stop").ok().await, "off");
    assert!(host.processes("coracled").is_empty());
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(host.coracle(&format!("completions {shell}")).ok().await.contains("coracle"));
    }
    // Any other verb starts the service, which goes on without the command.
    assert!(host.coracle("ps").ok().await.contains("CONTAINER ID"));
    assert_eq!(host.processes("coracled").len(), 1);
    host.coracle("service stop --vm").ok().await;
    assert!(host.processes("coracled").is_empty());
}
