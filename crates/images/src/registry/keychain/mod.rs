//! Credentials that are stored on this machine, where docker's own client stores them too.
//!
//! ```text
//! find:   config.json credHelpers[server] ─► credsStore ─► auths ─► the system's helper, if installed
//! store:  the helper that find asks first, else config.json (0600)
//! ```
//!
//! The system's keychain is reached through docker's helpers (`docker-credential-secretservice`,
//! `-osxkeychain`, `-wincred`), which is what makes one login count for both clients.

mod config;
mod helper;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Credentials;
use config::Config;
use helper::Helper;

/// What the Hub is called where credentials are kept.
pub(crate) const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Why credentials were not stored or erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// There is no place for them.
    #[error("no folder for docker's config.json is known")]
    NoFolder,
    /// The file.
    #[error("{}: {source}", path.display())]
    File {
        /// docker's config.json.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what docker writes.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// docker's config.json.
        path: PathBuf,
        /// What is wrong; never the file's text.
        detail: String,
    },
    /// The credential helper failed.
    #[error("{program}: {detail}")]
    Helper {
        /// Which helper.
        program: String,
        /// Its own words, or why it was not heard.
        detail: String,
    },
}

/// An account that is kept; its secret is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The registry as it is kept: `docker.io`, `host[:port]`, or an address.
    pub server: String,
    /// Whose it is, where that is known without opening a keychain.
    pub user: Option<String>,
    /// The credential helper that keeps it; none when it stands in docker's config.json.
    pub helper: Option<String>,
}

/// What is kept for a server: the account and its secret.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    user: String,
    secret: String,
}

impl Entry {
    /// docker's mark for a secret that is an identity token.
    const TOKEN: &str = "<token>";

    fn credentials(self) -> Option<Credentials> {
        if self.secret.is_empty() {
            return None;
        }
        Some(if self.user == Self::TOKEN {
            Credentials::IdentityToken(self.secret)
        } else {
            Credentials::Basic { user: self.user, password: self.secret }
        })
    }
}

/// The name under which credentials for a registry are kept.
pub(crate) fn server_of(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB_SERVER,
        other => other,
    }
}

/// What is stored for a registry (`docker.io`, `host[:port]`). Whatever fails is logged, and then
/// nothing is stored: the registry says what it thinks of that.
pub(crate) async fn find(folder: Option<&Path>, registry: &str) -> Option<Credentials> {
    let server = server_of(registry);
    let config = match folder.map(Config::read).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "stored credentials are not used");
            return None;
        }
    };
    let (helper, chosen) = match config.helper_for(server) {
        Some(name) => (Helper::named(name), true),
        None => (folder.and_then(|_| Helper::of_the_system()), false),
    };
    if !chosen && let Some(entry) = config.entry(server) {
        return entry.credentials();
    }
    match helper?.get(server).await {
        Ok(Some(entry)) => entry.credentials(),
        // As docker does: what the file says counts where the helper knows nothing.
        Ok(None) => config.entry(server).and_then(Entry::credentials),
        Err(error) => {
            tracing::warn!(%error, server, "stored credentials are not used");
            None
        }
    }
}

/// The accounts that [`find`] would find, each once.
pub(crate) async fn list(folder: Option<&Path>) -> Result<Vec<Account>, KeychainError> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let config = Config::read(folder)?;
    let mut accounts = BTreeMap::new();
    let mut add = |server: &str, user: Option<String>, helper: Option<&str>| {
        let server = if server == HUB_SERVER { "docker.io" } else { server };
        let user = user.filter(|user| !user.is_empty() && user != Entry::TOKEN);
        let account = Account { server: server.to_owned(), user, helper: helper.map(str::to_owned) };
        accounts.entry(account.server.clone()).or_insert(account);
    };
    for server in config.servers() {
        if let Some(entry) = config.entry(server) {
            add(server, Some(entry.user), None);
        }
    }
    for (server, name) in config.helpers() {
        add(server, None, Some(name));
    }
    let (helper, chosen) = match config.helper_for_all() {
        Some(name) => (Helper::named(name), true),
        None => (Helper::of_the_system(), false),
    };
    if let Some(helper) = helper {
        match helper.list().await {
            Ok(kept) => {
                for (server, user) in kept {
                    add(&server, Some(user), Some(helper.name()));
                }
            }
            Err(error) if chosen => return Err(error),
            // Nobody said that it keeps anything.
            Err(error) => tracing::warn!(%error, "the system's keychain is not listed"),
        }
    }
    Ok(accounts.into_values().collect())
}

/// Stores credentials for a registry.
pub(crate) async fn store(
    folder: Option<&Path>,
    registry: &str,
    credentials: &Credentials,
) -> Result<(), KeychainError> {
    let (user, secret) = match credentials {
        Credentials::Basic { user, password } => (user.clone(), password.clone()),
        Credentials::IdentityToken(token) => (Entry::TOKEN.to_owned(), token.clone()),
        Credentials::Anonymous | Credentials::RegistryToken(_) => return Ok(()),
    };
    let (server, entry) = (server_of(registry), Entry { user, secret });
    let folder = folder.ok_or(KeychainError::NoFolder)?;
    let mut config = Config::read(folder)?;
    let helper = match config.helper_for(server) {
        Some(name) => Helper::named(name),
        None if config.is_new() => Helper::of_the_system(),
        None => None,
    };
    match helper {
        Some(helper) => {
            helper.store(server, &entry).await?;
            config.kept_elsewhere(server, helper.name());
        }
        None => config.put(server, &entry),
    }
    config.write()
}

/// Forgets what is stored for a registry; that there is nothing is no error.
pub(crate) async fn erase(folder: Option<&Path>, registry: &str) -> Result<(), KeychainError> {
    let server = server_of(registry);
    let folder = folder.ok_or(KeychainError::NoFolder)?;
    let mut config = Config::read(folder)?;
    if let Some(helper) = config.helper_for(server).and_then(Helper::named) {
        helper.erase(server).await?;
    }
    if config.remove(server) { config.write() } else { Ok(()) }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
