//! Which registries are asked, and how.

use serde::{Deserialize, Serialize};

/// The `registry` section of the settings file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// Tried in order before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Hosts (`host` or `host:port`) that may use plain HTTP or an unknown certificate. Loopback always may.
    pub insecure_registries: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_and_defaults_filled() {
        let settings: RegistrySettings =
            serde_json::from_str(r#"{"mirrors":[{"url":"http://m:5000"}]}"#).unwrap();
        assert_eq!(settings.mirrors[0].of, "docker.io");
        assert!(serde_json::from_str::<RegistrySettings>(r#"{"miror":[]}"#).is_err());
    }
}
