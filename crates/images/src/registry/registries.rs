//! What all sessions share: settings, clients, tokens.

use std::sync::{Arc, PoisonError, RwLock};

use super::client::Clients;
use super::token::Tokens;
use crate::RegistrySettings;

/// The registries of this machine, as the settings have them.
#[derive(Debug)]
pub(crate) struct Registries(RwLock<Arc<Present>>);

/// One state of the settings, and what was made by it.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) settings: RegistrySettings,
    pub(crate) clients: Clients,
    pub(crate) tokens: Arc<Tokens>,
}

impl Registries {
    pub(crate) fn new(settings: RegistrySettings) -> Self {
        let present = Present { settings, clients: Clients::default(), tokens: Arc::default() };
        Self(RwLock::new(Arc::new(present)))
    }

    pub(crate) fn present(&self) -> Arc<Present> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes new settings; sessions that run keep theirs.
    pub(crate) fn set(&self, settings: RegistrySettings) {
        let mut present = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if present.settings != settings {
            let tokens = Arc::clone(&present.tokens);
            *present = Arc::new(Present { settings, clients: Clients::default(), tokens });
        }
    }
}
