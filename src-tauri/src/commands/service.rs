//! coracled itself and its VM.

use tauri::{State, ipc::Channel};

use super::Answer;
use crate::{
    link::{Link, PageGone},
    model::{Vm, WatchEvent},
    streams::Streams,
};

/// Follows connection, VM and lists. A page calls it once, first of all.
#[tauri::command]
pub(crate) async fn watch(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    on_event: Channel<WatchEvent>,
) -> Answer<()> {
    // A page that loads anew has left its channels behind.
    streams.close_all();
    let stream = streams.open(on_event.id());
    stream.until_closed(link.watch(&on_event)).await.map_or(Ok(()), |PageGone| Ok(()))
}

#[tauri::command]
pub(crate) async fn service_start(link: State<'_, Link>) -> Answer<()> {
    link.start_service().await
}

#[tauri::command]
pub(crate) async fn stream_close(streams: State<'_, Streams>, channel: u32) -> Answer<()> {
    streams.close(channel);
    Ok(())
}

#[tauri::command]
pub(crate) async fn vm_start(link: State<'_, Link>) -> Answer<Vm> {
    Ok(link.client().await?.vm_start().await?.into())
}

#[tauri::command]
pub(crate) async fn vm_stop(link: State<'_, Link>) -> Answer<Vm> {
    Ok(link.client().await?.vm_stop().await?.into())
}
