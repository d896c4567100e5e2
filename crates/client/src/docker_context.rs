//! A context for docker's own client, written where that client keeps its own: `contexts/meta/<sha256 of the name>/meta.json`
//! below its configuration folder, and the choice of one in `config.json` there. No call to coracled, no docker program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::Endpoint;

/// What our context is called.
pub const NAME: &str = "coracle";
/// What the client calls no choice.
const DEFAULT: &str = "default";

/// How docker's client and this Coracle stand to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct DockerContext {
    /// There is a context of our name.
    pub installed: bool,
    /// It leads to this Coracle, not to another state folder's.
    pub leads_here: bool,
    /// Where this Coracle answers, as docker's client writes it.
    pub host: String,
    /// The client's choice; `default` where it has made none.
    pub current: String,
    /// The variable DOCKER_HOST, which wins over every context.
    pub docker_host: Option<String>,
    /// A plain `docker ps` reaches this Coracle.
    pub in_use: bool,
}

/// Why docker's configuration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no place for it.
    #[error("no home folder; set DOCKER_CONFIG")]
    NoHome,
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// docker's `config.json` is broken; we do not write over it.
    #[error("{} is not understood: {source}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// How things stand.
pub fn state(endpoint: &Endpoint) -> Result<DockerContext, ContextError> {
    Place::of_environment()?.state(endpoint)
}

/// Writes the context, in place of an older one of ours.
pub fn install(endpoint: &Endpoint) -> Result<(), ContextError> {
    Place::of_environment()?.install(endpoint)
}

/// Makes the context docker's current one, as `docker context use` does. It must be installed.
pub fn select() -> Result<(), ContextError> {
    Place::of_environment()?.select()
}

/// Removes the context, and the client's choice of it. False when there was none.
pub fn remove() -> Result<bool, ContextError> {
    Place::of_environment()?.remove()
}

/// The client's configuration folder and what of the environment it heeds.
struct Place {
    folder: PathBuf,
    docker_host: Option<String>,
    docker_context: Option<String>,
}

impl Place {
    fn of_environment() -> Result<Self, ContextError> {
        let folder = match env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => dirs::home_dir().ok_or(ContextError::NoHome)?.join(".docker"),
        };
        let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self { folder, docker_host: said("DOCKER_HOST"), docker_context: said("DOCKER_CONTEXT") })
    }

    fn context(&self) -> PathBuf {
        self.folder.join("contexts/meta").join(hex::encode(Sha256::digest(NAME)))
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    fn state(&self, endpoint: &Endpoint) -> Result<DockerContext, ContextError> {
        let host = endpoint.docker_host();
        let meta = read(&self.context().join("meta.json"))?;
        let leads_to = meta.as_ref().and_then(|meta| meta["Endpoints"]["docker"]["Host"].as_str());
        let leads_here = leads_to == Some(&host);
        let config = read(&self.config())?.unwrap_or_default();
        let chosen = self.docker_context.as_deref().or_else(|| config["currentContext"].as_str());
        let current = chosen.filter(|name| !name.is_empty()).unwrap_or(DEFAULT).to_owned();
        let in_use = match &self.docker_host {
            Some(variable) => *variable == host,
            None => current == NAME && leads_here,
        };
        let docker_host = self.docker_host.clone();
        Ok(DockerContext { installed: meta.is_some(), leads_here, host, current, docker_host, in_use })
    }

    fn install(&self, endpoint: &Endpoint) -> Result<(), ContextError> {
        let meta = json!({
            "Name": NAME,
            "Metadata": { "Description": "Coracle" },
            "Endpoints": { "docker": { "Host": endpoint.docker_host(), "SkipTLSVerify": false } },
        });
        write(&self.context().join("meta.json"), meta.to_string().as_bytes())
    }

    fn select(&self) -> Result<(), ContextError> {
        self.choose(Some(NAME))
    }

    fn remove(&self) -> Result<bool, ContextError> {
        let folder = self.context();
        let removed = match fs::remove_dir_all(&folder) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(ContextError::File { path: folder, source }),
        };
        // A choice of what is not there makes every docker command fail.
        let config = read(&self.config())?.unwrap_or_default();
        if config["currentContext"] == NAME {
            self.choose(None)?;
        }
        Ok(removed)
    }

    /// Changes one field of the client's configuration and keeps all others.
    fn choose(&self, name: Option<&str>) -> Result<(), ContextError> {
        let path = self.config();
        let mut config = match read(&path)? {
            Some(Value::Object(config)) => config,
            _ => Map::new(),
        };
        match name {
            Some(name) => config.insert("currentContext".into(), name.into()),
            None => config.remove("currentContext"),
        };
        let text = format!("{:#}\n", Value::Object(config));
        // It may be a link into a folder of dotfiles, and may hold logins.
        write(&path.canonicalize().unwrap_or(path), text.as_bytes())
    }
}

fn read(path: &Path) -> Result<Option<Value>, ContextError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| ContextError::Broken { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ContextError::File { path: path.to_owned(), source }),
    }
}

/// Whole or not at all, for this user alone.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ContextError> {
    let failed = |source| ContextError::File { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &tempfile::TempDir) -> Place {
        Place { folder: dir.path().join("docker"), docker_host: None, docker_context: None }
    }

    fn here() -> Endpoint {
        Endpoint::at(if cfg!(windows) { r"C:\h" } else { "/h" }).unwrap()
    }

    #[test]
    fn from_nothing_to_in_use_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(&dir);
        let before = place.state(&here()).unwrap();
        assert_eq!((before.installed, before.current.as_str(), before.in_use), (false, "default", false));
        place.install(&here()).unwrap();
        let installed = place.state(&here()).unwrap();
        assert!(installed.installed && installed.leads_here && !installed.in_use);
        fs::write(place.config(), r#"{"auths":{"r":{"auth":"x"}},"currentContext":"desktop-linux"}"#)
            .unwrap();
        assert_eq!(place.state(&here()).unwrap().current, "desktop-linux");
        place.select().unwrap();
        assert!(place.state(&here()).unwrap().in_use);
        let config = read(&place.config()).unwrap().unwrap();
        assert_eq!(config["auths"]["r"]["auth"], "x", "logins stay");
        assert!(place.remove().unwrap());
        assert!(!place.remove().unwrap());
        let after = place.state(&here()).unwrap();
        assert_eq!((after.installed, after.current.as_str()), (false, "default"));
    }

    #[cfg(unix)]
    #[test]
    fn another_folders_context_is_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(&dir);
        place.install(&Endpoint::at("/elsewhere").unwrap()).unwrap();
        place.select().unwrap();
        let state = place.state(&here()).unwrap();
        assert!(state.installed && !state.leads_here && !state.in_use);
    }

    #[test]
    fn the_variable_wins() {
        let dir = tempfile::tempdir().unwrap();
        let host = here().docker_host();
        let with = |host: &str| Place { docker_host: Some(host.to_owned()), ..place(&dir) };
        assert!(with(&host).state(&here()).unwrap().in_use);
        assert!(!with("tcp://elsewhere:2375").state(&here()).unwrap().in_use);
        let named = Place { docker_context: Some("other".into()), ..place(&dir) };
        assert_eq!(named.state(&here()).unwrap().current, "other");
    }

    #[test]
    fn a_broken_configuration_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(&dir);
        place.install(&here()).unwrap();
        fs::write(place.config(), "{").unwrap();
        assert!(matches!(place.select().unwrap_err(), ContextError::Broken { .. }));
        assert_eq!(fs::read_to_string(place.config()).unwrap(), "{");
    }
}
