//! What an IDE does, through `bollard`: a development container from its creation to its removal, and every call
//! about containers, execs, volumes, networks and the system, each of whose answers must be of the shape that
//! `bollard` expects.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecResults};
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerUpdateBody, EndpointSettings, HostConfig, Mount,
    MountType, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use coracle_e2e::Host;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;

const HELLO: &str = "coracle/hello";
const PATIENCE: Duration = Duration::from_secs(30);

type Output = std::pin::Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Reads until the output holds `wanted`; everything so far.
async fn until(output: &mut Output, wanted: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains(wanted) {
            match output.next().await {
                Some(piece) => text += &String::from_utf8_lossy(&piece.unwrap().into_bytes()),
                None => panic!("it ended before {wanted:?}: {text}"),
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, read).await;
    assert!(done.is_ok(), "no {wanted:?} in {text:?}");
    text
}

async fn all(output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>) -> String {
    let pieces: Vec<LogOutput> = output.try_collect().await.unwrap();
    pieces.into_iter().map(|piece| String::from_utf8_lossy(&piece.into_bytes()).into_owned()).collect()
}

/// Runs a command without a terminal: its output and its exit code.
async fn exec(docker: &Docker, container: &str, script: &str) -> (String, i64) {
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(vec!["sh", "-c", script]),
        ..Default::default()
    };
    let id = docker.create_exec(container, options).await.unwrap().id;
    let StartExecResults::Attached { output, .. } = docker.start_exec(&id, None).await.unwrap() else {
        panic!("not attached");
    };
    let text = all(output).await;
    let code = docker.inspect_exec(&id).await.unwrap().exit_code.unwrap();
    (text, code)
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_uid(1234);
        header.set_gid(1234);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn filter(name: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(name.to_owned(), vec![value.to_owned()])])
}

#[tokio::test]
async fn an_ide_has_its_container() {
    let host = Host::start().await;
    let docker = host.client().await.docker().unwrap();
    let label = ("devcontainer.local_folder", "/home/me/src");
    let body = ContainerCreateBody {
        image: Some(HELLO.to_owned()),
        cmd: Some(vec![
            "sh".into(),
            "-c".into(),
            "echo ready; while read line; do echo got $line; done".into(),
        ]),
        labels: Some(HashMap::from([(label.0.to_owned(), label.1.to_owned())])),
        env: Some(vec!["EDITOR=vi".to_owned()]),
        open_stdin: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        volumes: Some(vec!["/cache".to_owned()]),
        host_config: Some(HostConfig {
            mounts: Some(vec![Mount {
                typ: Some(MountType::VOLUME),
                source: Some("ide-home".to_owned()),
                target: Some("/root".to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let named = query::CreateContainerOptionsBuilder::new().name("ide").build();
    let id = docker.create_container(Some(named), body).await.unwrap().id;

    let attach =
        query::AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true);
    let mut attached = docker.attach_container("ide", Some(attach.build())).await.unwrap();
    docker.start_container("ide", None).await.unwrap();
    until(&mut attached.output, "ready\n").await;
    attached.input.write_all(b"typed\n").await.unwrap();
    until(&mut attached.output, "got typed\n").await;

    let listing = query::ListContainersOptionsBuilder::new()
        .filters(&filter("label", &format!("{}={}", label.0, label.1)))
        .build();
    let found = docker.list_containers(Some(listing)).await.unwrap();
    assert_eq!(
        found.iter().map(|its| its.id.clone().unwrap()).collect::<Vec<_>>(),
        std::slice::from_ref(&id)
    );

    // A terminal inside it, as large as the window of the IDE.
    let terminal = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(true),
        env: Some(vec!["PS1=> "]),
        cmd: Some(vec!["sh"]),
        ..Default::default()
    };
    let shell = docker.create_exec("ide", terminal).await.unwrap().id;
    let StartExecResults::Attached { mut output, mut input } = docker.start_exec(&shell, None).await.unwrap()
    else {
        panic!("not attached");
    };
    until(&mut output, "> ").await;
    docker.resize_exec(&shell, ResizeExecOptions { height: 43, width: 132 }).await.unwrap();
    input.write_all(b"stty size; echo $EDITOR-$((40+2))\n").await.unwrap();
    let shown = until(&mut output, "vi-42").await;
    assert!(shown.contains("43 132"), "{shown}");
    assert_eq!(docker.inspect_exec(&shell).await.unwrap().running, Some(true));
    input.write_all(b"exit 3\n").await.unwrap();
    while output.next().await.is_some() {}
    let ended = docker.inspect_exec(&shell).await.unwrap();
    assert_eq!((ended.running, ended.exit_code), (Some(false), Some(3)));

    // Its server, copied in; owners as in the archive.
    let upload = query::UploadToContainerOptionsBuilder::new().path("/opt").build();
    exec(&docker, "ide", "mkdir -p /opt").await;
    let server = tar(&[("server/start", "#!/bin/sh\necho server of $EDITOR\n"), ("server/lib", "x")]);
    docker.upload_to_container("ide", Some(upload), bollard::body_full(server.into())).await.unwrap();
    let (text, code) = exec(&docker, "ide", "/opt/server/start; stat -c %u:%a /opt/server/start").await;
    assert_eq!((text.as_str(), code), ("server of vi\n1234:755\n", 0));
    assert_eq!(exec(&docker, "ide", "echo oops >&2; exit 9").await, ("oops\n".to_owned(), 9));

    // The image of it, for the next time.
    let options = query::CommitContainerOptionsBuilder::new()
        .container("ide")
        .repo("ide/made")
        .tag("1")
        .comment("as it is now")
        .pause(true)
        .build();
    let config = ContainerConfig { cmd: Some(vec!["/opt/server/start".to_owned()]), ..Default::default() };
    let committed = docker.commit_container(options, config).await.unwrap().id;
    assert_eq!(docker.inspect_image("ide/made:1").await.unwrap().id, Some(committed));
    let body = ContainerCreateBody { image: Some("ide/made:1".to_owned()), ..Default::default() };
    let second = docker.create_container(None, body).await.unwrap().id;
    docker.start_container(&second, None).await.unwrap();
    let ended: Vec<_> = docker.wait_container(&second, None).try_collect().await.unwrap();
    assert_eq!(ended[0].status_code, 0);
    let logs = query::LogsOptionsBuilder::new().stdout(true).stderr(true).build();
    assert_eq!(all(docker.logs(&second, Some(logs))).await, "server of vi\n");

    let anonymous: Vec<String> = docker
        .inspect_container("ide", None)
        .await
        .unwrap()
        .mounts
        .unwrap()
        .into_iter()
        .filter(|mount| mount.destination.as_deref() == Some("/cache"))
        .filter_map(|mount| mount.name)
        .collect();
    assert_eq!(anonymous.len(), 1);
    let remove = query::RemoveContainerOptionsBuilder::new().v(true).force(true).build();
    for container in ["ide", &second] {
        docker.remove_container(container, Some(remove.clone())).await.unwrap();
    }
    let volumes = docker.list_volumes(None::<query::ListVolumesOptions>).await.unwrap().volumes.unwrap();
    assert_eq!(volumes.iter().map(|its| its.name.as_str()).collect::<Vec<_>>(), ["ide-home"]);
    docker.remove_image("ide/made:1", None::<query::RemoveImageOptions>, None).await.unwrap();
    assert!(docker.list_containers(None).await.unwrap().is_empty());
    host.finish().await;
}

#[tokio::test]
async fn every_call_about_containers() {
    let host = Host::start().await;
    let docker = host.client().await.docker().unwrap();
    let body = ContainerCreateBody {
        image: Some(HELLO.to_owned()),
        tty: Some(true),
        cmd: Some(vec![
            "sh".into(),
            "-c".into(),
            "echo hi > /new; trap 'exit 4' USR1; while :; do sleep 0.1; done".into(),
        ]),
        ..Default::default()
    };
    let named = query::CreateContainerOptionsBuilder::new().name("called").build();
    let id = docker.create_container(Some(named), body).await.unwrap().id;
    docker.start_container("called", None).await.unwrap();

    let listing = query::ListContainersOptionsBuilder::new().all(true).size(true).limit(5);
    let listed = docker.list_containers(Some(listing.build())).await.unwrap();
    assert!(listed.len() == 1 && listed[0].size_root_fs.is_some(), "{listed:?}");
    let inspect = query::InspectContainerOptionsBuilder::new().size(true).build();
    let inspected = docker.inspect_container("called", Some(inspect)).await.unwrap();
    assert_eq!((inspected.id.as_deref(), inspected.name.as_deref()), (Some(&*id), Some("/called")));
    assert!(inspected.size_root_fs.unwrap() > 0);

    let once = query::StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let once: Vec<_> = docker.stats("called", Some(once)).try_collect().await.unwrap();
    assert!(once.len() == 1 && once[0].memory_stats.as_ref().unwrap().usage.unwrap() > 0, "{once:?}");
    let followed: Vec<_> = docker.stats("called", None).take(2).try_collect().await.unwrap();
    let cpu =
        |at: usize| followed[at].cpu_stats.as_ref().unwrap().cpu_usage.as_ref().unwrap().total_usage.unwrap();
    assert!(cpu(1) > cpu(0), "{followed:?}");
    let top = docker.top_processes("called", None).await.unwrap();
    assert!(top.titles.unwrap().contains(&"PID".to_owned()) && !top.processes.unwrap().is_empty());
    let some = query::TopOptionsBuilder::new().ps_args("-o pid,comm").build();
    assert_eq!(docker.top_processes("called", Some(some)).await.unwrap().titles.unwrap().len(), 2);
    let changes = docker.container_changes("called").await.unwrap().unwrap();
    assert!(changes.iter().any(|change| change.path == "/new"), "{changes:?}");
    let update = ContainerUpdateBody {
        memory: Some(64 << 20),
        memory_swap: Some(128 << 20),
        pids_limit: Some(50),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::ON_FAILURE),
            maximum_retry_count: Some(1),
        }),
        ..Default::default()
    };
    docker.update_container("called", update).await.unwrap();
    let config = docker.inspect_container("called", None).await.unwrap().host_config.unwrap();
    assert_eq!((config.memory, config.pids_limit), (Some(64 << 20), Some(50)));

    let stat = query::ContainerArchiveInfoOptionsBuilder::new().path("/new").build();
    let stat = docker.get_container_archive_info("called", Some(stat)).await.unwrap();
    assert_eq!((stat.name.as_str(), stat.size), ("new", 3));
    let download = query::DownloadFromContainerOptionsBuilder::new().path("/new").build();
    let pieces: Vec<_> =
        docker.download_from_container("called", Some(download)).try_collect().await.unwrap();
    let mut archive = tar::Archive::new(std::io::Cursor::new(pieces.concat()));
    let content = std::io::read_to_string(archive.entries().unwrap().next().unwrap().unwrap()).unwrap();
    assert_eq!(content, "hi\n");
    let exported: Vec<_> = docker.export_container("called").try_collect().await.unwrap();
    let mut archive = tar::Archive::new(std::io::Cursor::new(exported.concat()));
    let found = |entry: &tar::Entry<'_, _>| entry.path().unwrap().to_str() == Some("new");
    assert!(archive.entries().unwrap().any(|entry| found(&entry.unwrap())));

    let size = query::ResizeContainerTTYOptionsBuilder::new().h(20).w(70).build();
    docker.resize_container_tty("called", size).await.unwrap();
    docker.pause_container("called").await.unwrap();
    docker.unpause_container("called").await.unwrap();
    let rename = query::RenameContainerOptionsBuilder::new().name("renamed").build();
    docker.rename_container("called", rename).await.unwrap();
    docker
        .restart_container("renamed", Some(query::RestartContainerOptionsBuilder::new().t(0).build()))
        .await
        .unwrap();
    let next = query::WaitContainerOptionsBuilder::new().condition("next-exit").build();
    let mut waiting = Box::pin(docker.wait_container("renamed", Some(next)));
    let kill = query::KillContainerOptionsBuilder::new().signal("SIGUSR1").build();
    // Until the shell has set its trap, the signal is lost on a first process.
    let ended = loop {
        // It has ended when this fails.
        docker.kill_container("renamed", Some(kill.clone())).await.ok();
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(300), waiting.next()).await {
            break ended.unwrap();
        }
    };
    match ended {
        Ok(ended) => assert_eq!(ended.status_code, 4),
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => assert_eq!(code, 4),
        Err(other) => panic!("{other}"),
    }
    docker
        .stop_container("renamed", Some(query::StopContainerOptionsBuilder::new().t(0).build()))
        .await
        .unwrap();
    let pruned = docker.prune_containers(None).await.unwrap();
    assert_eq!(pruned.containers_deleted, Some(vec![id]));
    host.finish().await;
}

#[tokio::test]
async fn every_call_about_volumes_networks_and_the_system() {
    let host = Host::start().await;
    let docker = host.client().await.docker().unwrap();
    let begun = now();

    let volume = VolumeCreateRequest {
        name: Some("kept".to_owned()),
        labels: Some(HashMap::from([("tier".to_owned(), "front".to_owned())])),
        ..Default::default()
    };
    assert_eq!(docker.create_volume(volume).await.unwrap().name, "kept");
    assert_eq!(docker.inspect_volume("kept").await.unwrap().driver, "local");
    let some = query::ListVolumesOptionsBuilder::new().filters(&filter("label", "tier=front")).build();
    assert_eq!(docker.list_volumes(Some(some)).await.unwrap().volumes.unwrap().len(), 1);

    let network = NetworkCreateRequest { name: "ours".to_owned(), ..Default::default() };
    let network = docker.create_network(network).await.unwrap().id;
    assert_eq!(docker.list_networks(None).await.unwrap().len(), 4);
    let some = query::ListNetworksOptionsBuilder::new().filters(&filter("name", "ours")).build();
    assert_eq!(docker.list_networks(Some(some)).await.unwrap().len(), 1);
    let body = ContainerCreateBody {
        image: Some(HELLO.to_owned()),
        cmd: Some(vec!["sleep".into(), "1000".into()]),
        host_config: Some(HostConfig { binds: Some(vec!["kept:/kept".to_owned()]), ..Default::default() }),
        ..Default::default()
    };
    let named = query::CreateContainerOptionsBuilder::new().name("member").build();
    docker.create_container(Some(named), body).await.unwrap();
    docker.start_container("member", None).await.unwrap();
    let aliases = EndpointSettings { aliases: Some(vec!["alias".to_owned()]), ..Default::default() };
    let connect = NetworkConnectRequest { container: "member".to_owned(), endpoint_config: Some(aliases) };
    docker.connect_network("ours", connect).await.unwrap();
    let verbose = query::InspectNetworkOptionsBuilder::new().verbose(true).build();
    let members = docker.inspect_network("ours", Some(verbose)).await.unwrap().containers.unwrap();
    assert_eq!(members.into_values().map(|its| its.name.unwrap()).collect::<Vec<_>>(), ["member"]);
    assert_eq!(exec(&docker, "member", "ls /sys/class/net | grep -c eth").await.0, "2\n");
    let disconnect = NetworkDisconnectRequest { container: "member".to_owned(), force: Some(false) };
    docker.disconnect_network("ours", disconnect).await.unwrap();

    assert_eq!(docker.ping().await.unwrap(), "OK");
    assert!(docker.version().await.unwrap().components.is_some());
    let info = docker.info().await.unwrap();
    assert_eq!((info.containers_running, info.os_type.as_deref()), (Some(1), Some("linux")));
    // Its `type` is one that this version of bollard cannot write.
    docker.df(None).await.unwrap();
    let remove = query::RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container("member", Some(remove)).await.unwrap();
    let all_volumes = query::PruneVolumesOptionsBuilder::new().filters(&filter("all", "true")).build();
    assert_eq!(docker.prune_volumes(Some(all_volumes)).await.unwrap().volumes_deleted.unwrap(), ["kept"]);
    docker
        .create_volume(VolumeCreateRequest { name: Some("brief".to_owned()), ..Default::default() })
        .await
        .unwrap();
    docker.remove_volume("brief", None::<query::RemoveVolumeOptions>).await.unwrap();
    assert_eq!(docker.prune_networks(None).await.unwrap().networks_deleted.unwrap(), ["ours"]);
    docker.prune_images(None::<query::PruneImagesOptions>).await.unwrap();

    let window = query::EventsOptionsBuilder::new().since(&begun).until(&now());
    let events: Vec<_> = docker.events(Some(window.build())).try_collect().await.unwrap();
    let told: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event.typ.unwrap(), event.action.as_deref().unwrap()))
        .collect();
    for expected in [
        "volume create",
        "network create",
        "container create",
        "container start",
        "network connect",
        "network disconnect",
        "container exec_die",
        "container destroy",
        "volume mount",
        "volume unmount",
        "volume destroy",
        "network destroy",
    ] {
        assert!(told.iter().any(|its| its.starts_with(expected)), "{expected}: {told:?}");
    }
    let window = query::EventsOptionsBuilder::new()
        .since(&begun)
        .until(&now())
        .filters(&filter("network", &network))
        .build();
    let some: Vec<_> = docker.events(Some(window)).try_collect().await.unwrap();
    assert!(
        !some.is_empty()
            && some.iter().all(|event| event.actor.as_ref().unwrap().id.as_ref() == Some(&network))
    );
    host.finish().await;
}

/// Now, as the API takes it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}
