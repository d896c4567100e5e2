//! An agent that was restarted finds what its predecessor has left: shims by their sockets, exits by their
//! files, mounts by their folders.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::agent::guest::Guest;
use crate::agent::shims::Link;
use crate::agent::table::Key;
use crate::agent::{cgroup, shims};
use crate::paths;
use crate::wire::{Exit, State};

/// Takes over everything that ran before.
pub(crate) fn adopt(guest: &Arc<Guest>) {
    guest.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt();
    for folder in ["c", "x"] {
        for entry in fs::read_dir(Path::new(paths::RUN).join(folder)).into_iter().flatten().flatten() {
            let dir = entry.path();
            // Without a state the process never ran: its start has failed with the old agent.
            let Some(state) = read::<State>(&dir.join("state.json")) else { continue };
            let key = Key { container: state.container.clone(), exec: state.exec.clone() };
            adopt_one(guest, key, state, read::<Exit>(&dir.join("exit.json")));
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn adopt_one(guest: &Arc<Guest>, key: Key, state: State, exit: Option<Exit>) {
    let link = Link::connect(key.id()).map(Arc::new);
    match (link, exit) {
        (Ok(link), exit) => {
            guest.table.started(&key, state, &link);
            if let Some(exit) = exit {
                guest.table.exited(&key, exit, Some(&link));
            }
            let guest = Arc::clone(guest);
            tokio::spawn(async move { guest.follow(&key, &link, None).await });
        }
        (Err(_), Some(exit)) => {
            guest.table.ended(&key, Some(state), exit, None);
            shims::unlink(key.id());
        }
        (Err(error), None) => {
            tracing::warn!(container = %key.container, exec = ?key.exec, %error, "shim died with the agent");
            match key.exec {
                None => cgroup::kill(&key.container),
                Some(_) => drop(crate::sys::kill(state.pid, libc::SIGKILL)),
            }
            shims::unlink(key.id());
            guest.lost(&key, Some(state));
        }
    }
}
