//! `/events`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures::StreamExt as _;

use crate::error::{Answer, ApiError};
use crate::older::{self, Event};
use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/events", get(events))
}

async fn events(State(api): State<Api>, version: ApiVersion, params: Params) -> Answer<Response> {
    let since = params.unix_ns("since")?;
    let until = params.unix_ns("until")?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(ApiError::bad(format!(
            "`since` time (unix ns {since}) cannot be after `until` time (unix ns {until})"
        )));
    }
    // They end by themselves: what lies before an end that has passed is told in full.
    let events = api.engine.events(since, until, &params.filters()?);
    let told = events.filter(move |event| std::future::ready(older::tells(version, event)));
    Ok(ndjson(told.map(Event::of), api.stopping.clone()))
}
