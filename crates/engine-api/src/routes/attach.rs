//! `/containers/{id}/attach`.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::post;
use bollard_stubs::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use engine::AttachOptions;

use crate::detach::Keys;
use crate::error::{Answer, ApiError};
use crate::hijack::{Hijack, Streams};
use crate::params::Params;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/attach", post(attach))
}

async fn attach(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    mut request: Request,
) -> Answer<Response> {
    let (keys, options) = asked(&params)?;
    let hijack = Hijack::of(&mut request);
    let attached = api.engine.attach(&id, options).await?;
    let mut streams = Streams { keys: Some(keys), body: Some(request.into_body()), ..Streams::of(attached) };
    if streams.input.is_some() {
        let config = api.engine.inspect(&id, false).await?.config.unwrap_or_default();
        streams.closes_stdin &= config.stdin_once.unwrap_or_default();
    }
    let on_detach = tell_detached(api.clone(), id);
    Ok(hijack.join(&api.stopping, &api.tasks, streams, on_detach))
}

/// What a client asks of either kind of attachment.
pub(super) fn asked(params: &Params) -> Answer<(Keys, AttachOptions)> {
    let keys = Keys::parse(params.text("detachKeys")).map_err(|error| ApiError::bad(error.to_string()))?;
    let options = AttachOptions {
        stdin: params.flag("stdin"),
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
        stream: params.flag("stream"),
        logs: params.flag("logs"),
        detach_keys: params.text("detachKeys").map(str::to_owned),
    };
    Ok((keys, options))
}

/// Docker Engine's `detach` event.
pub(super) async fn tell_detached(api: Api, name: String) {
    let Ok(container) = api.engine.inspect(&name, false).await else { return };
    let config = container.config.unwrap_or_default();
    let mut attributes: HashMap<_, _> = config.labels.unwrap_or_default();
    attributes.insert("image".to_owned(), config.image.unwrap_or_default());
    let name = container.name.unwrap_or_default();
    attributes.insert("name".to_owned(), name.trim_start_matches('/').to_owned());
    let ns = jiff::Timestamp::now().as_nanosecond();
    api.engine.emit(EventMessage {
        typ: Some(EventMessageTypeEnum::CONTAINER),
        action: Some("detach".to_owned()),
        actor: Some(EventActor { id: container.id, attributes: Some(attributes) }),
        scope: Some(EventMessageScopeEnum::LOCAL),
        time: i64::try_from(ns / 1_000_000_000).ok(),
        time_nano: i64::try_from(ns).ok(),
    });
}
