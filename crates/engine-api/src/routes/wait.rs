//! `/containers/{id}/wait`: the head says that the wait has begun, the body how it ended.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bollard_stubs::models::{ContainerWaitExitError, ContainerWaitResponse};
use engine::{WaitCondition, WaitExit};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, header};

use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::line;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/wait", post(wait))
}

async fn wait(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let asked = params.text("condition").filter(|_| version >= ApiVersion::minor(30));
    let condition = match asked {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => return Err(ApiError::bad(format!("invalid condition: {other:?}"))),
    };
    let removal_fails_silently = version < ApiVersion::minor(34) && asked == Some("removed");
    // From here on no exit is missed: a client may start the container once it has the head.
    let exit = api.engine.wait(&id, condition).await?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if version < ApiVersion::minor(30) {
        let ended = tokio::select! {
            exit = exit => exit,
            () = api.stopping.cancelled() => return Err(ApiError::stopping()),
        };
        return Ok((json, axum::Json(response(ended))).into_response());
    }
    let body = stream::once(async move {
        match exit.await {
            // Their clients take an empty answer as the failure.
            WaitExit { error: Some(_), .. } if removal_fails_silently => Ok(bytes::Bytes::new()),
            exit => line(&response(exit)),
        }
    });
    let body = Body::from_stream(body.boxed().take_until(api.stopping.clone().cancelled_owned()));
    Ok((json, body).into_response())
}

fn response(exit: WaitExit) -> ContainerWaitResponse {
    let error = exit.error.map(|message| ContainerWaitExitError { message: Some(message) });
    ContainerWaitResponse { status_code: exit.code, error }
}
