//! Which registries are asked, and how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the settings file says of registries, and where the machine keeps what belongs to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// Tried in order before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Hosts (`host` or `host:port`) and networks (`10.0.0.0/8`) that may use plain HTTP or an unknown
    /// certificate. Loopback always may.
    pub insecure_registries: Vec<String>,
    /// The way out; the environment's, unless said otherwise.
    pub proxy: Option<ProxySettings>,
    /// Folders of further authorities and client certificates: `HOST[:PORT]/{*.crt,*.cert,*.key}` each.
    #[serde(skip)]
    pub certificates: Vec<PathBuf>,
    /// The folder of docker's `config.json`; without one no credentials are stored or found.
    #[serde(skip)]
    pub docker_config: Option<PathBuf>,
}

/// Proxies for requests to registries. Never for loopback.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// For `http://` addresses: `http://[user:password@]proxy:port`.
    pub http: String,
    /// For `https://` addresses.
    pub https: String,
    /// Who is asked without it, as in NO_PROXY: hosts, `.domains` and networks, separated by commas.
    pub no_proxy: String,
}

/// Another place that serves a registry's repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Whose repositories it serves: `docker.io` unless said otherwise.
    #[serde(default = "hub")]
    pub of: String,
    /// `https://mirror.example[:port]`, or `http://…`, or a host alone.
    pub url: String,
}

fn hub() -> String {
    "docker.io".into()
}

/// Proxies' addresses may hold passwords.
impl std::fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { http, https, no_proxy } = self.masked();
        f.debug_struct("ProxySettings")
            .field("http", &http)
            .field("https", &https)
            .field("no_proxy", &no_proxy)
            .finish()
    }
}

impl ProxySettings {
    /// What the environment says, in either spelling.
    #[must_use]
    pub fn of_environment() -> Self {
        let read = |names: [&str; 2]| {
            let values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
        };
        Self {
            http: read(["HTTP_PROXY", "http_proxy"]),
            https: read(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: read(["NO_PROXY", "no_proxy"]),
        }
    }

    /// For people to see: without names and passwords (moby's `MaskCredentials`).
    #[must_use]
    pub fn masked(&self) -> Self {
        let mask = |text: &str| match reqwest::Url::parse(text) {
            Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
                // An address that cannot have them has none.
                let _ = url.set_username("xxxxx");
                let _ = url.set_password(Some("xxxxx"));
                url.to_string().trim_end_matches('/').to_owned()
            }
            // Without a scheme it does not parse, or as something else.
            _ if text.contains('@') => "xxxxx".to_owned(),
            _ => text.to_owned(),
        };
        Self { http: mask(&self.http), https: mask(&self.https), no_proxy: self.no_proxy.clone() }
    }
}

impl RegistrySettings {
    /// The proxies that count.
    #[must_use]
    pub fn proxies(&self) -> ProxySettings {
        self.proxy.clone().unwrap_or_else(ProxySettings::of_environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_and_defaults_filled() {
        let settings: RegistrySettings =
            serde_json::from_str(r#"{"mirrors":[{"url":"http://m:5000"}],"proxy":{"https":"http://p:1"}}"#)
                .unwrap();
        assert_eq!(settings.mirrors[0].of, "docker.io");
        assert_eq!(settings.proxies().https, "http://p:1");
        assert_eq!(settings.proxies().http, "");
        assert!(serde_json::from_str::<RegistrySettings>(r#"{"miror":[]}"#).is_err());
        assert!(serde_json::from_str::<RegistrySettings>(r#"{"proxy":{"ftp":""}}"#).is_err());
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let proxy = |text: &str| ProxySettings { http: text.into(), ..Default::default() };
        assert_eq!(proxy("http://me:secret@p:3128").masked().http, "http://xxxxx:xxxxx@p:3128");
        assert_eq!(proxy("http://p:3128").masked().http, "http://p:3128");
        assert_eq!(proxy("me:secret@p:3128").masked().http, "xxxxx");
        assert!(!format!("{:?}", proxy("http://me:secret@p:3128")).contains("secret"));
    }
}
