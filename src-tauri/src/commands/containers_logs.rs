//! A container's output, to the page and to a file.

use std::{path::Path, time::Duration};

use client::bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures::StreamExt;
use tauri::{State, ipc::Channel};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{LogEvent, LogPiece},
    streams::Streams,
};

/// What comes in this time is one message to the page, which draws no faster.
const GATHER: Duration = Duration::from_millis(40);
/// Of so many pieces at most: more than a person can read and less than a page can draw. What does not fit waits at
/// coracled, in the container's log.
const PIECES_PER_MESSAGE: usize = 2048;

/// The last `tail` lines, then everything that comes, until the container stops or the page closes the channel.
#[tauri::command]
pub(crate) async fn container_logs(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    id: String,
    tail: u32,
    timestamps: bool,
    on_event: Channel<LogEvent>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let options = LogsOptionsBuilder::default()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .timestamps(timestamps)
        .tail(&tail.to_string())
        .build();
    let stream = streams.open(on_event.id());
    let follow = async {
        let mut output = docker.logs(&id, Some(options)).fuse();
        while let Some(first) = output.next().await {
            let until = Instant::now() + GATHER;
            let mut pieces = vec![piece(&first?)];
            while pieces.len() < PIECES_PER_MESSAGE {
                match tokio::time::timeout_at(until, output.next()).await {
                    Ok(Some(more)) => pieces.push(piece(&more?)),
                    Ok(None) | Err(_) => break,
                }
            }
            if on_event.send(LogEvent::Output { pieces }).is_err() {
                return Ok(());
            }
            tokio::time::sleep_until(until).await;
        }
        // Whether the page still listens matters to nobody any more.
        let _ = on_event.send(LogEvent::End);
        Ok::<_, Failure>(())
    };
    stream.until_closed(follow).await.unwrap_or(Ok(()))
}

fn piece(output: &LogOutput) -> LogPiece {
    let error = matches!(output, LogOutput::StdErr { .. });
    LogPiece { error, text: String::from_utf8_lossy(output.as_ref()).into_owned() }
}

/// Writes all that a container has written so far to a file that the person chose.
#[tauri::command]
pub(crate) async fn container_logs_save(
    link: State<'_, Link>,
    id: String,
    path: String,
    timestamps: bool,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(timestamps).tail("all").build();
    let mut output = docker.logs(&id, Some(options));
    let unwritten = |error| Failure::other(format!("{path} cannot be written: {error}"));
    let file = tokio::fs::File::create(Path::new(&path)).await.map_err(unwritten)?;
    let mut file = tokio::io::BufWriter::new(file);
    while let Some(piece) = output.next().await {
        file.write_all(piece?.as_ref()).await.map_err(unwritten)?;
    }
    file.flush().await.map_err(unwritten)
}
