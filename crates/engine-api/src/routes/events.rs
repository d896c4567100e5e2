//! `/events`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures::StreamExt as _;

use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/events", get(events))
}

async fn events(State(api): State<Api>, params: Params) -> Answer<Response> {
    let since = params.unix_ns("since")?;
    let until = params.unix_ns("until")?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(ApiError::bad(format!(
            "`since` time (unix ns {since}) cannot be after `until` time (unix ns {until})"
        )));
    }
    let events = api.engine.events(since, until, &params.filters()?);
    let end = async move {
        match until {
            Some(until) => tokio::time::sleep(until_then(until)).await,
            None => std::future::pending().await,
        }
    };
    // What lies between since and until is already there: it comes before the end is looked at.
    Ok(ndjson(events.take_until(end), api.stopping.clone()))
}

fn until_then(unix_ns: i64) -> Duration {
    let then = Duration::from_nanos(u64::try_from(unix_ns).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    then.saturating_sub(now)
}
