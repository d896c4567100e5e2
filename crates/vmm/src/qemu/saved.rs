//! Saving a guest, and letting copies of it go on: QEMU's migration to a file, with the memory left out of the stream
//! because it is in a file of its own already (capability `x-ignore-shared`).
//!
//! The saved memory was mapped shared, a copy maps it privately: pages that a copy does not write are the page cache's, the
//! same for all copies.

use std::path::Path;
use std::time::Duration;

use qapi::qmp::{self, MigrationCapability, MigrationCapabilityStatus, MigrationStatus};

use super::control::Control;
use crate::error::chain;

/// Devices' state is some hundred KiB.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between looks at a migration's progress.
const LOOK: Duration = Duration::from_millis(2);

/// Halts the guest and writes its state. The error is for people.
pub(super) async fn save(control: &Control, state: &Path) -> Result<(), String> {
    control.run(qmp::stop {}).await.map_err(|error| chain(&error))?;
    leave_memory_out(control).await?;
    let uri = Some(uri(state));
    let command = qmp::migrate { channels: None, detach: None, resume: None, uri };
    control.run(command).await.map_err(|error| chain(&error))?;
    completed(control).await
}

/// Reads the state into a machine that waits for it, and lets it go on. The error is for people.
pub(super) async fn restore(control: &Control, state: &Path) -> Result<(), String> {
    leave_memory_out(control).await?;
    let uri = Some(uri(state));
    let command = qmp::migrate_incoming { channels: None, exit_on_error: None, uri };
    control.run(command).await.map_err(|error| chain(&error))?;
    completed(control).await?;
    control.run(qmp::cont {}).await.map(drop).map_err(|error| chain(&error))
}

fn uri(state: &Path) -> String {
    format!("file:{}", state.display())
}

async fn leave_memory_out(control: &Control) -> Result<(), String> {
    let on = MigrationCapabilityStatus { capability: MigrationCapability::x_ignore_shared, state: true };
    let command = qmp::migrate_set_capabilities { capabilities: vec![on] };
    control.run(command).await.map(drop).map_err(|error| chain(&error))
}

async fn completed(control: &Control) -> Result<(), String> {
    let look = async {
        loop {
            let info = control.run(qmp::query_migrate {}).await.map_err(|error| chain(&error))?;
            match info.status {
                Some(MigrationStatus::completed) => return Ok(()),
                Some(MigrationStatus::failed | MigrationStatus::cancelled) => {
                    return Err(info.error_desc.unwrap_or_else(|| "QEMU gives no reason".to_owned()));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, look)
        .await
        .unwrap_or_else(|_| Err(format!("not done within {DEADLINE:?}")))
}
