//! One connection, whose directions end on their own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use smoltcp::socket::tcp::{RecvError, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stack::Socketed;
use crate::{Route, Shared};

/// A connection. Dropped before both directions have ended, it is reset.
pub struct Connection {
    shared: Arc<Shared>,
    which: Socketed,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.which).finish()
    }
}

impl Connection {
    pub(crate) async fn open(shared: Arc<Shared>, route: Route) -> io::Result<Self> {
        let which = shared.stack().connect(route)?;
        shared.stirred.notify_one();
        let connection = Self { shared, which };
        poll_fn(|cx| connection.poll_open(cx)).await?;
        Ok(connection)
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut stack = self.shared.stack();
        let socket = stack.socket(self.which);
        match socket.state() {
            State::SynSent => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Carries both directions until both have ended. What lies between is the connection's own buffers: whoever does
    /// not read holds up its own side alone.
    ///
    /// # Errors
    /// Either side broke; what is left is to be reset, not closed.
    pub async fn relay(self, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        let (mut inward, mut outward) = (false, false);
        poll_fn(|cx| {
            if !inward && let Poll::Ready(ended) = self.poll_inward(cx, client) {
                ended?;
                inward = true;
            }
            if !outward && let Poll::Ready(ended) = self.poll_outward(cx, client) {
                ended?;
                outward = true;
            }
            if inward && outward { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// From the client to the guest, to the client's end.
    fn poll_inward(
        &self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut stack = self.shared.stack();
        loop {
            let socket = stack.socket(self.which);
            if socket.may_send() && !socket.can_send() {
                socket.register_send_waker(cx.waker());
                return Poll::Pending;
            }
            let read = socket.send(|room| {
                let mut buffer = ReadBuf::new(room);
                let read = Pin::new(&mut *client).poll_read(cx, &mut buffer);
                let count = buffer.filled().len();
                (count, read.map_ok(|()| count))
            });
            let read = read.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let ended = ready!(read)? == 0;
            if ended {
                stack.socket(self.which).close();
            }
            self.shared.stirred.notify_one();
            if ended {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// From the guest to the client, to the guest's end.
    fn poll_outward(
        &self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut stack = self.shared.stack();
        loop {
            let socket = stack.socket(self.which);
            if socket.may_recv() && !socket.can_recv() {
                socket.register_recv_waker(cx.waker());
                return Poll::Pending;
            }
            let written = socket.recv(|bytes| match Pin::new(&mut *client).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => (count, Poll::Ready(Ok(count))),
                other => (0, other),
            });
            match written {
                Ok(written) => {
                    if ready!(written)? == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    // The guest may be waiting for the window.
                    self.shared.stirred.notify_one();
                }
                Err(RecvError::Finished) => return Pin::new(client).poll_shutdown(cx),
                Err(RecvError::InvalidState) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.stack().leave(self.which);
        self.shared.stirred.notify_one();
    }
}
