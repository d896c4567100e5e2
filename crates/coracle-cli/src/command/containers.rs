//! `coracle ps`, `logs`, `stop` and `rm`.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};

use crate::args::{Logs, Ps, Rm, Stop};
use crate::exit::{Exit, Failure};
use crate::output::{Output, ago, line, table};

pub(crate) async fn list(ps: Ps, out: Output) -> Result<Exit, Failure> {
    let mut filters = HashMap::<String, Vec<String>>::new();
    for filter in ps.filter {
        let Some((key, value)) = filter.split_once('=') else {
            return Err(Failure::new(format!("filter {filter:?} is not KEY=VALUE")));
        };
        filters.entry(key.into()).or_default().push(value.into());
    }
    let options = ListContainersOptionsBuilder::new().all(ps.all).filters(&filters).build();
    let containers = super::connect().await?.docker()?.list_containers(Some(options)).await?;
    if ps.quiet {
        for container in containers {
            line(short(container.id.as_deref()))?;
        }
        return Ok(Exit::OK);
    }
    out.print(&containers, |containers| {
        let rows: Vec<_> = containers
            .iter()
            .map(|container| {
                let names = container.names.iter().flatten().map(|name| name.trim_start_matches('/'));
                vec![
                    short(container.id.as_deref()).to_owned(),
                    container.image.clone().unwrap_or_default(),
                    quoted(container.command.as_deref().unwrap_or_default()),
                    container.created.map(ago).unwrap_or_default(),
                    container.status.clone().unwrap_or_default(),
                    names.collect::<Vec<_>>().join(","),
                ]
            })
            .collect();
        table(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"], &rows)
    })?;
    Ok(Exit::OK)
}

/// The first 12 digits of an id.
pub(crate) fn short(id: Option<&str>) -> &str {
    let id = id.unwrap_or_default();
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// In quotes, cut to 20 characters.
fn quoted(command: &str) -> String {
    const LONGEST: usize = 20;
    if command.chars().count() <= LONGEST {
        return format!("\"{command}\"");
    }
    let cut: String = command.chars().take(LONGEST - 1).collect();
    format!("\"{cut}…\"")
}

pub(crate) async fn logs(logs: Logs) -> Result<Exit, Failure> {
    let options = LogsOptionsBuilder::new()
        .follow(logs.follow)
        .timestamps(logs.timestamps)
        .tail(&logs.tail)
        .stdout(true)
        .stderr(true)
        .build();
    let docker = super::connect().await?.docker()?;
    let output = docker.logs(&logs.container, Some(options));
    crate::session::print(Box::pin(output)).await?;
    Ok(Exit::OK)
}

pub(crate) async fn stop(stop: Stop, out: Output) -> Result<Exit, Failure> {
    let docker = super::connect().await?.docker()?;
    super::for_each(stop.containers, out, |name| {
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(seconds) = stop.timeout {
            options = options.t(seconds);
        }
        let (docker, options) = (docker.clone(), options.build());
        async move { docker.stop_container(&name, Some(options)).await }
    })
    .await
}

pub(crate) async fn remove(rm: Rm, out: Output) -> Result<Exit, Failure> {
    let docker = super::connect().await?.docker()?;
    super::for_each(rm.containers, out, |name| {
        let options = RemoveContainerOptionsBuilder::new().force(rm.force).v(rm.volumes).build();
        let docker = docker.clone();
        async move { docker.remove_container(&name, Some(options)).await }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_commands_are_cut() {
        assert_eq!(short(Some("sha256:0123456789abcdef")), "0123456789ab");
        assert_eq!(short(Some("0123")), "0123");
        assert_eq!(quoted("true"), "\"true\"");
        assert_eq!(quoted("/docker-entrypoint.sh nginx"), "\"/docker-entrypoint.…\"");
    }
}
