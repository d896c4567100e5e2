//! What is left when clients hang up, connections break and coracleds die in the middle of something.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use bollard_stubs::models::{HostConfig, RestartPolicy, RestartPolicyNameEnum};
use engine::{AttachOptions, RemoveOptions, StopOptions, WaitCondition};
use futures::FutureExt as _;
use redb::ReadableTable as _;
use support::{World, body};

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_begun_ends_although_the_client_hangs_up() {
    let world = World::up().await;
    let creating = world.engine.create(Some("web"), body("stubborn", HostConfig::default()), None);
    assert!(creating.now_or_never().is_none());
    until("a name without its container", async || world.engine.inspect("web", false).await.is_ok()).await;
    world.engine.start("web").await.unwrap();
    let patient = StopOptions { timeout_s: Some(0), signal: None };
    assert!(world.engine.stop("web", patient.clone()).now_or_never().is_none());
    world.becomes("web", "exited").await;
    assert_eq!(world.fake.count("signal 9"), 1);
    world.engine.start("web").await.unwrap();
    assert!(world.engine.restart("web", patient).now_or_never().is_none());
    until("stopped, not started again", async || world.fake.count("start") == 3).await;
    world.becomes("web", "running").await;
    let force = RemoveOptions { force: true, volumes: false };
    assert!(world.engine.remove("web", force).now_or_never().is_none());
    until("killed, not removed", async || world.engine.inspect("web", false).await.is_err()).await;
}

#[tokio::test]
async fn a_start_on_a_broken_connection_removes_what_is_to_be_removed() {
    let world = World::up().await;
    let host = HostConfig { auto_remove: Some(true), ..HostConfig::default() };
    world.create("once", "sleep", host).await;
    let removed = world.engine.wait("once", WaitCondition::Removed).await.unwrap();
    let options = AttachOptions { stream: true, stdout: true, ..AttachOptions::default() };
    let attached = world.engine.attach("once", options).await.unwrap();
    // No stream can be opened any more; nobody has noticed yet.
    world.fake.power_off();
    world.engine.start("once").await.unwrap_err();
    tokio::time::timeout(Duration::from_secs(10), removed).await.expect("docker run --rm would hang");
    drop(attached);
}

#[tokio::test]
async fn a_users_stop_outlives_coracled() {
    let mut world = World::up().await;
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
    let host = HostConfig { restart_policy: Some(policy), ..HostConfig::default() };
    let id = world.create("web", "stubborn", host).await;
    world.engine.start("web").await.unwrap();
    // The image's stop signal; the process takes its time.
    world.engine.kill("web", Some("INT")).await.unwrap();
    let waiting = world.engine.wait("web", WaitCondition::NotRunning).await.unwrap();
    world.engine.shutdown().await;
    assert!(waiting.await.error.is_some(), "an exit that did not happen");
    world.fake.end(&id, "", 0);
    world.reopen().await;
    world.becomes("web", "exited").await;
    assert_eq!(world.fake.count("start"), 1);
}

#[tokio::test]
async fn a_container_of_another_version_is_left_alone() {
    const CONTAINERS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("containers");
    let mut world = World::up().await;
    let id = world.create("web", "sleep", HostConfig::default()).await;
    world.create("other", "exit 0", HostConfig::default()).await;
    world.engine.start("web").await.unwrap();
    world.engine.shutdown().await;
    {
        let database = redb::Database::open(world.home.path().join("db/engine.redb")).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut table = write.open_table(CONTAINERS).unwrap();
            let known = table.get(id.as_str()).unwrap().unwrap().value().to_vec();
            let newer = String::from_utf8(known).unwrap().replacen('{', "{\"of_a_later_version\":1,", 1);
            table.insert(id.as_str(), newer.as_bytes()).unwrap();
        }
        write.commit().unwrap();
    }
    world.reopen().await;
    // The snapshot has been taken once this one has come and gone.
    world.engine.start("other").await.unwrap();
    world.becomes("other", "exited").await;
    assert!(world.fake.runs(&id));
    world.fake.end(&id, "", 4);
    world.engine.start("other").await.unwrap();
    world.becomes("other", "exited").await;
    assert!(world.fake.knows(&id), "its exit is for whoever can read its record");
}
