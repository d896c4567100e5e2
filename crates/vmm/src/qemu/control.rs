//! QMP, QEMU's control protocol. One client at a time: a second one waits at the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use qapi::futures::{QapiService, QmpStreamTokio};
use qapi::qmp::{Event, QmpCommand};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

/// How long a command may take: QEMU answers in milliseconds unless its main loop is stuck.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);
/// Between looks for a socket that is about to appear.
const LOOK: Duration = Duration::from_millis(5);

#[cfg(unix)]
type Wire = tokio::net::UnixStream;
#[cfg(windows)]
type Wire = tokio::net::windows::named_pipe::NamedPipeClient;

/// Events of a newer QEMU, at which our bindings would give up the command under way.
const UNKNOWN_EVENTS: &[u8] = b"\"event\": \"NETDEV_VHOST_USER_";
const BUFFER_BYTES: usize = 64 << 10;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("QEMU says: {0}")]
    Refused(String),
    #[error("no answer within {COMMAND_DEADLINE:?}")]
    Deadline,
    #[error("the control connection broke")]
    Broken(#[source] io::Error),
}

/// A control connection.
pub(super) struct Control {
    service: QapiService<QmpStreamTokio<WriteHalf<DuplexStream>>>,
    events: broadcast::Sender<Event>,
    _pumps: [AbortOnDropHandle<()>; 2],
}

impl Control {
    /// Connects as soon as the socket is there. The caller sets the deadline.
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        let wire = loop {
            match open(path).await {
                Ok(wire) => break wire,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        };
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let filter = AbortOnDropHandle::new(tokio::spawn(filter(wire, far)));
        let stream = QmpStreamTokio::<ReadHalf<DuplexStream>>::open(near).await?.negotiate().await?;
        let (service, mut incoming) = stream.into_parts();
        let (events, _) = broadcast::channel(64);
        let sender = events.clone();
        let pump = tokio::spawn(async move {
            while let Some(event) = incoming.next().await {
                match event {
                    Ok(event) => {
                        tracing::debug!(?event, "QEMU event");
                        let _ = sender.send(event);
                    }
                    // An event that a newer QEMU has and our bindings lack.
                    Err(error) => tracing::debug!(%error, "QEMU event not understood"),
                }
            }
        });
        Ok(Self { service, events, _pumps: [filter, AbortOnDropHandle::new(pump)] })
    }

    /// Runs one command.
    pub(super) async fn run<C: QmpCommand>(&self, command: C) -> Result<C::Ok, CommandError> {
        match tokio::time::timeout(COMMAND_DEADLINE, self.service.execute(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(qapi::ExecuteError::Qapi(error))) => Err(CommandError::Refused(error.to_string())),
            Ok(Err(qapi::ExecuteError::Io(error))) => Err(CommandError::Broken(error)),
            Err(_) => Err(CommandError::Deadline),
        }
    }

    /// Events from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// Carries both directions until QEMU's ends, line by line, without what is not understood.
async fn filter(wire: Wire, far: DuplexStream) {
    let (from_qemu, mut to_qemu) = tokio::io::split(wire);
    let (mut from_us, mut to_us) = tokio::io::split(far);
    let lines = async {
        let mut from_qemu = BufReader::new(from_qemu);
        let mut line = Vec::new();
        while from_qemu.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let unknown = line.windows(UNKNOWN_EVENTS.len()).any(|part| part == UNKNOWN_EVENTS);
            if !unknown && to_us.write_all(&line).await.is_err() {
                return;
            }
            line.clear();
        }
    };
    tokio::select! {
        () = lines => {}
        _ = tokio::io::copy(&mut from_us, &mut to_qemu) => {}
    }
}

#[cfg(unix)]
async fn open(path: &Path) -> io::Result<Wire> {
    tokio::net::UnixStream::connect(path).await
}

#[cfg(windows)]
async fn open(path: &Path) -> io::Result<Wire> {
    tokio::net::windows::named_pipe::ClientOptions::new().open(path)
}
