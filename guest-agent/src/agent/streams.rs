//! The STREAM port: one connection per byte stream, opened by a `StreamOpen` frame.
//!
//! Output and Input go to the process's shim as file descriptors; a stream that is none is pumped through a
//! socket pair. The others are served here.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::{self, stream_open};
use agent_proto::{MAX_WRITE_BYTES, read_frame, write_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use transport::{Listener, Stream};

use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, key};
use crate::agent::{archive, dial, logs};
use crate::wire::Order;

/// How long the first frame may take.
const OPEN: Duration = Duration::from_secs(10);

/// Serves streams until the transport is gone.
pub(crate) async fn accept(mut streams: Listener, guest: Arc<Guest>) {
    while let Ok(stream) = streams.accept().await {
        let guest = Arc::clone(&guest);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &guest).await {
                tracing::debug!(%error, "stream");
            }
        });
    }
}

async fn answer(stream: &mut Stream, error: Option<Failure>) -> anyhow::Result<()> {
    Ok(write_frame(stream, &v1::StreamOpened { error: error.map(Into::into), ..Default::default() }).await?)
}

async fn serve(mut stream: Stream, guest: &Arc<Guest>) -> anyhow::Result<()> {
    let open: v1::StreamOpen = tokio::time::timeout(OPEN, read_frame(&mut stream)).await??;
    match open.kind {
        Some(stream_open::Kind::Output(output)) => {
            let order = Order::Output { stdout: output.stdout, stderr: output.stderr };
            attach(stream, guest, output.process, order).await
        }
        Some(stream_open::Kind::Input(input)) => attach(stream, guest, input.process, Order::Input).await,
        // They are on the data disk, which comes after the hello.
        Some(stream_open::Kind::Logs(logs)) => {
            match guest.disks().await.and_then(|()| logs::open(guest, logs)) {
                Ok(reader) => {
                    answer(&mut stream, None).await?;
                    reader.send(stream).await
                }
                Err(failure) => answer(&mut stream, Some(failure)).await,
            }
        }
        Some(stream_open::Kind::Dial(port)) if port.straight => {
            let guest = Arc::clone(guest);
            let opened =
                tokio::task::spawn_blocking(move || guest.networks.straight_way(&port.address)).await?;
            let opened = match opened {
                Ok(way) => v1::StreamOpened { straight: Some(way), ..Default::default() },
                Err(failure) => v1::StreamOpened { error: Some(failure.into()), ..Default::default() },
            };
            Ok(write_frame(&mut stream, &opened).await?)
        }
        Some(stream_open::Kind::Dial(port)) => match dial::connect(&port).await {
            Ok(port) => {
                answer(&mut stream, None).await?;
                dial::forward(stream, port).await;
                Ok(())
            }
            Err(failure) => answer(&mut stream, Some(failure)).await,
        },
        Some(stream_open::Kind::ArchiveGet(get)) => archive::get(stream, guest, get).await,
        Some(stream_open::Kind::ArchivePut(put)) => archive::put(stream, guest, put).await,
        Some(stream_open::Kind::Export(export)) => archive::export(stream, guest, export).await,
        Some(stream_open::Kind::VolumeArchive(archive)) => match guest.disks().await {
            Ok(()) => archive::volume_archive(stream, archive).await,
            Err(failure) => answer(&mut stream, Some(failure)).await,
        },
        None => answer(&mut stream, Some(Failure::new(Code::BadSpec, "no such kind of stream"))).await,
    }
}

/// Answers, then hands the stream over: the first output must not overtake the answer.
async fn attach(
    mut stream: Stream,
    guest: &Arc<Guest>,
    process: Option<v1::ProcessRef>,
    order: Order,
) -> anyhow::Result<()> {
    let key = match key(process) {
        Ok(key) if guest.table.accepts(&key) => key,
        Ok(key) => {
            let failure = Failure::new(Code::NotRunning, format_args!("{} is not running", key.id()));
            return answer(&mut stream, Some(failure)).await;
        }
        Err(failure) => return answer(&mut stream, Some(failure)).await,
    };
    answer(&mut stream, None).await?;
    let fd = match stream.as_fd() {
        Some(fd) => fd.try_clone_to_owned()?,
        None => {
            let (ours, its) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            its.set_nonblocking(true)?;
            let ours = UnixStream::from_std(ours)?;
            let output = matches!(order, Order::Output { .. });
            tokio::spawn(pump(stream, ours, output));
            OwnedFd::from(its)
        }
    };
    guest.table.attach(&key, order, fd)?;
    Ok(())
}

/// Carries one direction between a stream and the shim's socket; ends both when either ends.
async fn pump(stream: Stream, socket: UnixStream, output: bool) {
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let (mut from_shim, mut to_shim) = tokio::io::split(socket);
    if output {
        let gone = async {
            let mut byte = [0; 1];
            while from_host.read(&mut byte).await.is_ok_and(|n| n > 0) {}
        };
        tokio::select! {
            () = copy(&mut from_shim, &mut to_host) => {}
            () = gone => {}
        }
        let _ = to_host.shutdown().await;
    } else {
        let gone = async {
            let mut byte = [0; 1];
            while from_shim.read(&mut byte).await.is_ok_and(|n| n > 0) {}
        };
        tokio::select! {
            () = copy(&mut from_host, &mut to_shim) => {}
            () = gone => {}
        }
        let _ = to_shim.shutdown().await;
    }
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut buffer = vec![0; MAX_WRITE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
