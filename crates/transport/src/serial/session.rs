//! Opens the wire, agrees on a session, carries its bytes, and starts over when it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::frame::{self, Frame, MAX_PAYLOAD_BYTES, Nonce, Reader};
use super::mux::Mux;
use super::wire::{Duplex, Wire};

/// Wait before the wire is opened again: the other side is a process that starts in tens of milliseconds.
const REOPEN_AFTER: Duration = Duration::from_millis(50);
/// A START or SYNC that is not answered by then is sent again: the other side may have opened too late.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// Bytes between yamux and the wire.
const PIPE_BYTES: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Host,
    Guest,
}

/// Why a session ended while the wire may still live.
enum End {
    /// The other side began anew with this frame.
    Control(Frame),
    /// The bytes made no sense any more.
    Corrupt,
}

/// Never returns; dropped to end.
pub(super) async fn run(role: Role, mut wire: impl Wire, mux: Arc<Mux>) {
    loop {
        match wire.open().await {
            Ok(duplex) => {
                let Err(error) = sessions(role, duplex, &mux).await;
                tracing::debug!(?role, %error, "the serial wire ended");
            }
            Err(error) => tracing::trace!(?role, %error, "the serial wire does not open"),
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}

/// One session after the other, until the wire ends.
async fn sessions(role: Role, duplex: Box<dyn Duplex>, mux: &Mux) -> io::Result<std::convert::Infallible> {
    let (read, mut write) = tokio::io::split(duplex);
    let mut reader = Reader::new(read);
    let mut began: Option<Frame> = None;
    loop {
        let agreed = match role {
            Role::Host => sync_as_host(&mut reader, &mut write).await?,
            Role::Guest => sync_as_guest(&mut reader, &mut write, began.take()).await?,
        };
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let mode = match role {
            Role::Host => yamux::Mode::Client,
            Role::Guest => yamux::Mode::Server,
        };
        let end = tokio::select! {
            end = carry(agreed, &mut reader, &mut write, near) => end?,
            () = mux.serve(far.compat(), mode) => End::Corrupt,
        };
        if let End::Control(frame) = end {
            began = Some(frame);
        }
    }
}

type Read = Reader<ReadHalf<Box<dyn Duplex>>>;
type Write = WriteHalf<Box<dyn Duplex>>;

/// Sends SYNC until it is acknowledged.
async fn sync_as_host(reader: &mut Read, write: &mut Write) -> io::Result<Nonce> {
    let nonce: Nonce = rand::random();
    let acknowledged = async {
        while reader.scan().await? != Frame::Ack(nonce) {}
        Ok(nonce)
    };
    let sync = Frame::Sync(nonce);
    tokio::select! {
        done = acknowledged => done,
        // A START needs no answer of its own: the next repetition is one.
        failed = repeat(write, &sync) => match failed? {},
    }
}

/// Sends START until a SYNC comes, then acknowledges it; `began` is a SYNC that came already.
async fn sync_as_guest(reader: &mut Read, write: &mut Write, began: Option<Frame>) -> io::Result<Nonce> {
    let nonce = if let Some(Frame::Sync(nonce)) = began {
        nonce
    } else {
        let start = Frame::Start;
        let synced = async {
            loop {
                if let Frame::Sync(nonce) = reader.scan().await? {
                    return io::Result::Ok(nonce);
                }
            }
        };
        tokio::select! {
            nonce = synced => nonce?,
            failed = repeat(write, &start) => match failed? {},
        }
    };
    frame::write(write, &Frame::Ack(nonce)).await?;
    Ok(nonce)
}

async fn repeat(write: &mut Write, frame: &Frame) -> io::Result<std::convert::Infallible> {
    loop {
        frame::write(write, frame).await?;
        tokio::time::sleep(REPEAT_AFTER).await;
    }
}

/// Carries a session's bytes both ways until it ends.
async fn carry(
    agreed: Nonce,
    reader: &mut Reader<impl AsyncRead + Unpin>,
    write: &mut (impl AsyncWrite + Unpin),
    near: tokio::io::DuplexStream,
) -> io::Result<End> {
    let (mut from_mux, mut to_mux) = tokio::io::split(near);
    let inbound = async {
        loop {
            match reader.next().await {
                Ok(Frame::Data(bytes)) => {
                    if to_mux.write_all(&bytes).await.is_err() {
                        return Ok(End::Corrupt);
                    }
                }
                // Leftovers of the handshake's repetitions.
                Ok(Frame::Ack(_)) => {}
                Ok(Frame::Sync(nonce)) if nonce == agreed => {}
                Ok(frame) => return Ok(End::Control(frame)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(End::Corrupt),
                Err(error) => return Err(error),
            }
        }
    };
    let outbound = async {
        let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
        loop {
            match from_mux.read(&mut buffer).await? {
                0 => return Ok(End::Corrupt),
                n => frame::write(write, &Frame::Data(buffer[..n].to_vec())).await?,
            }
        }
    };
    tokio::select! {
        end = inbound => end,
        end = outbound => end,
    }
}
