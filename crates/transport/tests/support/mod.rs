//! The pairs of ends that the contract runs over.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Mutex;
use transport::serial::{Duplex, Wire};
use transport::{Transport, memory, serial};

/// Both ends of one transport, and what must live as long as they do.
pub(crate) struct Ends {
    pub(crate) host: Arc<dyn Transport>,
    pub(crate) guest: Arc<dyn Transport>,
    _keep: Option<tempfile::TempDir>,
}

pub(crate) fn memory() -> Ends {
    let (host, guest) = memory::pair();
    Ends { host: Arc::new(host), guest: Arc::new(guest), _keep: None }
}

pub(crate) fn serial() -> Ends {
    let wire = SerialWire::default();
    let (host, guest) = (serial::Host::over(wire.host()), serial::Guest::over(wire.guest()));
    Ends { host: Arc::new(host), guest: Arc::new(guest), _keep: None }
}

/// Like a virtio-serial port: two openings that meet, and outlive each other. What one side has written stays
/// for the other until read; when a side closes, the other's present opening ends.
#[derive(Clone, Default)]
pub(crate) struct SerialWire {
    openings: Arc<Mutex<Openings>>,
}

#[derive(Default)]
struct Openings {
    for_host: Option<DuplexStream>,
    for_guest: Option<DuplexStream>,
    inject: Option<tokio::sync::mpsc::Sender<Vec<u8>>>,
}

pub(crate) struct Side {
    wire: SerialWire,
    host: bool,
}

impl SerialWire {
    pub(crate) fn host(&self) -> Side {
        Side { wire: self.clone(), host: true }
    }

    pub(crate) fn guest(&self) -> Side {
        Side { wire: self.clone(), host: false }
    }

    pub(crate) async fn inject_to_host(&self, bytes: &[u8]) {
        let inject = self.openings.lock().await.inject.clone();
        inject.expect("the wire is open").send(bytes.to_vec()).await.unwrap();
    }
}

#[async_trait]
impl Wire for Side {
    async fn open(&mut self) -> io::Result<Box<dyn Duplex>> {
        let mut openings = self.wire.openings.lock().await;
        let waiting = if self.host { openings.for_host.take() } else { openings.for_guest.take() };
        if let Some(stream) = waiting {
            return Ok(Box::new(stream));
        }
        // A cable with a tap: host <-> (pump) <-> guest.
        let (host, mut tap_host) = tokio::io::duplex(4096);
        let (guest, mut tap_guest) = tokio::io::duplex(4096);
        let (inject, mut injected) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
        openings.inject = Some(inject);
        let (own, other) = if self.host { (host, guest) } else { (guest, host) };
        if self.host {
            openings.for_guest = Some(other);
        } else {
            openings.for_host = Some(other);
        }
        tokio::spawn(async move {
            let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
            loop {
                tokio::select! {
                    n = tap_guest.read(&mut up) => match n {
                        Ok(n) if n > 0 => if tap_host.write_all(&up[..n]).await.is_err() { return },
                        _ => return,
                    },
                    n = tap_host.read(&mut down) => match n {
                        Ok(n) if n > 0 => if tap_guest.write_all(&down[..n]).await.is_err() { return },
                        _ => return,
                    },
                    Some(bytes) = injected.recv() => if tap_host.write_all(&bytes).await.is_err() { return },
                }
            }
        });
        Ok(Box::new(own))
    }
}

#[cfg(unix)]
pub(crate) use daemon::vhost_user;

#[cfg(unix)]
mod daemon {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use async_trait::async_trait;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
    use tokio::net::{UnixListener, UnixStream};
    use transport::{ConnectError, Kind, ListenError, Listener, Transport, memory, vhost_user};

    use super::Ends;

    /// `vhost-device-vsock`'s unix sockets, with an in-memory guest behind them.
    pub(crate) fn vhost_user() -> Ends {
        let folder = tempfile::tempdir().unwrap();
        let uds_path = folder.path().join("v.sock");
        let (daemon, guest) = memory::pair();
        let socket = UnixListener::bind(&uds_path).unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = socket.accept().await {
                tokio::spawn(serve(client, daemon.clone()));
            }
        });
        let guest = Guest { uds_path: uds_path.clone(), listening: guest };
        Ends { host: Arc::new(vhost_user::Host::new(uds_path)), guest: Arc::new(guest), _keep: Some(folder) }
    }

    async fn serve(mut client: UnixStream, daemon: memory::End) {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let Ok(byte) = client.read_u8().await else { return };
            line.push(byte);
        }
        let line = String::from_utf8(line).unwrap();
        let port: u32 = line.trim().strip_prefix("CONNECT ").unwrap().parse().unwrap();
        // The daemon closes without an answer when nobody listens.
        let Ok(mut guest) = daemon.connect(port).await else { return };
        if client.write_all(format!("OK {port}\n").as_bytes()).await.is_ok() {
            drop(copy_bidirectional(&mut client, &mut guest).await);
        }
    }

    #[derive(Debug)]
    struct Guest {
        uds_path: PathBuf,
        listening: memory::End,
    }

    fn socket_of(uds_path: &Path, port: u32) -> PathBuf {
        uds_path.with_file_name(format!("v.sock_{port}"))
    }

    #[async_trait]
    impl Transport for Guest {
        fn kind(&self) -> Kind {
            Kind::Vsock
        }

        async fn connect(&self, port: u32) -> Result<transport::Stream, ConnectError> {
            match UnixStream::connect(socket_of(&self.uds_path, port)).await {
                Ok(stream) => Ok(stream.into()),
                Err(source) => Err(ConnectError::Unreachable { port, kind: Kind::Vsock, source }),
            }
        }

        async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
            self.listening.listen(port).await
        }
    }
}
