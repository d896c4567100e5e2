//! Containers from creation to removal, against an agent that plays them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard_stubs::models::{HostConfig, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum};
use engine::{
    AttachOptions, Error, ErrorKind, ListOptions, LogsOptions, RemoveOptions, StopOptions, WaitCondition,
};
use support::{World, body};
use tokio::io::AsyncReadExt as _;

fn plain() -> HostConfig {
    HostConfig::default()
}

fn policy(name: RestartPolicyNameEnum, most: i64) -> HostConfig {
    let policy = RestartPolicy { name: Some(name), maximum_retry_count: Some(most) };
    HostConfig { restart_policy: Some(policy), ..plain() }
}

fn force() -> RemoveOptions {
    RemoveOptions { force: true, volumes: false }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.expect_err("it went well");
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_container_lives_and_goes() {
    let world = World::up().await;
    let id = world.create("web", "exit 3", plain()).await;
    assert_eq!(world.state("web").await, ("created".into(), 0));
    let waiting = world.engine.wait("web", WaitCondition::NextExit).await.unwrap();
    world.engine.start(&id[..12]).await.unwrap();
    assert_eq!(waiting.await.code, 3);
    assert_eq!(world.state("web").await, ("exited".into(), 3));
    // The next wait has nothing to wait for.
    assert_eq!(world.engine.wait("web", WaitCondition::NotRunning).await.unwrap().await.code, 3);
    world.engine.remove("web", RemoveOptions::default()).await.unwrap();
    assert_eq!(
        kind(world.engine.inspect("web", false).await),
        (ErrorKind::NotFound, "No such container: web".into())
    );
    assert_eq!(world.actions(4).await, ["create", "start", "die", "destroy"]);
}

#[tokio::test]
async fn exits_are_stored_before_they_are_collected() {
    let mut world = World::up().await;
    let id = world.create("web", "sleep", plain()).await;
    world.engine.start("web").await.unwrap();
    world.engine.shutdown().await;
    // It ends while no coracled is there.
    world.fake.end(&id, "", 5);
    world.reopen().await;
    world.becomes("web", "exited").await;
    assert_eq!(world.state("web").await.1, 5);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while world.fake.knows(&id) {
        assert!(std::time::Instant::now() < deadline, "not collected");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_new_coracled_finds_what_runs() {
    let mut world = World::up().await;
    let id = world.create("web", "sleep", plain()).await;
    world.engine.start("web").await.unwrap();
    world.reopen().await;
    assert_eq!(world.state("web").await.0, "running");
    // Names, ids and the container are whole, and it can be stopped.
    world.engine.stop(&id, StopOptions::default()).await.unwrap();
    // The image's stop signal is SIGINT.
    assert_eq!(world.state("web").await, ("exited".into(), 130));
    assert_eq!(world.fake.count("signal 2"), 1);
    assert_eq!(world.fake.count("signal 9"), 0);
}

#[tokio::test]
async fn auto_remove_ends_waits_for_removal_with_the_exit_code() {
    let world = World::up().await;
    let host = HostConfig { auto_remove: Some(true), ..plain() };
    let id = world.create("once", "exit 7", host).await;
    let removed = world.engine.wait("once", WaitCondition::Removed).await.unwrap();
    world.engine.start("once").await.unwrap();
    assert_eq!(removed.await.code, 7);
    assert_eq!(kind(world.engine.inspect(&id, false).await).0, ErrorKind::NotFound);
    // The name is free at once.
    world.create("once", "exit 0", plain()).await;
}

#[tokio::test]
async fn a_missing_command_is_dockers_error() {
    let world = World::up().await;
    world.create("typo", "missing", plain()).await;
    let (kind_of, text) = kind(world.engine.start("typo").await);
    assert_eq!(kind_of, ErrorKind::InvalidParameter);
    assert!(text.starts_with("failed to create task for container: "), "{text}");
    assert!(text.contains("exec: \"missing\": executable file not found in $PATH: unknown"), "{text}");
    assert_eq!(world.state("typo").await, ("created".into(), 127));
    let host = HostConfig { auto_remove: Some(true), ..plain() };
    world.create("once", "locked", host).await;
    let removed = world.engine.wait("once", WaitCondition::Removed).await.unwrap();
    assert!(kind(world.engine.start("once").await).1.contains("permission denied"));
    assert_eq!(removed.await.code, 126);
}

/// What is starting is in no snapshot, although the start was begun before the snapshot was asked for.
#[tokio::test]
async fn a_look_at_the_guest_during_a_start_loses_nothing() {
    let world = World::up().await;
    let id = world.create("web", "slow", plain()).await;
    let engine = world.engine.clone();
    let starting = tokio::spawn(async move { engine.start("web").await });
    let subscribed = || world.fake.subscribed.load(Ordering::SeqCst);
    let until = async |is: &dyn Fn() -> bool| {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(&|| subscribed() > 0 && world.fake.count("start") == 1).await;
    let before = subscribed();
    world.fake.break_subscriptions();
    until(&|| subscribed() > before).await;
    world.fake.released.notify_one();
    starting.await.unwrap().unwrap();
    let (state, seen) = (world.engine.inspect("web", false).await.unwrap().state.unwrap(), world.actions(3));
    world.fake.oom(&id);
    assert_eq!(seen.await, ["create", "start", "oom"]);
    let now = world.engine.inspect("web", false).await.unwrap().state.unwrap();
    assert_eq!((now.pid, now.started_at), (state.pid, state.started_at));
    assert_eq!(world.state("web").await.0, "running");
}

#[tokio::test]
async fn stop_is_patient_then_firm() {
    let world = World::up().await;
    world.create("web", "stubborn", plain()).await;
    world.engine.start("web").await.unwrap();
    let options = StopOptions { timeout_s: Some(0), signal: Some("TERM".into()) };
    world.engine.stop("web", options).await.unwrap();
    assert_eq!(world.state("web").await, ("exited".into(), 137));
    assert_eq!((world.fake.count("signal 15"), world.fake.count("signal 9")), (1, 1));
    assert_eq!(kind(world.engine.stop("web", StopOptions::default()).await).0, ErrorKind::NotModified);
    let (of, text) = kind(world.engine.kill("web", None).await);
    assert_eq!(of, ErrorKind::Conflict);
    assert!(text.starts_with("cannot kill container: web: container ") && text.ends_with(" is not running"));
    assert_eq!(kind(world.engine.kill("web", Some("FOO")).await).0, ErrorKind::InvalidParameter);
}

#[tokio::test]
async fn pause_rename_and_restart() {
    let world = World::up().await;
    world.create("web", "sleep", plain()).await;
    assert_eq!(kind(world.engine.pause("web").await).0, ErrorKind::Conflict);
    world.engine.start("web").await.unwrap();
    assert_eq!(kind(world.engine.start("web").await).0, ErrorKind::NotModified);
    world.engine.pause("web").await.unwrap();
    assert_eq!(world.state("web").await.0, "paused");
    assert_eq!(kind(world.engine.pause("web").await).0, ErrorKind::Conflict);
    world.engine.unpause("web").await.unwrap();
    world.engine.rename("web", "front").await.unwrap();
    assert_eq!(kind(world.engine.inspect("web", false).await).0, ErrorKind::NotFound);
    world.engine.restart("front", StopOptions::default()).await.unwrap();
    assert_eq!(world.state("front").await.0, "running");
    assert_eq!(world.fake.count("start"), 2);
    let (of, text) = kind(world.engine.remove("front", RemoveOptions::default()).await);
    assert_eq!(of, ErrorKind::Conflict);
    assert!(text.starts_with("cannot remove container \"/front\": container is running"), "{text}");
    world.engine.remove("front", force()).await.unwrap();
}

#[tokio::test]
async fn names_are_unique_and_clear() {
    let world = World::new().await;
    let id = world.create("web", "sleep", plain()).await;
    let (of, text) = kind(world.engine.create(Some("/web"), body("x", plain()), None).await);
    assert_eq!(of, ErrorKind::Conflict);
    assert!(text.starts_with(&format!(
        "Conflict. The container name \"/web\" is already in use by container \"{id}\""
    )));
    assert_eq!(
        kind(world.engine.create(Some("-"), body("x", plain()), None).await).0,
        ErrorKind::InvalidParameter
    );
    let mut unknown = body("x", plain());
    unknown.image = Some("nobody/knows".into());
    let (of, text) = kind(world.engine.create(None, unknown, None).await);
    assert_eq!((of, text.as_str()), (ErrorKind::NotFound, "No such image: nobody/knows:latest"));
    let made = world.engine.create(None, body("x", plain()), None).await.unwrap();
    let name = world.engine.inspect(&made.id, false).await.unwrap().name.unwrap();
    assert!(name.starts_with('/') && name.contains('_'), "{name}");
}

#[tokio::test]
async fn create_prepares_only_a_vm_that_runs() {
    let world = World::new().await;
    world.create("cold", "sleep", plain()).await;
    assert!(world.machine.fake.calls().is_empty());
    world.engine.start("cold").await.unwrap();
    assert_eq!(world.state("cold").await.0, "running");
    world.create("warm", "sleep", plain()).await;
    world.engine.start("warm").await.unwrap();
    let calls = world.fake.calls();
    assert_eq!(calls.iter().filter(|call| *call == "prepare").count(), 1, "{calls:?}");
}

#[tokio::test]
async fn the_vms_death_ends_containers_and_its_return_restarts_some() {
    let world = World::up().await;
    world.create("plain", "sleep", plain()).await;
    world.create("always", "sleep", policy(RestartPolicyNameEnum::ALWAYS, 0)).await;
    world.create("stopped", "sleep", policy(RestartPolicyNameEnum::ALWAYS, 0)).await;
    for name in ["plain", "always", "stopped"] {
        world.engine.start(name).await.unwrap();
    }
    world.engine.stop("stopped", StopOptions::default()).await.unwrap();
    let waiting = world.engine.wait("plain", WaitCondition::NotRunning).await.unwrap();
    world.machine.die();
    assert_eq!(waiting.await.code, 137);
    world.becomes("always", "exited").await;
    let state = world.engine.inspect("plain", false).await.unwrap().state.unwrap();
    assert_eq!(state.error.unwrap(), "the VM was stopped");
    let (of, text) = kind(world.engine.logs("plain", LogsOptions::default()).await);
    assert_eq!(of, ErrorKind::Unavailable);
    assert!(text.contains("the VM is off"), "{text}");
    world.machine.boot().await;
    world.becomes("always", "running").await;
    assert_eq!(world.state("plain").await.0, "exited");
    assert_eq!(world.state("stopped").await.0, "exited");
}

#[tokio::test]
async fn a_reboot_behind_our_back_is_noticed() {
    let world = World::up().await;
    world.create("web", "sleep", plain()).await;
    world.engine.start("web").await.unwrap();
    world.machine.boot().await;
    world.becomes("web", "exited").await;
    assert_eq!(world.state("web").await.1, 137);
}

#[tokio::test]
async fn an_agents_restart_loses_nothing() {
    let world = World::up().await;
    let id = world.create("web", "sleep", plain()).await;
    let other = world.create("other", "sleep", plain()).await;
    world.engine.start("web").await.unwrap();
    world.engine.start("other").await.unwrap();
    world.fake.break_subscriptions();
    world.fake.end(&id, "", 9);
    world.becomes("web", "exited").await;
    assert_eq!(world.state("web").await.1, 9);
    assert_eq!(world.state("other").await.0, "running");
    assert!(world.fake.runs(&other));
}

#[tokio::test]
async fn what_belongs_to_nobody_is_killed_and_removed() {
    let mut world = World::up().await;
    world.create("web", "sleep", plain()).await;
    world.engine.start("web").await.unwrap();
    world.engine.shutdown().await;
    std::fs::remove_file(world.home.path().join("db/engine.redb")).unwrap();
    world.reopen().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while world.fake.count("remove") == 0 {
        assert!(std::time::Instant::now() < deadline, "not removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.fake.count("signal 9"), 1);
}

#[tokio::test]
async fn removal_with_the_vm_off_is_made_good_later() {
    let world = World::up().await;
    world.create("web", "exit 0", plain()).await;
    world.engine.start("web").await.unwrap();
    world.becomes("web", "exited").await;
    world.machine.die();
    world.engine.remove("web", RemoveOptions::default()).await.unwrap();
    assert_eq!(world.fake.count("remove"), 0);
    world.machine.boot().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while world.fake.count("remove") == 0 {
        assert!(std::time::Instant::now() < deadline, "not removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_restart_policy_backs_off_and_gives_up() {
    let world = World::up().await;
    world.create("web", "exit 1", policy(RestartPolicyNameEnum::ON_FAILURE, 3)).await;
    let began = tokio::time::Instant::now();
    world.engine.start("web").await.unwrap();
    while world.state("web").await.0 != "exited" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // 100, 200 and 400 ms between four runs.
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(world.fake.count("start"), 4);
    let inspect = world.engine.inspect("web", false).await.unwrap();
    assert_eq!(inspect.restart_count, Some(3));
}

#[tokio::test]
async fn a_restarting_container_can_be_stopped() {
    let world = World::up().await;
    world.create("web", "exit 1", policy(RestartPolicyNameEnum::ALWAYS, 0)).await;
    world.engine.start("web").await.unwrap();
    world.becomes("web", "restarting").await;
    world.engine.stop("web", StopOptions::default()).await.unwrap();
    world.becomes("web", "exited").await;
    let starts = world.fake.count("start");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.fake.count("start"), starts);
}

#[tokio::test]
async fn attach_before_start_and_logs() {
    let world = World::new().await;
    world.create("web", "sleep", plain()).await;
    let options =
        AttachOptions { stream: true, stdout: true, stderr: true, stdin: true, ..Default::default() };
    let attached = world.engine.attach("web", options).await.unwrap();
    // stdin was not asked for at creation.
    assert!(attached.input.is_none() && !attached.tty);
    // No VM is needed for it, and one that left again is forgotten.
    assert!(world.fake.calls().is_empty());
    let stream = AttachOptions { stream: true, stdout: true, ..Default::default() };
    drop(world.engine.attach("web", stream).await.unwrap());
    world.engine.start("web").await.unwrap();
    assert_eq!(world.fake.calls(), ["stream", "start"]);
    let mut bytes = vec![0; 6];
    attached.output.unwrap().read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"output");
    let logs = world.engine.logs("web", LogsOptions { stdout: true, ..Default::default() }).await.unwrap();
    let mut text = String::new();
    let mut stream = logs.stream;
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "output");
    let log = HostConfigLogConfig { typ: Some("none".into()), config: None };
    world.create("quiet", "sleep", HostConfig { log_config: Some(log), ..plain() }).await;
    assert_eq!(
        kind(world.engine.logs("quiet", LogsOptions::default()).await),
        (ErrorKind::NotImplemented, "configured logging driver does not support reading".into())
    );
}

#[tokio::test]
async fn a_start_without_a_vm_ends_what_waits_for_it() {
    let world = World::new().await;
    world.machine.broken.store(true, Ordering::Relaxed);
    let host = HostConfig { auto_remove: Some(true), ..plain() };
    let mut body = body("sleep", host);
    body.open_stdin = Some(true);
    world.engine.create(Some("once"), body, None).await.unwrap();
    let options = AttachOptions { stream: true, stdout: true, stdin: true, ..Default::default() };
    let attached = world.engine.attach("once", options).await.unwrap();
    let removed = world.engine.wait("once", WaitCondition::Removed).await.unwrap();
    let (of, text) = kind(world.engine.start("once").await);
    assert_eq!((of, text.as_str()), (ErrorKind::Unavailable, "the VM did not start: no QEMU"));
    let mut rest = Vec::new();
    attached.output.unwrap().read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    attached.input.unwrap().write(b"lost").await.unwrap_err();
    assert_eq!(removed.await.error, None);
}

#[tokio::test]
async fn a_silent_agent_does_not_hold_up_the_end() {
    let world = World::up().await;
    world.create("web", "hangs", plain()).await;
    let engine = world.engine.clone();
    let starting = tokio::spawn(async move { engine.start("web").await });
    while world.fake.count("start") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(Duration::from_secs(2), world.engine.shutdown()).await.unwrap();
    assert!(matches!(starting.await.unwrap(), Err(Error::ShuttingDown)));
}

#[tokio::test]
async fn lists_are_newest_first_and_hide_what_does_not_run() {
    let world = World::up().await;
    for name in ["a1", "b2", "c3"] {
        world.create(name, "sleep", plain()).await;
    }
    world.engine.start("b2").await.unwrap();
    let names = |list: Vec<bollard_stubs::models::ContainerSummary>| -> Vec<String> {
        list.into_iter().map(|summary| summary.names.unwrap().remove(0)).collect()
    };
    let list = |options: ListOptions| world.engine.list(options);
    assert_eq!(names(list(ListOptions::default()).await.unwrap()), ["/b2"]);
    let all = ListOptions { all: true, ..Default::default() };
    assert_eq!(names(list(all.clone()).await.unwrap()), ["/c3", "/b2", "/a1"]);
    let two = ListOptions { limit: Some(2), ..Default::default() };
    assert_eq!(names(list(two).await.unwrap()), ["/c3", "/b2"]);
    let since = ListOptions { filters: [("since".to_owned(), vec!["a1".to_owned()])].into(), ..all.clone() };
    assert_eq!(names(list(since).await.unwrap()), ["/c3", "/b2"]);
    let ancestor = [("ancestor".to_owned(), vec![support::IMAGE.to_owned()])];
    let of_image = ListOptions { filters: ancestor.into(), ..all };
    let summaries = list(of_image).await.unwrap();
    assert_eq!(summaries.len(), 3);
    assert_eq!(summaries[0].image.as_deref(), Some(support::IMAGE));
    assert!(summaries[1].status.as_ref().unwrap().starts_with("Up "));
    let counts = world.engine.counts();
    assert_eq!((counts.running, counts.stopped), (1, 2));
}

#[tokio::test]
async fn images_in_use_stay() {
    let world = World::up().await;
    world.create("web", "sleep", plain()).await;
    let (of, text) = kind(world.engine.image_remove(support::IMAGE, false, false).await);
    assert_eq!(of, ErrorKind::Conflict, "{text}");
    world.engine.remove("web", RemoveOptions::default()).await.unwrap();
    let removed = world.engine.image_remove(support::IMAGE, false, false).await.unwrap();
    assert!(removed.iter().any(|item| item.deleted.is_some()));
    assert_eq!(world.fake.count("release"), 1);
    assert!(world.store.released().await.is_empty());
    assert_eq!(kind(world.engine.image_remove("nobody", false, false).await).0, ErrorKind::NotFound);
}
