//! docker's `config.json`: which credentials it holds, and who holds the others. All else in it stays
//! as it is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Entry, KeychainError};

const LIMIT_BYTES: u64 = 4 << 20;

/// The file as it was read.
#[derive(Default)]
pub(super) struct Config {
    path: PathBuf,
    fields: Map<String, Value>,
    new: bool,
}

impl Config {
    pub(super) fn read(folder: &Path) -> Result<Self, KeychainError> {
        let path = folder.join("config.json");
        let file = |source| KeychainError::File { path: path.clone(), source };
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LIMIT_BYTES => {
                return Err(file(io::Error::other(format!("larger than {LIMIT_BYTES} bytes"))));
            }
            Ok(_) => fs::read(&path).map_err(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file(error)),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { path, fields: Map::new(), new: bytes.is_empty() });
        }
        let parsed = serde_json::from_slice(&bytes).map_err(|error| KeychainError::Malformed {
            path: path.clone(),
            detail: format!("line {}, column {}: not JSON", error.line(), error.column()),
        })?;
        match parsed {
            Value::Object(fields) => Ok(Self { path, fields, new: false }),
            _ => Err(KeychainError::Malformed { path, detail: "not a JSON object".into() }),
        }
    }

    /// Whether there is no file yet.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Who keeps the credentials for `server`, when it is not this file.
    pub(super) fn helper_for(&self, server: &str) -> Option<&str> {
        let of_server = self.fields.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
            let matching = helpers.iter().find(|(key, _)| same_server(key, server))?;
            matching.1.as_str()
        });
        of_server.filter(|name| !name.is_empty()).or_else(|| self.helper_for_all())
    }

    /// Who keeps what has no keeper of its own.
    pub(super) fn helper_for_all(&self) -> Option<&str> {
        self.fields.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Servers with a keeper of their own, and who that is.
    pub(super) fn helpers(&self) -> impl Iterator<Item = (&str, &str)> {
        let helpers = self.fields.get("credHelpers").and_then(Value::as_object);
        helpers.into_iter().flatten().filter_map(|(server, name)| Some((server.as_str(), name.as_str()?)))
    }

    /// Servers that this file has an entry for, be it that a helper keeps the secret.
    pub(super) fn servers(&self) -> impl Iterator<Item = &str> {
        let auths = self.fields.get("auths").and_then(Value::as_object);
        auths.into_iter().flatten().map(|(server, _)| server.as_str())
    }

    /// What this file itself holds for `server`: under its own name, or an old one with the same host.
    pub(super) fn entry(&self, server: &str) -> Option<Entry> {
        let auths = self.fields.get("auths")?.as_object()?;
        let auth =
            auths.get(server).or_else(|| Some(auths.iter().find(|(key, _)| same_server(key, server))?.1))?;
        let text = |name: &str| auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Some(Entry { user: Entry::TOKEN.to_owned(), secret: token.to_owned() });
        }
        if let Some(both) = text("auth") {
            let decoded = String::from_utf8(STANDARD.decode(both.trim()).ok()?).ok()?;
            let (user, secret) = decoded.split_once(':')?;
            return Some(Entry { user: user.to_owned(), secret: secret.trim_matches('\0').to_owned() });
        }
        let (user, secret) = (text("username")?, text("password")?);
        Some(Entry { user: user.to_owned(), secret: secret.to_owned() })
    }

    pub(super) fn put(&mut self, server: &str, entry: &Entry) {
        let auth = if entry.user == Entry::TOKEN {
            json!({ "auth": STANDARD.encode(":"), "identitytoken": entry.secret })
        } else {
            json!({ "auth": STANDARD.encode(format!("{}:{}", entry.user, entry.secret)) })
        };
        self.auths().insert(server.to_owned(), auth);
    }

    /// A helper has it: docker marks that by an empty entry. A new file names the helper for all.
    pub(super) fn kept_elsewhere(&mut self, server: &str, helper: &str) {
        self.auths().insert(server.to_owned(), json!({}));
        if self.helper_for(server).is_none() {
            self.fields.insert("credsStore".to_owned(), json!(helper));
        }
    }

    /// Whether there was an entry.
    pub(super) fn remove(&mut self, server: &str) -> bool {
        let auths = self.auths();
        let before = auths.len();
        auths.retain(|key, _| !same_server(key, server));
        auths.len() != before
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.fields.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("made an object just now")
    }

    /// Replaces the file, readable by its owner alone; a link stays a link.
    pub(super) fn write(&self) -> Result<(), KeychainError> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let file = |source| KeychainError::File { path: self.path.clone(), source };
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(file)?;
        // 0600 on unix by its making.
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(file)?;
        let mut text = Vec::new();
        let indented = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
        serde::Serialize::serialize(&self.fields, &mut serializer).map_err(|error| file(error.into()))?;
        new.write_all(&text).map_err(file)?;
        new.as_file().sync_all().map_err(file)?;
        new.persist(&target).map_err(|error| file(error.error))?;
        Ok(())
    }
}

/// Whether two names mean one server (docker's `ConvertToHostname`).
fn same_server(a: &str, b: &str) -> bool {
    fn host(text: &str) -> &str {
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        text.split('/').next().unwrap_or(text)
    }
    host(a) == host(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::keychain::HUB_SERVER;

    fn config(text: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), text).unwrap();
        let config = Config::read(dir.path()).unwrap();
        (dir, config)
    }

    fn user_and_secret(config: &Config, server: &str) -> Option<(String, String)> {
        config.entry(server).map(|entry| (entry.user, entry.secret))
    }

    #[test]
    fn entries_in_all_spellings_are_found() {
        let both = STANDARD.encode("me:se:cret");
        let (_dir, config) = config(&format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{both}"}},"http://old:5000/v1/":{{"auth":"{both}"}},
                "t":{{"auth":"{both}","identitytoken":"tok"}},"plain":{{"username":"u","password":"p"}},
                "empty":{{}},"odd":{{"auth":"!"}},"odder":7}}}}"#
        ));
        let expected = Some(("me".to_owned(), "se:cret".to_owned()));
        assert_eq!(user_and_secret(&config, HUB_SERVER), expected);
        assert_eq!(user_and_secret(&config, "old:5000"), expected);
        assert_eq!(user_and_secret(&config, "t"), Some(("<token>".into(), "tok".into())));
        assert_eq!(user_and_secret(&config, "plain"), Some(("u".into(), "p".into())));
        for none in ["empty", "odd", "odder", "old:5001", "other"] {
            assert_eq!(user_and_secret(&config, none), None, "{none}");
        }
    }

    #[test]
    fn helpers_are_chosen_by_server_then_for_all() {
        let (_dir, config) = config(r#"{"credsStore":"all","credHelpers":{"gcr.io":"gcr"}}"#);
        assert_eq!(config.helper_for("gcr.io"), Some("gcr"));
        assert_eq!(config.helper_for("other"), Some("all"));
        let (_dir, config) = super::tests::config(r#"{"credsStore":""}"#);
        assert_eq!(config.helper_for("other"), None);
    }

    #[test]
    fn the_rest_of_the_file_stays() {
        let (dir, mut config) = config(r#"{"psFormat":"x","auths":{"b":{"auth":"eDp5"}}}"#);
        config.put("a:5000", &Entry { user: "u".into(), secret: "p".into() });
        config.write().unwrap();
        let path = dir.path().join("config.json");
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["psFormat"], "x");
        assert_eq!(read["auths"]["b"]["auth"], "eDp5");
        assert_eq!(read["auths"]["a:5000"]["auth"], STANDARD.encode("u:p"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mut config = Config::read(dir.path()).unwrap();
        assert!(config.remove("a:5000") && !config.remove("a:5000"));
    }

    #[test]
    fn a_file_that_is_no_json_is_named_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        for text in [r#"{"auths":{"a":{"auth":"c2VjcmV0"#, "[]"] {
            fs::write(dir.path().join("config.json"), text).unwrap();
            let error = Config::read(dir.path()).err().unwrap().to_string();
            assert!(error.contains("config.json") && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}
