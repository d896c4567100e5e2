//! A container's or exec's streams joined to this process's own.

use std::cell::RefCell;
use std::future::Future;
use std::io;
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

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The output is over.
    Output,
    /// The user typed the detach keys: the process runs on.
    Detached,
}

/// Docker's detach keys, ctrl-p ctrl-q. coracled takes them out of a terminal's input and ends the connection,
/// which then looks like the end of the output.
#[derive(Debug, Default)]
struct DetachKeys {
    held: bool,
    typed: bool,
}

impl DetachKeys {
    fn see(&mut self, input: &[u8]) {
        for &byte in input {
            self.typed |= self.held && byte == 0x11;
            self.held = byte == 0x10;
        }
    }
}

/// Copies `output` to stdout and stderr until it ends; with `stdin`, stdin into `input` until it ends; with
/// `tty`, this terminal is raw meanwhile and `resize(columns, rows)` is called at first and at each change.
pub(crate) async fn join<R, F>(
    output: Output,
    input: Input,
    stdin: bool,
    tty: bool,
    resize: R,
) -> Result<Ended, Failure>
where
    R: Fn(u16, u16) -> F,
    F: Future<Output = ()>,
{
    let _raw = if tty && crate::terminal::stdin_is_terminal() { Some(Raw::enter()?) } else { None };
    let keys = RefCell::new(DetachKeys::default());
    let typed = async {
        // Without stdin the input is kept open: closing it would close the connection.
        if !stdin {
            return std::future::pending().await;
        }
        if let Err(error) = copy_stdin(input, |piece| keys.borrow_mut().see(piece)).await
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
        done = print(output) => done?,
        () = typed => {}
        () = resized => {}
    }
    Ok(if tty && keys.borrow().typed { Ended::Detached } else { Ended::Output })
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

async fn copy_stdin(mut input: Input, mut see: impl FnMut(&[u8])) -> io::Result<()> {
    let mut read = pieces(io::stdin());
    while let Some(piece) = read.recv().await {
        let piece = piece?;
        see(&piece);
        input.write_all(&piece).await?;
        input.flush().await?;
    }
    input.shutdown().await
}

/// Reads on a thread of its own, which a blocking read can keep without keeping the process. The last piece may
/// be an error.
pub(crate) fn pieces(mut from: impl io::Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, read) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let piece = match from.read(&mut buffer) {
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
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_seen_across_reads() {
        for (pieces, typed) in [
            (&[&b"ls\x10"[..], b"\x11"][..], true),
            (&[b"\x10\x10\x11"], true),
            (&[b"\x10a\x11"], false),
            (&[b"\x11\x10"], false),
        ] {
            let mut keys = DetachKeys::default();
            pieces.iter().for_each(|piece| keys.see(piece));
            assert_eq!(keys.typed, typed, "{pieces:?}");
        }
    }
}
