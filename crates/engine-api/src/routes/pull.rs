//! `POST /images/create`: a pull with its progress as a stream of JSON messages.
//!
//! Until the first message nothing is sent, so that what fails early gets a status of its own; what
//! fails later becomes the stream's last message. A client that hangs up cancels the pull.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use images::Progress;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;
use types::Reference;

use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::registry_auth;
use crate::state::Api;
use crate::streams::line;

/// Messages that may wait for a slow client; more are dropped by the store, not waited for.
const BACKLOG: usize = 256;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/images/create", post(create))
}

async fn create(State(api): State<Api>, params: Params, headers: HeaderMap, body: Body) -> Answer<Response> {
    if params.text("fromSrc").is_some() {
        return super::archives::import(api, params, body).await;
    }
    let reference = reference(params.text("fromImage").unwrap_or_default(), params.text("tag"))?;
    let platform = params.text("platform").map(str::parse::<images::Platform>).transpose();
    let platform = platform.map_err(|error| ApiError::bad(error.to_string()))?;
    let credentials = registry_auth::credentials(&headers);

    let cancel = api.stopping.child_token();
    let guard = cancel.clone().drop_guard();
    let (progress, messages) = mpsc::channel(BACKLOG);
    let (done, ended) = oneshot::channel();
    let engine = api.engine.clone();
    // A task of its own: when the client goes it is told to end, not dropped half way.
    api.tasks.spawn(async move {
        let result = engine.pull(&reference, platform, credentials, progress, cancel).await;
        drop(done.send(result.map(drop)));
    });

    let mut pull = Pull { messages, ended: Some(ended), _guard: guard };
    let first = match pull.next().await {
        Some(Message::Failed(error)) => return Err(error),
        first => first,
    };
    let rest = stream::unfold(pull, |mut pull| async move { Some((pull.next().await?, pull)) });
    let lines = stream::iter(first).chain(rest).map(|message| message.line());
    let body = Body::from_stream(lines);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

struct Pull {
    messages: mpsc::Receiver<Progress>,
    ended: Option<oneshot::Receiver<Result<(), engine::Error>>>,
    _guard: DropGuard,
}

enum Message {
    Progress(Progress),
    Failed(ApiError),
}

impl Pull {
    /// The next message; none after a success's last or a failure.
    async fn next(&mut self) -> Option<Message> {
        // The sender goes with the pull, so its messages all come before its result.
        if let Some(progress) = self.messages.recv().await {
            return Some(Message::Progress(progress));
        }
        match self.ended.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Message::Failed(error.into())),
            Err(_) => {
                let text = "the pull ended without a result";
                Some(Message::Failed(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, text)))
            }
        }
    }
}

impl Message {
    fn line(&self) -> Result<Bytes, serde_json::Error> {
        line(&match self {
            Self::Progress(progress) => progress_json(progress),
            Self::Failed(error) => {
                json!({ "errorDetail": { "message": error.message }, "error": error.message })
            }
        })
    }
}

pub(super) fn progress_json(progress: &Progress) -> Value {
    let mut message = json!({ "status": progress.status });
    if let Some(detail) = progress.detail {
        message["progressDetail"] = json!({ "current": detail.current, "total": detail.total });
    } else if progress.id.is_some() {
        message["progressDetail"] = json!({});
    }
    if let Some(id) = &progress.id {
        message["id"] = json!(id);
    }
    message
}

/// `tag` may be a digest. Without one it is `latest`: what Docker's own client asks for, and never
/// every tag of a repository.
fn reference(image: &str, tag: Option<&str>) -> Result<Reference, ApiError> {
    let text = match tag {
        Some(digest) if digest.starts_with("sha256:") => format!("{image}@{digest}"),
        Some(tag) => format!("{image}:{tag}"),
        None => image.to_owned(),
    };
    text.parse().map_err(|error| ApiError::bad(format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined() {
        for (image, tag, whole) in [
            ("busybox", Some("1.36"), "busybox:1.36"),
            ("busybox", None, "busybox:latest"),
            ("localhost:5000/a/b", Some("x"), "localhost:5000/a/b:x"),
            ("busybox:1.36", None, "busybox:1.36"),
        ] {
            assert_eq!(reference(image, tag).unwrap().familiar(), whole);
        }
        let digest = types::Digest::of(b"x").to_string();
        assert_eq!(reference("busybox", Some(&digest)).unwrap().familiar(), format!("busybox@{digest}"));
        assert_eq!(reference("Busybox", None).unwrap_err().status, StatusCode::BAD_REQUEST);
        assert!(reference("", Some("x")).is_err());
    }

    #[test]
    fn messages_are_dockers() {
        let detail = Some(images::ProgressDetail { current: 1, total: 2 });
        let message = Progress { id: Some("abc".into()), status: "Downloading".into(), detail };
        assert_eq!(
            progress_json(&message),
            json!({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "abc"})
        );
        let failed = Message::Failed(ApiError::bad("no")).line().unwrap();
        assert_eq!(&failed[..], b"{\"error\":\"no\",\"errorDetail\":{\"message\":\"no\"}}\n");
    }
}
