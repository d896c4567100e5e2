//! A long operation told as a stream of JSON messages.
//!
//! Until the first message nothing is sent, so that what fails early gets a status of its own; what fails
//! later becomes the stream's last message. A client that hangs up cancels the operation.

use std::future::Future;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use images::Progress;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Answer, ApiError};
use crate::state::Api;
use crate::streams::line;

/// Messages that may wait for a slow client; more are dropped by the store, not waited for.
const BACKLOG: usize = 256;

/// Starts `work`, which is to send its messages to the sender and to end soon after the token is cancelled, and
/// answers with what it tells.
pub(crate) async fn stream_of<M, F>(
    api: &Api,
    work: impl FnOnce(mpsc::Sender<M>, CancellationToken) -> F,
    text: fn(&M) -> Value,
) -> Answer<Response>
where
    M: Send + 'static,
    F: Future<Output = Result<(), engine::Error>> + Send + 'static,
{
    let cancel = api.stopping.child_token();
    let guard = cancel.clone().drop_guard();
    let (sender, messages) = mpsc::channel(BACKLOG);
    let (done, ended) = oneshot::channel();
    let work = work(sender, cancel);
    // A task of its own: when the client goes it is told to end, not dropped half way.
    api.tasks.spawn(async move { drop(done.send(work.await)) });
    let mut running = Running { messages, ended: Some(ended), _guard: guard };
    let first = match running.next().await {
        Some(Err(error)) => return Err(error),
        first => first,
    };
    let rest = stream::unfold(running, |mut running| async move { Some((running.next().await?, running)) });
    let lines = stream::iter(first).chain(rest).map(move |message| {
        line(&match message {
            Ok(message) => text(&message),
            Err(error) => failed(&error),
        })
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, Body::from_stream(lines)).into_response())
}

struct Running<M> {
    messages: mpsc::Receiver<M>,
    ended: Option<oneshot::Receiver<Result<(), engine::Error>>>,
    _guard: DropGuard,
}

impl<M> Running<M> {
    /// The next message; none after a success's last or a failure.
    async fn next(&mut self) -> Option<Result<M, ApiError>> {
        // The sender goes with the work, so its messages all come before its result.
        if let Some(message) = self.messages.recv().await {
            return Some(Ok(message));
        }
        match self.ended.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error.into())),
            Err(_) => {
                let text = "the operation ended without a result";
                Some(Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, text)))
            }
        }
    }
}

fn failed(error: &ApiError) -> Value {
    json!({ "errorDetail": { "message": error.message }, "error": error.message })
}

/// One line of the display, as Docker writes it.
pub(crate) fn progress(progress: &Progress) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_dockers() {
        let detail = Some(images::ProgressDetail { current: 1, total: 2 });
        let message = Progress { id: Some("abc".into()), status: "Downloading".into(), detail };
        assert_eq!(
            progress(&message),
            json!({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "abc"})
        );
        assert_eq!(failed(&ApiError::bad("no")), json!({"error": "no", "errorDetail": {"message": "no"}}));
    }
}
