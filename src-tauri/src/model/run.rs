//! Running an image.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A container to be made and started: what the run dialog's fields say, and what a `docker run` line says beyond them.
#[derive(Clone, Debug, Deserialize, TS)]
#[cfg_attr(test, derive(Default))]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    pub(crate) image: String,
    /// None: coracled makes one up.
    pub(crate) name: Option<String>,
    /// Empty: the image's own.
    pub(crate) command: Vec<String>,
    /// None: the image's own. Empty: none at all.
    pub(crate) entrypoint: Option<String>,
    pub(crate) ports: Vec<RunPort>,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    pub(crate) mounts: Vec<RunMount>,
    /// None: Docker's default network.
    pub(crate) network: Option<String>,
    /// None: no limit.
    #[ts(type = "number | null")]
    pub(crate) memory_bytes: Option<i64>,
    /// None: no limit.
    pub(crate) cpus: Option<f64>,
    /// As docker writes it: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`.
    pub(crate) restart: String,
    pub(crate) tty: bool,
    pub(crate) interactive: bool,
    pub(crate) remove_on_exit: bool,
    /// None: a container in the VM that all share. Otherwise the runtime's name, of which `vm` is a VM of its own.
    pub(crate) runtime: Option<String>,
    pub(crate) further: Vec<FurtherOption>,
}

/// A published port; both sides may be ranges of the same length.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunPort {
    /// `8080`, `127.0.0.1:8080`; empty: any that is free.
    pub(crate) host: String,
    pub(crate) container: String,
    /// `tcp`, `udp`, `sctp`.
    pub(crate) protocol: String,
}

/// A folder of the host or a named volume.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunMount {
    /// A rooted path is a folder, anything else a volume's name.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// An option of `docker run` that the dialog has no field for.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct FurtherOption {
    /// Its long name, with the dashes.
    pub(crate) flag: String,
    /// `true` or `false` for a switch.
    pub(crate) value: String,
}

/// A container that was started.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Started {
    pub(crate) id: String,
    /// What coracled warned about.
    pub(crate) warnings: Vec<String>,
}

/// Something of this computer dragged over the window.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Drag {
    Over,
    Left,
    Dropped {
        /// Files and folders.
        paths: Vec<String>,
    },
}

declared!(Drag, RunRequest, RunPort, RunMount, FurtherOption, Started);
