//! Many streams over one session, and listeners that outlive sessions.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, Kind, ListenError, Listener, Stream, channel};

/// A session that is being made is waited for this long, and so is the answer to a connect.
const DEADLINE: Duration = Duration::from_secs(5);
const MAX_STREAMS: usize = 4096;

const OPENED: u8 = 1;
const REFUSED: u8 = 0;

type Opened = oneshot::Sender<yamux::Stream>;

/// Shared by the transport's callers and the session of the moment.
#[derive(Debug, Default)]
pub(super) struct Mux {
    listeners: Mutex<HashMap<u32, mpsc::Sender<Stream>>>,
    /// Where the present session takes requests for streams; none between sessions.
    session: watch::Sender<Option<mpsc::Sender<Opened>>>,
}

impl Mux {
    pub(super) async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        let kind = Kind::Serial;
        let attempt = tokio::time::timeout(DEADLINE, self.attempt(port));
        match attempt.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(Some(stream)) => Ok(stream),
            Ok(None) => Err(ConnectError::Refused { port, kind }),
            Err(source) => Err(ConnectError::Unreachable { port, kind, source }),
        }
    }

    async fn attempt(&self, port: u32) -> io::Result<Option<Stream>> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let mut sessions = self.session.subscribe();
        let session = sessions.wait_for(Option::is_some).await.map_err(|_| gone())?.clone();
        let (opened, stream) = oneshot::channel();
        session.ok_or_else(gone)?.send(opened).await.map_err(|_| gone())?;
        let mut stream = stream.await.map_err(|_| gone())?.compat();
        stream.write_u32(port).await?;
        stream.flush().await?;
        match stream.read_u8().await? {
            OPENED => Ok(Some(stream.into())),
            _ => Ok(None),
        }
    }

    pub(super) fn listen(&self, port: u32) -> Result<Listener, ListenError> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.get(&port).is_some_and(|listener| !listener.is_closed()) {
            let source = io::ErrorKind::AddrInUse.into();
            return Err(ListenError { port, kind: Kind::Serial, source });
        }
        let (sender, listener) = channel(&CancellationToken::new());
        listeners.insert(port, sender);
        Ok(listener)
    }

    /// Serves one session until its byte stream ends.
    pub(super) async fn serve(&self, wire: impl AsyncRead + AsyncWrite + Send + Unpin, mode: yamux::Mode) {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        let mut connection = yamux::Connection::new(wire, config, mode);
        let (requests, mut wanted) = mpsc::channel(64);
        let _present = Present::new(&self.session, requests);
        let mut waiting = VecDeque::<Opened>::new();
        let mut accepting = tokio::task::JoinSet::new();
        poll_fn(|cx| {
            while let Poll::Ready(Some(request)) = wanted.poll_recv(cx) {
                waiting.push_back(request);
            }
            while let Some(request) = waiting.pop_front() {
                match connection.poll_new_outbound(cx) {
                    // A caller that gave up drops the receiver; the stream closes with it.
                    Poll::Ready(Ok(stream)) => drop(request.send(stream)),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "no further stream");
                        return Poll::Ready(());
                    }
                    Poll::Pending => {
                        waiting.push_front(request);
                        break;
                    }
                }
            }
            while let Poll::Ready(inbound) = connection.poll_next_inbound(cx) {
                match inbound {
                    Some(Ok(stream)) => {
                        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        accepting.spawn(accept(stream.compat(), listeners));
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, "session ended");
                        return Poll::Ready(());
                    }
                    None => return Poll::Ready(()),
                }
            }
            while let Poll::Ready(Some(_)) = accepting.poll_join_next(cx) {}
            Poll::Pending
        })
        .await;
    }
}

/// Reads the port that the other side wants and hands the stream to its listener.
async fn accept(mut stream: Compat<yamux::Stream>, listeners: HashMap<u32, mpsc::Sender<Stream>>) {
    let accepting = async {
        let port = stream.read_u32().await?;
        let room = match listeners.get(&port) {
            Some(listener) => listener.reserve().await.ok(),
            None => None,
        };
        stream.write_u8(if room.is_some() { OPENED } else { REFUSED }).await?;
        stream.flush().await?;
        match room {
            Some(room) => room.send(stream.into()),
            None => stream.shutdown().await?,
        }
        io::Result::Ok(())
    };
    match tokio::time::timeout(DEADLINE, accepting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "stream ended before it was accepted"),
        Err(_) => tracing::warn!("a stream was not accepted in time"),
    }
}

/// Announces a session while it lives.
struct Present<'a>(&'a watch::Sender<Option<mpsc::Sender<Opened>>>);

impl<'a> Present<'a> {
    fn new(session: &'a watch::Sender<Option<mpsc::Sender<Opened>>>, requests: mpsc::Sender<Opened>) -> Self {
        session.send_replace(Some(requests));
        Self(session)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}
