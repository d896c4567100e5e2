//! What is stored of a container, and what others see of it.

use bollard_stubs::models::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};
use types::{ContainerId, Digest};

use crate::health::Health;
use crate::mounts::Mount;
use crate::network::Attachment;
use crate::options::WaitExit;
use crate::ports::Published;
use crate::state::State;

/// A container as the database holds it. `config` and `host_config` are Docker's documents: what a client
/// sent, completed from the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) id: ContainerId,
    /// Without its slash.
    pub(crate) name: String,
    pub(crate) created_unix_ns: i64,
    pub(crate) config: ContainerConfig,
    pub(crate) host_config: HostConfig,
    pub(crate) image: Digest,
    /// What is run, first the program.
    pub(crate) command: Vec<String>,
    pub(crate) state: State,
    /// Starts by the restart policy since the last start by a user.
    pub(crate) restarts: u32,
    /// The last end was asked for: the restart policy does not apply.
    pub(crate) stopped_by_user: bool,
    /// When the last run began; 0: never.
    pub(crate) started_unix_ns: i64,
    /// When the last run ended; 0: never.
    pub(crate) finished_unix_ns: i64,
    /// Volumes, host folders and memory that it mounts.
    #[serde(default)]
    pub(crate) mounts: Vec<Mount>,
    /// Its networks, that of its `NetworkMode` first.
    #[serde(default)]
    pub(crate) networks: Vec<Attachment>,
    /// What is published while it runs.
    #[serde(default)]
    pub(crate) ports: Vec<Published>,
    /// Set for the Lab's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lab: Option<LabMark>,
}

/// A container of the Lab: its program lies in it. Only the engine makes such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabMark {
    /// Its own VM boots, though there is a saved guest to copy or a VM that waits.
    pub(crate) boots: bool,
}

/// A container as its task publishes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) record: Record,
    /// How many runs have ended (or failed to start) since this coracled started: what waiters count.
    pub(crate) exits: u64,
    /// How the last of them ended.
    pub(crate) last: WaitExit,
    /// What its health checks have found; none without one.
    pub(crate) health: Option<Health>,
    /// It does not exist any more.
    pub(crate) gone: bool,
}

impl Record {
    pub(crate) fn tty(&self) -> bool {
        self.config.tty.unwrap_or(false)
    }

    pub(crate) fn open_stdin(&self) -> bool {
        self.config.open_stdin.unwrap_or(false)
    }

    pub(crate) fn auto_remove(&self) -> bool {
        self.host_config.auto_remove.unwrap_or(false)
    }

    /// As the client named it.
    pub(crate) fn image_name(&self) -> &str {
        self.config.image.as_deref().unwrap_or_default()
    }

    pub(crate) fn log_driver(&self) -> &str {
        let driver = self.host_config.log_config.as_ref().and_then(|log| log.typ.as_deref());
        driver.filter(|driver| !driver.is_empty()).unwrap_or("json-file")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        Record {
            id: ContainerId::random(),
            name: "a_name".into(),
            created_unix_ns: 1_700_000_000_000_000_000,
            config: ContainerConfig { image: Some("busybox".into()), ..ContainerConfig::default() },
            host_config: HostConfig { network_mode: Some("bridge".into()), ..HostConfig::default() },
            image: Digest::of(b"image"),
            command: vec!["sh".into()],
            state: State::Created { failure: None },
            restarts: 0,
            stopped_by_user: false,
            started_unix_ns: 0,
            finished_unix_ns: 0,
            mounts: Vec::new(),
            networks: Vec::new(),
            ports: Vec::new(),
            lab: None,
        }
    }

    #[test]
    fn a_record_survives_the_database() {
        let record = record();
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        let unknown = json.replacen("{\"id\"", "{\"colour\":1,\"id\"", 1);
        assert!(serde_json::from_str::<Record>(&unknown).is_err());
    }
}
