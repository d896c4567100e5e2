//! Namespaces of other containers: which ones a container joins, and whether it may.

use std::time::Duration;

use agent_proto::v1;

use crate::error::{Error, Invalid, StateConflict};
use crate::record::Record;
use crate::registry::{Handle, Registry};
use crate::state::State;

/// How long a container that is joined may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// The container that `container:<name>` names.
fn named(mode: Option<&str>) -> Option<&str> {
    mode?.strip_prefix("container:").filter(|name| !name.is_empty())
}

fn running(registry: &Registry, name: &str) -> Result<Handle, Error> {
    let handle = registry.find(name)?;
    crate::own_vm::joinable(&handle.now().record)?;
    match &handle.now().record.state {
        State::Running(_) | State::Paused(_) => Ok(handle),
        State::Restarting(_) => Err(StateConflict::Restarting(name.to_owned()).into()),
        _ => Err(StateConflict::NotRunning(name.to_owned()).into()),
    }
}

/// For a start by ourselves, after the VM is back: those that are joined start at the same time. If one does not
/// within [`PATIENCE`], the start says so.
pub(crate) async fn wait(registry: &Registry, record: &Record) {
    let host = &record.host_config;
    let all = async {
        for mode in [&host.network_mode, &host.pid_mode, &host.ipc_mode] {
            let Some(Ok(mut other)) = named(mode.as_deref()).map(|name| registry.find(name)) else {
                continue;
            };
            drop(other.view.wait_for(|view| view.gone || view.record.state.run().is_some()).await);
        }
    };
    drop(tokio::time::timeout(PATIENCE, all).await);
}

/// For a start: what is joined. Sharing a network is sharing its name too.
pub(crate) fn at_start(registry: &Registry, record: &mut Record) -> Result<Vec<v1::JoinNamespace>, Error> {
    let mut joined = Vec::new();
    let join = |kind: &str, handle: &Handle| v1::JoinNamespace {
        kind: kind.to_owned(),
        container_id: handle.id.to_string(),
    };
    let host = record.host_config.clone();
    if let Some(name) = named(host.network_mode.as_deref()) {
        let other = running(registry, name).map_err(|error| match error {
            Error::State(StateConflict::NotRunning(name)) => StateConflict::JoinNotRunning(name).into(),
            other => other,
        })?;
        if other.id == record.id {
            return Err(Invalid::JoinSelf.into());
        }
        let theirs = other.now();
        record.config.hostname = Some(crate::spec::hostname(&theirs.record).to_owned());
        record.config.domainname.clone_from(&theirs.record.config.domainname);
        joined.push(join("network", &other));
    }
    if let Some(name) = named(host.pid_mode.as_deref()) {
        joined.push(join("pid", &running(registry, name)?));
    }
    if let Some(name) = named(host.ipc_mode.as_deref()) {
        let other = running(registry, name)?;
        if other.now().record.host_config.ipc_mode.as_deref() != Some("shareable") {
            return Err(Invalid::NotShareable(name.to_owned()).into());
        }
        joined.push(join("ipc", &other));
    }
    Ok(joined)
}
