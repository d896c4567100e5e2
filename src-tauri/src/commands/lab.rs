//! The Lab: VM and container side by side.

use client::CallError;
use lab::report::{Event, Report};
use tauri::{State, WebviewWindow, ipc::Channel};

use super::{Answer, system};
use crate::{failure::Failure, link::Link, model::FileKind, streams::Streams};

/// Measures anew and tells how far it is. Closing the channel ends it.
#[tauri::command]
pub(crate) async fn lab_run(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    image: Option<String>,
    rounds: Option<u32>,
    on_event: Channel<Event>,
) -> Answer<()> {
    let client = link.client().await?;
    let stream = streams.open(on_event.id());
    let follow = async {
        let mut run = client.lab(image.as_deref(), rounds).await?;
        while let Some(event) = run.next().await? {
            let last = matches!(event, Event::Report { .. } | Event::Failed { .. });
            if on_event.send(event).is_err() || last {
                return Ok(());
            }
        }
        Err(Failure::other("coracled ended the Lab without a word".to_owned()))
    };
    stream.until_closed(follow).await.unwrap_or(Ok(()))
}

/// The last report, if there is one.
#[tauri::command]
pub(crate) async fn lab_report(link: State<'_, Link>) -> Answer<Option<Report>> {
    match link.client().await?.lab_report().await {
        Ok(report) => Ok(Some(report)),
        Err(CallError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks where, and writes what the page made of the report there; where it went, or nothing if the person chose no place.
#[tauri::command]
pub(crate) async fn lab_save(
    window: WebviewWindow,
    title: String,
    name: String,
    kind: FileKind,
    bytes: Vec<u8>,
) -> Answer<Option<String>> {
    let Some(path) = system::save_file(window, title, name, vec![kind]).await? else { return Ok(None) };
    let written = tokio::fs::write(&path, bytes).await;
    written.map_err(|error| Failure::other(format!("{path} cannot be written: {error}")))?;
    Ok(Some(path))
}
