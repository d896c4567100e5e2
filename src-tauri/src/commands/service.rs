//! coracled itself and its VM.

use tauri::{State, ipc::Channel};

use super::Answer;
use crate::{
    link::Link,
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
    let closed = stream.closed();
    link.listen(move |news| {
        !closed.is_cancelled() && WatchEvent::of(news).is_none_or(|event| on_event.send(event).is_ok())
    });
    stream.until_closed(std::future::pending::<()>()).await;
    Ok(())
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
pub(crate) async fn vm_restart(link: State<'_, Link>) -> Answer<Vm> {
    Ok(link.client().await?.vm_restart().await?.into())
}

#[tauri::command]
pub(crate) async fn vm_stop(link: State<'_, Link>) -> Answer<Vm> {
    Ok(link.client().await?.vm_stop().await?.into())
}

/// Forgets which accelerators did not work: the VM's next start tries them again.
#[tauri::command]
pub(crate) async fn vm_reprobe(link: State<'_, Link>) -> Answer<Vm> {
    Ok(link.client().await?.vm_reprobe().await?.into())
}
