//! `WWW-Authenticate`: how a registry wants to be shown who asks (RFC 9110 section 11.6.1; distribution,
//! "Token Authentication"). Hostile input.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry asks for with a 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from a service.
    Bearer(Bearer),
    /// Something that we do not have; the scheme's name.
    Other(String),
}

/// Where a token is to be had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
    /// Why the last one was refused (RFC 6750 section 3.1).
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// The challenge to answer: tokens before passwords, both before what we do not have.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<Self> = values.flat_map(parse).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Self::Bearer(_)));
        let basic = || all.iter().find(|challenge| matches!(challenge, Self::Basic));
        bearer.or_else(basic).or_else(|| all.first()).cloned()
    }
}

/// All challenges of one header.
fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word_bytes = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_bytes);
        if word.is_empty() {
            break;
        }
        let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            challenges.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
            continue;
        };
        let Some((value, tail)) = value_of(value.trim_start_matches([' ', '\t'])) else { break };
        if let Some((_, parameters)) = challenges.last_mut() {
            parameters.push((word.to_ascii_lowercase(), value));
        }
        rest = tail;
    }
    challenges.into_iter().filter_map(|(scheme, parameters)| challenge(scheme, parameters)).collect()
}

/// A token, or a quoted text with its escapes; nothing when it is not closed.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn challenge(scheme: String, parameters: Vec<(String, String)>) -> Option<Challenge> {
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let mut bearer = Bearer::default();
            for (name, value) in parameters {
                match name.as_str() {
                    "realm" => bearer.realm = value,
                    "service" => bearer.service = Some(value),
                    "scope" => bearer.scope = Some(value),
                    "error" => bearer.error = Some(value),
                    _ => {}
                }
            }
            (!bearer.realm.is_empty()).then_some(Challenge::Bearer(bearer))
        }
        _ => Some(Challenge::Other(scheme)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>, error: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer(Bearer {
            realm: realm.into(),
            service: owned(service),
            scope: owned(scope),
            error: owned(error),
        })
    }

    #[test]
    fn challenges_of_known_registries() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull",error="invalid_token""#;
        assert_eq!(
            of(&[hub]),
            Some(bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/busybox:pull"),
                Some("invalid_token")
            ))
        );
        let spaced = of(&[r#"bearer realm="http://a/t", scope="repository:a:pull,push""#]);
        assert_eq!(spaced, Some(bearer("http://a/t", None, Some("repository:a:pull,push"), None)));
        assert_eq!(of(&[r#"Basic realm="Registry Realm""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Negotiate"]), Some(Challenge::Other("negotiate".into())));
    }

    #[test]
    fn tokens_come_before_passwords() {
        let expected = Some(bearer("http://a", None, None, None));
        assert_eq!(of(&[r#"Basic realm="x", Bearer realm="http://a""#]), expected);
        assert_eq!(of(&["Negotiate", r#"Basic realm="x""#, "Bearer realm=http://a"]), expected);
        assert_eq!(of(&[r#"Negotiate, Basic realm="x""#]), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for text in ["Bearer", "Bearer service=\"x\"", "Bearer realm=\"open", "", ",,,", "=", "realm=\"x\""] {
            assert!(!matches!(of(&[text]), Some(Challenge::Bearer(_) | Challenge::Basic)), "{text}");
        }
        assert_eq!(of(&[r#"Bearer realm="a\"b""#]), Some(bearer("a\"b", None, None, None)));
    }
}
