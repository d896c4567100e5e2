//! `WWW-Authenticate: Bearer …` and the token that answers it (distribution, "Token Authentication").

use serde::Deserialize;

/// What a registry asks for with a 401.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

impl Bearer {
    /// Reads the header; nothing for any other scheme.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut bearer = Self::default();
        while let Some((key, after)) = rest.split_once('=') {
            let key = key.trim_matches([' ', ',']);
            let (value, tail) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            match key.to_ascii_lowercase().as_str() {
                "realm" => value.clone_into(&mut bearer.realm),
                "service" => bearer.service = Some(value.to_owned()),
                "scope" => bearer.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = tail;
        }
        (!bearer.realm.is_empty()).then_some(bearer)
    }
}

/// The token server's answer.
#[derive(Deserialize)]
pub(crate) struct TokenReply {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenReply {
    pub(crate) fn token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_known_registries() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull",error="invalid_token""#;
        assert_eq!(
            Bearer::parse(hub),
            Some(Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:library/busybox:pull".into()),
            })
        );
        let spaced = Bearer::parse(r#"bearer realm="http://a/t", scope="repository:a:pull,push""#);
        assert_eq!(spaced.and_then(|b| b.scope).as_deref(), Some("repository:a:pull,push"));
        for other in [r#"Basic realm="x""#, "Bearer", "Bearer service=\"x\"", "Bearer realm=\"open", ""] {
            assert_eq!(Bearer::parse(other), None, "{other}");
        }
    }
}
