//! Who asks a registry, and how that is proved.

use std::fmt;

/// What a client sent along as proof (`X-Registry-Auth`), or what is stored for a registry.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// Nothing was sent: what is stored on this machine counts, if there is anything.
    #[default]
    Anonymous,
    /// A name and a password or access token.
    Basic {
        /// The account.
        user: String,
        /// Its secret.
        password: String,
    },
    /// A refresh token (OAuth2), to be exchanged for bearer tokens.
    IdentityToken(String),
    /// A bearer token, to be shown as it is.
    RegistryToken(String),
}

/// Never the secret: this ends up in logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::RegistryToken(_) => "RegistryToken(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for credentials in [
            Credentials::Basic { user: "me".into(), password: "secret".into() },
            Credentials::IdentityToken("secret".into()),
            Credentials::RegistryToken("secret".into()),
        ] {
            assert!(!format!("{credentials:?}").contains("secret"));
        }
    }
}
