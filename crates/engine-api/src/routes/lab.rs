//! `/coracle/lab`: VM and container side by side. POST measures and tells how far it is, one JSON value a line, the report
//! last; GET gives the last report.

use ::lab::report::{Event, Report};
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use engine::LabOptions;
use serde_json::Value;

use crate::error::Answer;
use crate::messages;
use crate::params::Params;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/lab", get(last).post(measure))
}

async fn last(State(api): State<Api>) -> Answer<Json<Report>> {
    Ok(Json(Report::clone(&*api.engine.lab_report()?)))
}

/// Whoever hangs up ends it; all that it started is removed.
async fn measure(State(api): State<Api>, params: Params) -> Answer<Response> {
    let defaults = LabOptions::default();
    let options = LabOptions {
        image: params.text("image").unwrap_or_default().to_owned(),
        rounds: params.number("rounds")?.unwrap_or(defaults.rounds),
    };
    let engine = api.engine.clone();
    let work = |events, cancel| async move { engine.lab(options, events, cancel).await };
    messages::stream_of(&api, work, told).await
}

fn told(event: &Event) -> Value {
    serde_json::to_value(event).expect("an event is plain data")
}
