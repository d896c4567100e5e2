//! A container's or exec's streams joined to this process's own.

use std::future::Future;
use std::io::{self, Read as _};
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::terminal::{Raw, Resizes, size};

pub(crate) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, DockerError>> + Send>>;
pub(crate) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Copies `output` to stdout and stderr until it ends; with `stdin`, stdin into `input` until it ends; with
/// `tty`, this terminal is raw meanwhile and `resize(columns, rows)` is called at first and at each change.
pub(crate) async fn join<R, F>(
    output: Output,
    input: Input,
    stdin: bool,
    tty: bool,
    resize: R,
) -> Result<(), Failure>
where
    R: Fn(u16, u16) -> F,
    F: Future<Output = ()>,
{
    let _raw = if tty && crate::terminal::stdin_is_terminal() { Some(Raw::enter()?) } else { None };
    let typed = async {
        // Without stdin the input is kept open: closing it would close the connection.
        if !stdin {
            return std::future::pending().await;
        }
        if let Err(error) = copy_stdin(input).await
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            Failure::from(error).print(false);
        }
        std::future::pending::<()>().await;
    };
    let resized = async {
        if !tty {
            return std::future::pending().await;
        }
        let Ok(mut resizes) = Resizes::watch() else { return std::future::pending().await };
        loop {
            if let Some((columns, rows)) = size() {
                resize(columns, rows).await;
            }
            resizes.next().await;
        }
    };
    tokio::select! {
        done = print(output) => done,
        () = typed => Ok(()),
        () = resized => Ok(()),
    }
}

/// Copies a container's output to this process's.
pub(crate) async fn print(mut output: Output) -> Result<(), Failure> {
    while let Some(piece) = output.next().await {
        let written = match piece? {
            LogOutput::StdErr { message } => put(&mut io::stderr().lock(), &message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                put(&mut io::stdout().lock(), &message)
            }
        };
        match written {
            // `coracle logs | head` is no error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

fn put(to: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Reads stdin on a thread of its own, which a blocking read can keep without keeping the process.
async fn copy_stdin(mut input: Input) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<io::Result<Vec<u8>>>(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let piece = match io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(buffer[..n].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let last = piece.is_err();
            if sender.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    while let Some(piece) = pieces.recv().await {
        input.write_all(&piece?).await?;
        input.flush().await?;
    }
    input.shutdown().await
}
