//! What a container with a VM of its own cannot have, said at its creation.

use crate::error::{Error, Invalid};
use crate::record::Record;

/// Volumes are checked where they are known ([`crate::volume`]).
///
/// # Errors
/// [`Invalid::OwnVm`] with what it cannot have and what to do instead.
pub(crate) fn check(record: &Record) -> Result<(), Error> {
    if !record.has_own_vm() {
        return Ok(());
    }
    let host = &record.host_config;
    let refuse = |what: String| Err(Invalid::OwnVm(what).into());
    let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
    if let Some(mode) = modes.into_iter().flatten().find(|mode| mode.starts_with("container:")) {
        return refuse(format!("share namespaces of another VM's container ({mode})"));
    }
    for network in &record.networks {
        join_network(record, &network.network)?;
    }
    Ok(())
}

/// # Errors
/// [`Invalid::OwnVm`] for a network that others are to be met on.
pub(crate) fn join_network(record: &Record, network: &str) -> Result<(), Error> {
    if !record.has_own_vm() || matches!(network, "bridge" | "default" | "host" | "none") {
        return Ok(());
    }
    let what = format!(
        "join the network {network}, which lies in the VM that other containers share; use the default network and \
         published ports"
    );
    Err(Invalid::OwnVm(what).into())
}

/// For a start: namespaces are joined in one VM alone.
///
/// # Errors
/// [`Invalid::OwnVm`].
pub(crate) fn joinable(other: &Record) -> Result<(), Error> {
    if other.has_own_vm() {
        return Err(Invalid::OwnVm(format!("share its namespaces with others ({})", other.name)).into());
    }
    Ok(())
}
