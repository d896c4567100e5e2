//! `/coracle/volumes/{name}/archive` and `/files`: a volume's files without a container.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use engine::FileInfo;
use http::StatusCode;
use serde_json::{Value, json};

use super::archive::{put_options, stat_header, tar, unpacked};
use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;
use crate::streams::output;

/// Entries of an answer, unless the client says how many.
const ENTRIES: u32 = 500;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/coracle/volumes/{name}/archive", get(read).head(stat).put(write))
        .route("/coracle/volumes/{name}/files", get(files))
}

/// All of the volume, unless the client says what.
fn path(params: &Params) -> &str {
    params.text("path").unwrap_or("/")
}

async fn stat(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Answer<Response> {
    let info = api.engine.volume_stat(&name, path(&params)).await?;
    Ok(stat_header(&info).into_response())
}

async fn read(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Answer<Response> {
    let archive = api.engine.volume_get(&name, path(&params)).await?;
    Ok((stat_header(&archive.info), tar(output(archive.tar, api.stopping.clone()))).into_response())
}

async fn write(
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
    body: Body,
) -> Answer<StatusCode> {
    let mut data = body.into_data_stream();
    let written = api.engine.volume_put(&name, path(&params), put_options(&params), &mut data).await;
    unpacked(written, &mut data).await
}

async fn files(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Answer<Json<Value>> {
    let after = params.text("after").unwrap_or_default();
    let limit = params.number("limit")?.unwrap_or(ENTRIES);
    let folder = api.engine.volume_files(&name, path(&params), after, limit).await?;
    let entries: Vec<_> = folder.entries.iter().map(entry).collect();
    Ok(Json(json!({ "path": path(&params), "entries": entries, "more": folder.more })))
}

fn entry(file: &FileInfo) -> Value {
    let mtime = jiff::Timestamp::from_nanosecond(i128::from(file.mtime_unix_ns)).unwrap_or_default();
    let mut entry = json!({
        "name": file.name,
        "type": kind(file.mode),
        "size": file.size,
        "mode": file.mode & 0o7777,
        "mtime": mtime.to_string(),
        "uid": file.uid,
        "gid": file.gid,
    });
    if !file.link_target.is_empty() {
        entry["link_target"] = json!(file.link_target);
    }
    entry
}

fn kind(mode: u32) -> &'static str {
    match mode & 0o170_000 {
        0o040_000 => "directory",
        0o100_000 => "file",
        0o120_000 => "link",
        0o060_000 => "block",
        0o020_000 => "character",
        0o010_000 => "fifo",
        0o140_000 => "socket",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_what_they_are() {
        let file = FileInfo {
            name: "a".to_owned(),
            size: 3,
            mode: 0o100_640,
            mtime_unix_ns: 1_500_000_000,
            uid: 7,
            gid: 8,
            link_target: String::new(),
        };
        let told = json!({
            "name": "a", "type": "file", "size": 3, "mode": 0o640, "mtime": "1970-01-01T00:00:01.5Z", "uid": 7, "gid": 8
        });
        assert_eq!(entry(&file), told);
        let link = FileInfo { mode: 0o120_777, link_target: "../x".to_owned(), ..file };
        assert_eq!((&entry(&link)["type"], &entry(&link)["link_target"]), (&json!("link"), &json!("../x")));
    }
}
