//! The state of the VM as `/coracle/vm` tells it.

use serde::{Deserialize, Deserializer, Serialize};

/// The VM's state. Fields that an older or newer service does not send are empty.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum VmStatus {
    /// No machine; state on the host stays usable.
    Off,
    /// On the way up.
    Booting {
        /// The stage in coracled's words, such as `kernel`.
        #[serde(default)]
        stage: String,
        /// When this boot began.
        #[serde(default)]
        since_unix_ms: Option<u64>,
        /// Accelerator being tried.
        #[serde(default)]
        accelerator: Option<String>,
    },
    /// The agent said hello.
    Running {
        /// From the command to the agent's hello; none for a VM that was found running.
        #[serde(default, deserialize_with = "zero_is_none")]
        boot_ms: Option<u64>,
        /// `kvm`, `hvf`, `whpx`, or `tcg` for software emulation.
        #[serde(default)]
        accelerator: String,
        /// How host and guest talk.
        #[serde(default)]
        transport: String,
        /// The guest's memory.
        #[serde(default)]
        memory_mib: Option<u64>,
        /// The guest's processors.
        #[serde(default)]
        cpus: Option<u32>,
        /// QEMU's process.
        #[serde(default)]
        pid: Option<u32>,
        /// Distinguishes this boot from any other.
        #[serde(default)]
        boot_id: String,
        /// When it was started.
        #[serde(default)]
        since_unix_ms: Option<u64>,
        /// The guest's kernel release.
        #[serde(default)]
        kernel: String,
        /// Why it stands still at present; it goes on by itself.
        #[serde(default)]
        halted: Option<String>,
    },
    /// On the way down.
    Stopping,
    /// It did not start, or died and is not restarted.
    Failed {
        /// Why, for people.
        #[serde(default)]
        reason: String,
        /// The last lines of the guest's console.
        #[serde(default)]
        console_tail: Vec<String>,
    },
    /// A state that this client does not know.
    #[serde(other)]
    Unknown,
}

impl VmStatus {
    /// Whether containers can run right now.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Why the VM does not go on at present, although it runs.
    pub fn halted(&self) -> Option<&str> {
        match self {
            Self::Running { halted, .. } => halted.as_deref(),
            _ => None,
        }
    }

    /// Whether the state is one that changes by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Booting { .. } | Self::Stopping)
    }
}

/// coracled says 0 of a boot that it has not seen.
fn zero_is_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::deserialize(input)?.filter(|ms| *ms != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_states_are_tolerated() {
        let running: VmStatus =
            serde_json::from_str(r#"{"state":"running","boot_ms":4100,"accelerator":"tcg","moon":"full"}"#)
                .unwrap();
        assert!(
            matches!(running, VmStatus::Running { boot_ms: Some(4100), ref accelerator, .. } if accelerator == "tcg")
        );
        assert_eq!(
            serde_json::from_str::<VmStatus>(r#"{"state":"hibernating"}"#).unwrap(),
            VmStatus::Unknown
        );
        assert_eq!(serde_json::from_str::<VmStatus>(r#"{"state":"off"}"#).unwrap(), VmStatus::Off);
    }
}
