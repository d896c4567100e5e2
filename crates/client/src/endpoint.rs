//! Where a user's coracled lives and answers. No I/O.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variable that names the state folder.
const HOME_VARIABLE: &str = "CORACLE_HOME";
#[cfg(windows)]
const PIPE: &str = r"\\.\pipe\coracle";

/// A state folder and the address of the service that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    home: PathBuf,
}

/// Why no state folder could be named.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The platform has no data folder for this user.
    #[error("this user has no data folder; set {HOME_VARIABLE} to a folder that Coracle may own")]
    NoDataFolder,
    /// A relative folder would mean another place to each program that reads it.
    #[error("{HOME_VARIABLE} must be an absolute path, not {0}")]
    Relative(PathBuf),
}

impl Endpoint {
    /// The endpoint that the environment names: `$CORACLE_HOME`, else the platform's data folder.
    pub fn from_env() -> Result<Self, EndpointError> {
        Self::resolve(env::var_os(HOME_VARIABLE), dirs::data_dir())
    }

    fn resolve(variable: Option<OsString>, data_dir: Option<PathBuf>) -> Result<Self, EndpointError> {
        match variable.filter(|value| !value.is_empty()) {
            Some(home) => Self::at(home),
            None => data_dir.ok_or(EndpointError::NoDataFolder).and_then(|dir| Self::at(dir.join("coracle"))),
        }
    }

    /// The endpoint of the service whose state is in `home`.
    pub fn at(home: impl Into<PathBuf>) -> Result<Self, EndpointError> {
        let home = home.into();
        if home.is_absolute() { Ok(Self { home }) } else { Err(EndpointError::Relative(home)) }
    }

    /// The state folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The socket file, or the named pipe on Windows.
    #[cfg(not(windows))]
    pub fn socket(&self) -> PathBuf {
        self.home.join("run/docker.sock")
    }

    /// The socket file, or the named pipe on Windows.
    #[cfg(windows)]
    pub fn socket(&self) -> PathBuf {
        PIPE.into()
    }

    /// What `DOCKER_HOST` must be for a docker client to speak to this service.
    #[cfg(not(windows))]
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What `DOCKER_HOST` must be for a docker client to speak to this service.
    #[cfg(windows)]
    pub fn docker_host(&self) -> String {
        format!("npipe://{}", PIPE.replace('\\', "/"))
    }

    /// Whether a VM runs, or may run, without a service that would tell: a coracled that ended leaves it.
    pub fn has_left_vm(&self) -> bool {
        self.home.join("run/vm/vm.json").exists()
    }

    /// The service's log.
    pub fn log_file(&self) -> PathBuf {
        self.home.join("log/coracled.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_an_empty_one_does_not_count() {
        let data = || Some(PathBuf::from(if cfg!(windows) { r"C:\data" } else { "/data" }));
        let named = if cfg!(windows) { r"C:\h" } else { "/h" };
        assert_eq!(Endpoint::resolve(Some(named.into()), data()).unwrap().home(), Path::new(named));
        let default = data().unwrap().join("coracle");
        assert_eq!(Endpoint::resolve(Some("".into()), data()).unwrap().home(), default);
        assert_eq!(Endpoint::resolve(None, data()).unwrap().home(), default);
    }

    #[test]
    fn no_folder_and_a_relative_one_are_refused() {
        assert!(matches!(Endpoint::resolve(None, None), Err(EndpointError::NoDataFolder)));
        assert!(matches!(Endpoint::resolve(Some("state".into()), None), Err(EndpointError::Relative(_))));
    }
}
