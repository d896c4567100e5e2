//! `X-Registry-Auth`: who asks a registry (moby's `registry.DecodeAuthConfig`).
//!
//! As in Docker Engine, a header that cannot be read is as good as none: clients of all ages send odd ones.

use axum::body::Body;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use images::Credentials;
use serde::Deserialize;

use crate::body;
use crate::error::ApiError;

/// Docker's `AuthConfig`. Go writes what is empty either as empty or not at all, others as null.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthConfig {
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
    serveraddress: Option<String>,
}

impl AuthConfig {
    /// What it proves, strongest first, as Docker Engine takes it.
    pub(crate) fn credentials(self) -> Credentials {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.registrytoken) {
            return Credentials::RegistryToken(token);
        }
        if let Some(token) = filled(self.identitytoken) {
            return Credentials::IdentityToken(token);
        }
        match (filled(self.username), filled(self.password)) {
            (None, None) => Credentials::Anonymous,
            (user, password) => {
                Credentials::Basic { user: user.unwrap_or_default(), password: password.unwrap_or_default() }
            }
        }
    }

    /// The registry that is meant, as the client wrote it.
    pub(crate) fn server(&self) -> &str {
        self.serveraddress.as_deref().unwrap_or_default()
    }
}

/// The request's credentials; none when the header is missing or unreadable.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    header(headers).map_or(Credentials::Anonymous, AuthConfig::credentials)
}

/// As [`credentials`]; without the header, of the body that old clients send (`POST /images/{name}/push`).
///
/// # Errors
/// The body is no JSON.
pub(crate) async fn credentials_or_body(headers: &HeaderMap, body: Body) -> Result<Credentials, ApiError> {
    if headers.contains_key(HEADER) {
        return Ok(credentials(headers));
    }
    let sent: AuthConfig = body::json(headers, body).await.map_err(|error| {
        let text = "bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header";
        ApiError::new(error.status, format!("{text}: {}", error.message))
    })?;
    Ok(sent.credentials())
}

const HEADER: &str = "x-registry-auth";

fn header(headers: &HeaderMap) -> Option<AuthConfig> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let json = GeneralPurpose::new(&URL_SAFE, padding).decode(headers.get(HEADER)?.as_bytes()).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_proof_counts() {
        let engine = base64::engine::general_purpose::URL_SAFE;
        let basic =
            |user: &str, password: &str| Credentials::Basic { user: user.into(), password: password.into() };
        for (json, expected) in [
            ("{}", Credentials::Anonymous),
            ("null", Credentials::Anonymous),
            (r#"{"serveraddress":"https://index.docker.io/v1/"}"#, Credentials::Anonymous),
            (r#"{"username":"","password":null}"#, Credentials::Anonymous),
            (r#"{"username":"u","password":"p","email":"e"}"#, basic("u", "p")),
            (r#"{"username":"u","identitytoken":"t"}"#, Credentials::IdentityToken("t".into())),
            (r#"{"identitytoken":"t","registrytoken":"r"}"#, Credentials::RegistryToken("r".into())),
            (r#"{"username":7}"#, Credentials::Anonymous),
            ("garbage", Credentials::Anonymous),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, engine.encode(json).parse().unwrap());
            assert_eq!(credentials(&headers), expected, "{json}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers), Credentials::Anonymous);
        headers.insert(HEADER, "!!".parse().unwrap());
        assert_eq!(credentials(&headers), Credentials::Anonymous);
    }

    #[tokio::test]
    async fn old_clients_send_it_as_the_body() {
        let body = || Body::from(r#"{"username":"u","password":"p"}"#);
        let read = credentials_or_body(&HeaderMap::new(), body()).await.unwrap();
        assert_eq!(read, Credentials::Basic { user: "u".into(), password: "p".into() });
        assert!(credentials_or_body(&HeaderMap::new(), Body::from("{")).await.is_err());
        let error = credentials_or_body(&HeaderMap::new(), Body::empty()).await.unwrap_err();
        assert!(
            error.message.starts_with("bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth")
        );
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, "e30=".parse().unwrap());
        assert_eq!(credentials_or_body(&headers, body()).await.unwrap(), Credentials::Anonymous);
    }
}
