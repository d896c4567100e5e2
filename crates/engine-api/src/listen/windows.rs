//! A named pipe; its default security descriptor admits its owner, administrators and the system.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::ReadHalf;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

use super::BindError;

/// One client.
pub type Connection = NamedPipeServer;

/// Accepts clients.
#[derive(Debug)]
pub struct Listener {
    /// The instance that the next client gets: there always is one, so that no client finds no pipe.
    next: NamedPipeServer,
    path: PathBuf,
}

impl Listener {
    /// Creates the pipe (`\\.\pipe\coracle`).
    ///
    /// # Errors
    /// [`BindError`], naming the pipe.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let next = options().first_pipe_instance(true).create(path).map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                BindError::InUse(path.to_owned())
            } else {
                BindError::Io { path: path.to_owned(), source }
            }
        })?;
        Ok(Self { next, path: path.to_owned() })
    }

    /// The next client.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        self.next.connect().await?;
        let next = options().create(&self.path)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

fn options() -> ServerOptions {
    let mut options = ServerOptions::new();
    options.reject_remote_clients(true);
    options
}

/// A pipe has no half-closed state that we can see: writing tells.
pub(crate) async fn hung_up(_read: &ReadHalf<NamedPipeServer>) {
    std::future::pending::<()>().await;
}
