//! `/coracle/vm/stats`: what the VM uses, once or each second while somebody listens.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use tokio::time::{Instant, sleep_until};

use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;

/// Between two lines of a stream.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/vm/stats", get(stats))
}

async fn stats(State(api): State<Api>, params: Params) -> Response {
    if !params.flag("stream") {
        return Json(api.vm.usage(None).await.0).into_response();
    }
    let lines = stream::unfold((api.vm.clone(), None, Instant::now()), |(vm, before, due)| async move {
        sleep_until(due).await;
        let (usage, sample) = vm.usage(before).await;
        // The next one is not made sooner because this one came late.
        Some((usage, (vm, Some(sample), Instant::now().max(due + PERIOD))))
    });
    ndjson(lines, api.stopping.clone())
}
