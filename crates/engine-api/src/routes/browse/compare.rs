//! `/coracle/images/diff?a=&b=`: one JSON value a line, as the differences are found.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::Response;
use futures::stream;
use http::Uri;
use images::browse::{self, BrowseError, Compared, Tree};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answers::Line;
use super::{bytes, hold, limit, open};
use crate::error::{Answer, ApiError, full_text};
use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;

/// Lines found before they are sent.
const AHEAD: usize = 256;

/// `a`, `b`, and for pages `limit` and `after`: the path behind which to go on.
pub(super) async fn diff(State(api): State<Api>, params: Params, uri: Uri) -> Answer<Response> {
    let name = |key: &str| {
        params.text(key).ok_or_else(|| ApiError::bad(format!("bad parameter: {key:?} cannot be empty")))
    };
    let (a, b, limit) = (name("a")?, name("b")?, limit(&params)?);
    let after = bytes::value(&uri, "after");
    let (before, then) = (open(hold(&api, a).await?, None).await?, open(hold(&api, b).await?, None).await?);
    let (sender, lines) = mpsc::channel(AHEAD);
    let gone = CancellationToken::new();
    let cancelled = gone.clone();
    tokio::task::spawn_blocking(move || {
        let limit = limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
        let last = compare(&before.1, &then.1, after.as_deref(), limit, &cancelled, &sender);
        let last = last.unwrap_or_else(|error| Line::Error { message: full_text(&error) });
        // Nobody may be listening any more.
        drop(sender.blocking_send(last));
    });
    let lines = stream::unfold((lines, gone.drop_guard()), |(mut lines, guard)| async move {
        Some((lines.recv().await?, (lines, guard)))
    });
    Ok(ndjson(lines, api.stopping.clone()))
}

/// Sends up to `limit` differences; what the last line is to say.
fn compare(
    before: &Tree,
    then: &Tree,
    after: Option<&[u8]>,
    limit: usize,
    cancelled: &CancellationToken,
    lines: &mpsc::Sender<Line>,
) -> Result<Line, BrowseError> {
    let (mut added, mut removed, mut changed) = (0, 0, 0);
    let (mut sent, mut last, mut more) = (0, Vec::new(), false);
    let end = browse::diff(before, then, after, cancelled, |change| {
        if sent == limit {
            more = true;
            return ControlFlow::Break(());
        }
        let line = Line::new(&change);
        match &line {
            Line::Added(_) => added += 1,
            Line::Removed(_) => removed += 1,
            _ => changed += 1,
        }
        if lines.blocking_send(line).is_err() {
            return ControlFlow::Break(());
        }
        sent += 1;
        last = change.path;
        ControlFlow::Continue(())
    })?;
    let next = (end == Compared::Stopped && more).then(|| bytes::encoded(&last));
    Ok(Line::End { added, removed, changed, next })
}
