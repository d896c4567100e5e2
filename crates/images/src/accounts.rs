//! What the store does about registries besides pulling and pushing: settings, logins, sessions.

use types::Reference;

use crate::registry::{Access, Session};
use crate::{Account, Credentials, KeychainError, LoginError, RegistrySettings, Store};

impl Store {
    /// Takes new settings; what runs goes on with those that it began with.
    pub fn set_registries(&self, settings: RegistrySettings) {
        self.registries().set(settings);
    }

    /// The settings as they are.
    #[must_use]
    pub fn registry_settings(&self) -> RegistrySettings {
        self.registries().present().settings.clone()
    }

    /// Whether a registry takes these credentials. `server` is what Docker's clients call it: a host, an
    /// address, nothing for Docker Hub. The answer is the identity token that the registry gives in place
    /// of the password, if it does.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(&self, server: &str, credentials: &Credentials) -> Result<Option<String>, LoginError> {
        self.registries().login(server, credentials).await
    }

    /// Keeps credentials where docker's own client keeps them: with its credential helper, or in its
    /// `config.json`.
    ///
    /// # Errors
    /// [`KeychainError`].
    pub async fn remember(&self, server: &str, credentials: &Credentials) -> Result<(), KeychainError> {
        self.registries().remember(server, credentials).await
    }

    /// The accounts that are kept on this machine for registries, without their secrets.
    ///
    /// # Errors
    /// [`KeychainError`].
    pub async fn accounts(&self) -> Result<Vec<Account>, KeychainError> {
        self.registries().accounts().await
    }

    /// Forgets what is kept for a registry, and every token that was had with it.
    ///
    /// # Errors
    /// [`KeychainError`].
    pub async fn forget(&self, server: &str) -> Result<(), KeychainError> {
        self.registries().forget(server).await
    }

    /// A session with a reference's repository.
    pub(crate) fn session(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        access: Access,
    ) -> Session {
        Session::new(reference, self.registries().present(), credentials, access)
    }
}
