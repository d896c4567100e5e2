//! What `/coracle/accounts` tells.

use serde::{Deserialize, Serialize};

/// An account at a registry that is kept on this machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Account {
    /// `docker.io`, `host[:port]`, or an address.
    pub server: String,
    /// Whose it is, where that is known without opening a keychain.
    pub user: Option<String>,
    /// The credential helper that keeps it; none when it stands in docker's config.json.
    pub helper: Option<String>,
}
