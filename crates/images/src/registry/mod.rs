//! The client of the distribution specification (`distribution-spec`), as far as pulling, pushing and
//! logging in go.
//!
//! ```text
//! Registries (settings, clients, tokens) ─► Session: one repository ─► endpoints: mirrors in order, the registry
//!                                                     │ 401                  │ which client: trust, certs.d, proxy
//!                                                     └► challenge ─► keychain, token ─► once more
//! ```
//!
//! A [`Session`] is one repository during one pull or push: it knows where to ask, what to show as proof,
//! when to ask again, and turns answers into Docker's errors. Secrets are in [`Credentials`] and [`token`]
//! alone, neither of which shows them.
//!
//! Must not know: the store, layers' contents, progress.

mod answer;
mod certificates;
mod challenge;
mod client;
mod credentials;
mod endpoint;
mod keychain;
mod login;
mod manifest;
mod registries;
mod retry;
mod send;
mod session;
mod tags;
mod token;
mod trust;

pub(crate) use answer::{Said, limited, said};
pub use credentials::Credentials;
pub use keychain::{Account, KeychainError};
pub use login::LoginError;
pub(crate) use manifest::{DescribedPlatform, Descriptor, Document, compression_supported};
pub(crate) use registries::Registries;
pub(crate) use send::{Call, Payload};
pub(crate) use session::{Access, Fetched, MANIFEST_LIMIT_BYTES, Session};

use self::login::registry_of;

impl Registries {
    /// Whether the registry that `server` means takes these credentials; the identity token that it gives
    /// in place of the password, if it does.
    pub(crate) async fn login(
        &self,
        server: &str,
        credentials: &Credentials,
    ) -> Result<Option<String>, LoginError> {
        login::login(&self.present(), &registry_of(server)?, credentials).await
    }

    /// Keeps credentials where docker's client keeps them.
    pub(crate) async fn remember(
        &self,
        server: &str,
        credentials: &Credentials,
    ) -> Result<(), KeychainError> {
        let present = self.present();
        let registry = registry_of(server).unwrap_or_else(|_| server.to_owned());
        keychain::store(present.settings.docker_config.as_deref(), &registry, credentials).await
    }

    /// The accounts that are kept.
    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, KeychainError> {
        keychain::list(self.present().settings.docker_config.as_deref()).await
    }

    /// Forgets them, and every token that was had with them.
    pub(crate) async fn forget(&self, server: &str) -> Result<(), KeychainError> {
        let present = self.present();
        let registry = registry_of(server).unwrap_or_else(|_| server.to_owned());
        present.tokens.clear();
        keychain::erase(present.settings.docker_config.as_deref(), &registry).await
    }
}
