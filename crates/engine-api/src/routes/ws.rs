//! `/containers/{id}/attach/ws`: an attach over a websocket, as browsers do it. Output is never multiplexed here; each
//! message from the client is input.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use engine::{Attached, Frames};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tracing::Instrument as _;

use crate::detach::{Keys, Passed};
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::CHUNK_BYTES;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/attach/ws", get(attach))
}

async fn attach(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    let (keys, mut options) = super::attach::asked(&params)?;
    if version < ApiVersion::minor(42) {
        (options.stdin, options.stdout, options.stderr) = (true, true, true);
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| ApiError::bad(error.body_text()))?;
    let attached = api.engine.attach(&id, options).await?;
    let config = api.engine.inspect(&id, false).await?.config.unwrap_or_default();
    let once = config.stdin_once.unwrap_or_default() && !attached.tty;
    let (stopping, tasks) = (api.stopping.clone(), api.tasks.clone());
    Ok(upgrade.on_upgrade(move |socket| async move {
        let joined = async move {
            tokio::select! {
                detached = join(socket, attached, keys, once) => if detached {
                    super::attach::tell_detached(api, id).await;
                },
                () = stopping.cancelled() => {}
            }
        };
        // Followed at the service's end, as every hijacked connection is.
        drop(tasks.spawn(joined.in_current_span()));
    }))
}

/// Until the output ends or the client leaves. Whether it typed the detach keys.
async fn join(socket: WebSocket, attached: Attached, keys: Keys, closes_stdin: bool) -> bool {
    let Attached { tty, output, mut input } = attached;
    let mut keys = Some(keys).filter(|_| tty);
    let (mut to_client, mut from_client) = socket.split();
    let outward = async move {
        let Some(mut output) = output else { return std::future::pending().await };
        let mut frames = Frames::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = output.read(&mut chunk).await {
            let bytes = if tty { chunk[..length].to_vec() } else { frames.payload(&chunk[..length]) };
            if !bytes.is_empty() && to_client.send(Message::Binary(Bytes::from(bytes))).await.is_err() {
                return;
            }
        }
        drop(to_client.close().await);
    };
    let inward = async move {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes: Bytes = match message {
                Message::Text(text) => text.into(),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            let (bytes, detached) = match keys.as_mut().map(|keys| keys.pass(&bytes)) {
                None => (bytes.to_vec(), false),
                Some(Passed::On(bytes)) => (bytes, false),
                Some(Passed::Detached(bytes)) => (bytes, true),
            };
            if let Some(writer) = input.as_mut()
                && !bytes.is_empty()
                && let Err(error) = writer.write(&bytes).await
            {
                tracing::debug!(%error, "input is not taken any more");
                input = None;
            }
            if detached {
                return true;
            }
        }
        if closes_stdin && let Some(writer) = input.as_mut() {
            drop(writer.eof().await);
        }
        false
    };
    tokio::select! {
        () = outward => false,
        detached = inward => detached,
    }
}
