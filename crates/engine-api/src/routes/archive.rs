//! `/containers/{id}/archive`, `/containers/{id}/export`, `/containers/{id}/changes`.

use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{PathInfo, PutOptions};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::body::read_off;
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::output;

const STAT: &str = "x-docker-container-path-stat";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/archive", get(read).head(stat).put(write))
        .route("/containers/{id}/export", get(export))
        .route("/containers/{id}/changes", get(changes))
}

/// moby's `httputils.ArchiveFormValues`.
fn path(params: &Params) -> Result<&str, ApiError> {
    params.text("path").ok_or_else(|| ApiError::bad("bad parameter: \"path\" cannot be empty"))
}

pub(super) fn stat_header(info: &PathInfo) -> HeaderMap {
    let mtime = jiff::Timestamp::from_nanosecond(i128::from(info.mtime_unix_ns)).unwrap_or_default();
    let stat = serde_json::json!({
        "name": info.name,
        "size": info.size,
        "mode": info.mode,
        "mtime": mtime.to_string(),
        "linkTarget": info.link_target,
    });
    let value = HeaderValue::from_str(&STANDARD.encode(stat.to_string())).expect("base64 is ASCII");
    HeaderMap::from_iter([(http::HeaderName::from_static(STAT), value)])
}

pub(super) fn tar(body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"))], body).into_response()
}

async fn stat(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<Response> {
    let info = api.engine.archive_stat(&id, path(&params)?).await?;
    Ok(stat_header(&info).into_response())
}

async fn read(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<Response> {
    let archive = api.engine.archive_get(&id, path(&params)?).await?;
    Ok((stat_header(&archive.info), tar(output(archive.tar, api.stopping.clone()))).into_response())
}

async fn write(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    body: Body,
) -> Answer<StatusCode> {
    let mut tar = body.into_data_stream();
    let path = path(&params)?;
    let written = api.engine.archive_put(&id, path, put_options(&params), &mut tar).await;
    unpacked(written, &mut tar).await
}

pub(super) fn put_options(params: &Params) -> PutOptions {
    PutOptions {
        no_overwrite_dir_non_dir: params.flag("noOverwriteDirNonDir"),
        copy_uid_gid: params.flag("copyUIDGID"),
    }
}

/// Answers an upload; what a refusal has left of it is read first.
pub(super) async fn unpacked(
    written: Result<(), engine::Error>,
    left: &mut BodyDataStream,
) -> Answer<StatusCode> {
    if written.is_err() {
        read_off(left).await;
    }
    written?;
    Ok(StatusCode::OK)
}

async fn export(State(api): State<Api>, Path(id): Path<String>) -> Answer<Response> {
    let tar = api.engine.export(&id).await?;
    let body = output(tar, api.stopping.clone());
    let octets = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, octets)], body).into_response())
}

async fn changes(State(api): State<Api>, Path(id): Path<String>) -> Answer<Response> {
    Ok(Json(api.engine.changes(&id).await?).into_response())
}
