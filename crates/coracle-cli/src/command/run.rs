//! `coracle run`.

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder,
    StartContainerOptions,
};
use client::Client;

use super::images::{Show, download};
use crate::args::Run;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::session::Ended;

pub(crate) async fn run(run: Run, out: Output) -> Result<Exit, Failure> {
    if run.tty && run.interactive && !run.detach && !crate::terminal::stdin_is_terminal() {
        return Err(Failure::new(
            "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
        ));
    }
    let failed = |failure: Failure| failure.with(Exit::ENGINE);
    let client = super::connect().await.map_err(failed)?;
    let docker = client.docker().map_err(|error| failed(error.into()))?;
    if run.pull == "always" {
        download(&docker, &run.image, None, Show::Text).await.map_err(failed)?;
    }
    let id = create(&docker, &run).await.map_err(failed)?;
    if run.detach {
        docker.start_container(&id, None::<StartContainerOptions>).await.map_err(Failure::of_start)?;
        out.print(&serde_json::json!({ "id": id }), |_| id.clone())?;
        return Ok(Exit::OK);
    }
    attached(&client, &docker, &id, &run).await
}

/// Attaches and waits before it starts, so that neither output nor exit code can be missed.
async fn attached(client: &Client, docker: &Docker, id: &str, run: &Run) -> Result<Exit, Failure> {
    let failed = |error: DockerError| Failure::from(error).with(Exit::ENGINE);
    let attach = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(run.interactive)
        .stdout(true)
        .stderr(true)
        .build();
    let streams = docker.attach_container(id, Some(attach)).await.map_err(failed)?;
    let condition = if run.rm { "removed" } else { "next-exit" };
    let wait = client
        .container_wait(id, condition)
        .await
        .map_err(|error| Failure::from(error).with(Exit::ENGINE))?;
    docker.start_container(id, None::<StartContainerOptions>).await.map_err(Failure::of_start)?;
    let resize = |columns: u16, rows: u16| async move {
        let size = ResizeContainerTTYOptionsBuilder::new().w(columns.into()).h(rows.into()).build();
        // A container that has just ended has no terminal to resize.
        drop(docker.resize_container_tty(id, size).await);
    };
    let session = async {
        let joined =
            crate::session::join(streams.output, streams.input, run.interactive, run.tty, resize).await?;
        if joined == Ended::Detached {
            return Ok(None);
        }
        wait.exit().await.map(Some).map_err(|error| Failure::from(error).with(Exit::ENGINE))
    };
    let ended = tokio::select! {
        ended = session => ended?,
        lost = crate::signals::pass_on(docker, id), if !run.tty => return Err(lost),
    };
    let Some(ended) = ended else { return Ok(Exit::OK) };
    match ended {
        Some(ended) => Ok(Exit::of(ended.status_code)),
        None => Err(Failure::new("coracled went away while the container ran").with(Exit::ENGINE)),
    }
}

/// Creates the container; a missing image is pulled first unless that is forbidden.
async fn create(docker: &Docker, run: &Run) -> Result<String, Failure> {
    let body = body(run)?;
    let mut options = CreateContainerOptionsBuilder::new();
    if let Some(name) = &run.name {
        options = options.name(name);
    }
    let options = options.build();
    let created = match docker.create_container(Some(options.clone()), body.clone()).await {
        Err(DockerError::DockerResponseServerError { status_code: 404, .. }) if run.pull != "never" => {
            eprintln!("Unable to find image '{}' locally", run.image);
            download(docker, &run.image, None, Show::Text).await?;
            docker.create_container(Some(options), body).await?
        }
        created => created?,
    };
    for warning in &created.warnings {
        eprintln!("WARNING: {warning}");
    }
    Ok(created.id)
}

fn body(run: &Run) -> Result<ContainerCreateBody, Failure> {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let labels = run.label.iter().map(|label| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    });
    Ok(ContainerCreateBody {
        image: Some(run.image.clone()),
        cmd: some(&run.command),
        entrypoint: run.entrypoint.as_ref().map(|program| vec![program.clone()]),
        env: Some(variables(&run.env)),
        working_dir: run.workdir.clone(),
        user: run.user.clone(),
        hostname: run.hostname.clone(),
        labels: Some(labels.collect()),
        tty: Some(run.tty),
        open_stdin: Some(run.interactive),
        stdin_once: Some(run.interactive && !run.detach),
        attach_stdin: Some(run.interactive && !run.detach),
        attach_stdout: Some(!run.detach),
        attach_stderr: Some(!run.detach),
        host_config: Some(HostConfig {
            auto_remove: Some(run.rm),
            network_mode: run.network.clone(),
            runtime: run.runtime.clone(),
            restart_policy: Some(restart_policy(&run.restart)?),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    })
}

/// `NAME=VALUE` as it is; `NAME` with this process's value, or not at all when it has none.
pub(crate) fn variables(given: &[String]) -> Vec<String> {
    given
        .iter()
        .filter_map(|variable| {
            if variable.contains('=') {
                return Some(variable.clone());
            }
            std::env::var(variable).ok().map(|value| format!("{variable}={value}"))
        })
        .collect()
}

fn restart_policy(text: &str) -> Result<RestartPolicy, Failure> {
    let (name, count) = text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count)));
    let name = match name {
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => return Err(Failure::new(format!("invalid restart policy {text:?}")).with(Exit::ENGINE)),
    };
    let maximum_retry_count = match count {
        None => None,
        Some(count) if name == RestartPolicyNameEnum::ON_FAILURE => {
            Some(count.parse().map_err(|_| Failure::new(format!("invalid restart policy {text:?}")))?)
        }
        Some(_) => return Err(Failure::new("only on-failure takes a number of retries").with(Exit::ENGINE)),
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies() {
        assert_eq!(restart_policy("no").unwrap().name, Some(RestartPolicyNameEnum::NO));
        assert_eq!(restart_policy("on-failure:3").unwrap().maximum_retry_count, Some(3));
        for text in ["", "sometimes", "always:3", "on-failure:x"] {
            assert!(restart_policy(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn variables_without_a_value_are_passed_on_or_dropped() {
        assert_eq!(variables(&["A=1".into(), "CORACLE_NOT_SET_ANYWHERE".into()]), ["A=1"]);
    }
}
