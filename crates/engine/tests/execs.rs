//! Execs, against an agent that plays them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use bollard_stubs::models::{ExecConfig, HostConfig};
use engine::{Error, ErrorKind, ExecStart};
use support::World;
use tokio::io::AsyncReadExt as _;

fn config(program: &str) -> ExecConfig {
    ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(vec![program.to_owned()]),
        ..ExecConfig::default()
    }
}

async fn running() -> (World, String) {
    let world = World::up().await;
    let id = world.create("web", "sleep", HostConfig::default()).await;
    world.engine.start("web").await.unwrap();
    (world, id)
}

#[tokio::test]
async fn the_exit_code_is_there_when_the_output_has_ended() {
    let (world, _) = running().await;
    let exec = world.engine.exec_create("web", config("exit 3")).await.unwrap();
    let attached = world.engine.exec_start(&exec, ExecStart::default()).await.unwrap().unwrap();
    let mut text = String::new();
    attached.output.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "output");
    let inspect = world.engine.exec_inspect(&exec).await.unwrap();
    assert_eq!((inspect.running, inspect.exit_code), (Some(false), Some(3)));
    let again = world.engine.exec_start(&exec, ExecStart::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_missing_command_is_told_in_the_stream() {
    let (world, _) = running().await;
    let exec = world.engine.exec_create("web", config("missing")).await.unwrap();
    let attached = world.engine.exec_start(&exec, ExecStart::default()).await.unwrap().unwrap();
    let mut bytes = Vec::new();
    attached.output.unwrap().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(&bytes[..4], [1, 0, 0, 0]);
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    assert!(text.starts_with(
        "OCI runtime exec failed: exec failed: unable to start container process: exec: \"missing\": \
             executable file not found in $PATH: unknown"
    ));
    assert_eq!(world.engine.exec_inspect(&exec).await.unwrap().exit_code, Some(127));
    let exec = world.engine.exec_create("web", config("missing")).await.unwrap();
    let detached = ExecStart { detach: true, ..ExecStart::default() };
    assert!(matches!(world.engine.exec_start(&exec, detached).await, Err(Error::Start(_))));
}

#[tokio::test]
async fn only_running_containers_take_execs() {
    let (world, id) = running().await;
    world.engine.pause("web").await.unwrap();
    let paused = world.engine.exec_create("web", config("sleep")).await.unwrap_err();
    assert_eq!(paused.to_string(), format!("Container {id} is paused, unpause the container before exec"));
    world.engine.unpause("web").await.unwrap();
    let exec = world.engine.exec_create("web", config("sleep")).await.unwrap();
    let detached = ExecStart { detach: true, ..ExecStart::default() };
    assert!(world.engine.exec_start(&exec, detached).await.unwrap().is_none());
    assert_eq!(world.engine.exec_inspect(&exec).await.unwrap().running, Some(true));
    world.engine.kill("web", None).await.unwrap();
    let stopped = world.engine.exec_create("web", config("sleep")).await.unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Conflict);
    assert_eq!(stopped.to_string(), format!("container {id} is not running"));
    // Its container's end was its own.
    assert_eq!(world.engine.exec_inspect(&exec).await.unwrap().exit_code, Some(137));
    world.engine.remove("web", engine::RemoveOptions::default()).await.unwrap();
    let gone = world.engine.exec_inspect(&exec).await.unwrap_err();
    assert_eq!(gone.to_string(), format!("No such exec instance: {exec}"));
}

#[tokio::test]
async fn an_exec_that_ends_unseen_is_found_ended() {
    let (world, id) = running().await;
    let exec = world.engine.exec_create("web", config("sleep")).await.unwrap();
    let detached = ExecStart { detach: true, ..ExecStart::default() };
    world.engine.exec_start(&exec, detached).await.unwrap();
    world.fake.break_subscriptions();
    world.fake.end(&id, &exec, 4);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while world.engine.exec_inspect(&exec).await.unwrap().exit_code != Some(4) {
        assert!(std::time::Instant::now() < deadline, "its end is not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_is_on_its_way_is_waited_for() {
    let (world, _) = running().await;
    let exec = world.engine.exec_create("web", config("sleep")).await.unwrap();
    let detached = ExecStart { detach: true, ..ExecStart::default() };
    let agent = world.machine.unseen();
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.exec_start(&exec, detached).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished());
    world.machine.seen(agent);
    assert!(waiting.await.unwrap().unwrap().is_none());
    // Not for ever.
    world.machine.unseen();
    assert!(matches!(world.engine.kill("web", None).await, Err(Error::VmOff(_))));
}
