//! Terminals in containers: a shell each, with its output on a channel.
//!
//! ```text
//! terminal_open ── exec ──► raw bytes on the channel … ──► TerminalEvent::Ended
//! terminal_write, terminal_resize ──► Terminals ──► the open command
//! ```

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use client::bollard::{
    Docker,
    errors::Error as DockerError,
    exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults},
};
use futures::StreamExt;
use serde::Serialize;
use tauri::{
    State,
    ipc::{Channel, InvokeResponseBody},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{TerminalEvent, TerminalSize},
    streams::Streams,
};

/// bash where there is one.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";
/// Docker takes two keys to leave a session by, and the usual ones are a shell's own (Ctrl-P recalls a line).
const LEAVE: &str = "ctrl-@,ctrl-^,ctrl-@";
/// Keys that wait for a slow program; a paste is one.
const WAITING: usize = 64;
const BYTES_PER_MESSAGE: usize = 64 * 1024;
/// What ends a shell's input.
const END_OF_TRANSMISSION: &[u8] = b"\x04";

enum Input {
    Typed(String),
    Resized(TerminalSize),
}

/// The open terminals, by the ids of their channels.
#[derive(Default)]
pub(crate) struct Terminals {
    open: Mutex<HashMap<u32, mpsc::Sender<Input>>>,
}

impl Terminals {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Input>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, channel: u32, input: Input) {
        let sender = self.lock().get(&channel).cloned();
        if let Some(sender) = sender {
            // One that has just ended has no use for it.
            let _ = sender.send(input).await;
        }
    }
}

/// Runs a shell in a running container until it ends or the page closes the channel.
#[tauri::command]
pub(crate) async fn terminal_open(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    terminals: State<'_, Terminals>,
    id: String,
    size: TerminalSize,
    on_event: Channel<InvokeResponseBody>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let channel = on_event.id();
    let stream = streams.open(channel);
    let (sender, typed) = mpsc::channel(WAITING);
    terminals.lock().insert(channel, sender);
    let ended = session(&docker, &stream, &id, size, typed, &on_event).await;
    terminals.lock().remove(&channel);
    ended
}

async fn session(
    docker: &Docker,
    stream: &crate::streams::OpenStream<'_>,
    id: &str,
    size: TerminalSize,
    mut typed: mpsc::Receiver<Input>,
    page: &Channel<InvokeResponseBody>,
) -> Answer<()> {
    let exec = docker.create_exec(id, shell()).await?.id;
    let attached =
        StartExecOptions { tty: true, output_capacity: Some(BYTES_PER_MESSAGE), ..Default::default() };
    let StartExecResults::Attached { mut output, mut input } =
        docker.start_exec(&exec, Some(attached)).await?
    else {
        return Err(Failure::other("coracled started the shell without a terminal"));
    };
    resize(docker, &exec, size).await;
    if !tell(page, &TerminalEvent::Open)? {
        return Ok(());
    }
    // Both at once: a program that is busy writing may not read until what it wrote is taken.
    let shown = async {
        while let Some(piece) = output.next().await {
            if page.send(InvokeResponseBody::Raw(piece?.into_bytes().to_vec())).is_err() {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    let heard = async {
        while let Some(event) = typed.recv().await {
            match event {
                Input::Typed(text) => write(&mut input, text.as_bytes()).await?,
                Input::Resized(size) => resize(docker, &exec, size).await,
            }
        }
        Ok(())
    };
    let work = async {
        tokio::select! {
            ended = shown => ended,
            broken = heard => broken,
        }
    };
    match stream.until_closed(work).await {
        Some(done) => done?,
        None => {
            // Nobody is left to type: a shell that waits for a command ends by this.
            return write(&mut input, END_OF_TRANSMISSION).await;
        }
    }
    let exit_code = docker.inspect_exec(&exec).await.ok().and_then(|exec| exec.exit_code);
    tell(page, &TerminalEvent::Ended { exit_code }).map(drop)
}

fn shell() -> CreateExecOptions<&'static str> {
    CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(true),
        detach_keys: Some(LEAVE),
        env: Some(vec!["TERM=xterm-256color"]),
        cmd: Some(vec!["/bin/sh", "-c", SHELL]),
        ..CreateExecOptions::default()
    }
}

async fn write(input: &mut Pin<Box<dyn AsyncWrite + Send>>, bytes: &[u8]) -> Answer<()> {
    let written = async {
        input.write_all(bytes).await?;
        input.flush().await
    };
    written.await.map_err(|err| DockerError::IOError { err }.into())
}

/// A size that does not arrive leaves a terminal that draws badly, no more; one that has just ended has none.
async fn resize(docker: &Docker, exec: &str, TerminalSize { columns, rows }: TerminalSize) {
    let size = ResizeExecOptions { height: rows, width: columns };
    if let Err(error) = docker.resize_exec(exec, size).await {
        tracing::debug!(exec, error = Failure::from(error).message, "a terminal keeps its size");
    }
}

/// False when the page is gone.
fn tell(page: &Channel<InvokeResponseBody>, event: &impl Serialize) -> Answer<bool> {
    let text = serde_json::to_string(event).map_err(|error| Failure::other(error.to_string()))?;
    Ok(page.send(InvokeResponseBody::Json(text)).is_ok())
}

#[tauri::command]
pub(crate) async fn terminal_write(
    terminals: State<'_, Terminals>,
    channel: u32,
    text: String,
) -> Answer<()> {
    terminals.send(channel, Input::Typed(text)).await;
    Ok(())
}

#[tauri::command]
pub(crate) async fn terminal_resize(
    terminals: State<'_, Terminals>,
    channel: u32,
    size: TerminalSize,
) -> Answer<()> {
    terminals.send(channel, Input::Resized(size)).await;
    Ok(())
}
