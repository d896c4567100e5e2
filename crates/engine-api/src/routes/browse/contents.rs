//! `/coracle/images/{id}/file`: a file's bytes, or a range of them (RFC 9110 sections 13 and 14).

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use images::browse::{Held, OpenFile};
use tokio::sync::mpsc;

use super::{blocking, hold, path};
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;

pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// Pieces read before they are sent.
pub(super) const AHEAD: usize = 4;

/// `path` and `layer`; `HEAD` is answered without the bytes.
pub(super) async fn file(api: &Api, name: &str, params: &Params, request: &Parts) -> Answer<Response> {
    let (layer, path) = (params.number("layer")?, path(request));
    let held = hold(api, name).await?;
    let (held, file) = blocking(move || {
        let file = held.tree(layer)?.into_file(&path)?;
        Ok((held, file))
    })
    .await?;
    let (size, tag) = (file.size_bytes(), format!("\"{}\"", &file.tag().hex()[..32]));
    let mut head = HeaderMap::new();
    head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(header::ETAG, value(&tag));
    head.insert("coracle-layer", HeaderValue::from(file.layer()));
    if none_match(&request.headers, &tag) {
        return done(held, file, (StatusCode::NOT_MODIFIED, head).into_response()).await;
    }
    let (status, start, end) = match range(&request.headers, &tag, size) {
        Asked::Whole => (StatusCode::OK, 0, size),
        Asked::Part(start, end) => {
            head.insert(header::CONTENT_RANGE, value(&format!("bytes {start}-{}/{size}", end - 1)));
            (StatusCode::PARTIAL_CONTENT, start, end)
        }
        Asked::Nothing => {
            head.insert(header::CONTENT_RANGE, value(&format!("bytes */{size}")));
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such range");
            return done(held, file, (head, error).into_response()).await;
        }
    };
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    head.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    if request.method == Method::HEAD {
        return done(held, file, (status, head).into_response()).await;
    }
    Ok((status, head, body(held, file, start, end, api)).into_response())
}

/// Lets go of the image, which may write to the database.
async fn done(held: Held, file: OpenFile, response: Response) -> Answer<Response> {
    blocking(move || {
        drop((file, held));
        Ok(())
    })
    .await?;
    Ok(response)
}

/// The bytes, read a little ahead of the client. A layer that breaks off breaks the connection off.
fn body(held: Held, file: OpenFile, start: u64, end: u64, api: &Api) -> Body {
    let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut at = start;
        while at < end {
            let mut piece = vec![0; (end - at).min(PIECE_BYTES as u64) as usize];
            let read = match file.read(at, &mut piece) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    at += count as u64;
                    piece.truncate(count);
                    Ok(Bytes::from(piece))
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a file of an image breaks off"
                    );
                    Err(io::Error::other(error))
                }
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                break;
            }
        }
        drop((file, held));
    });
    self::pieces(pieces, api)
}

/// A body of what comes, until coracled stops.
pub(super) fn pieces(pieces: mpsc::Receiver<io::Result<Bytes>>, api: &Api) -> Body {
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    Body::from_stream(pieces.take_until(api.stopping.clone().cancelled_owned()))
}

/// What part is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// From the first byte to behind the last.
    Part(u64, u64),
    /// A part that is not there.
    Nothing,
}

/// One range is honoured; several at once, other units and what is no range are answered with the whole, as the RFC
/// allows.
fn range(headers: &HeaderMap, tag: &str, size: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(ranges) = text(header::RANGE).and_then(|text| text.strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|condition| condition != tag) {
        return Asked::Whole;
    }
    let Some((first, last)) = ranges.trim().split_once('-') else { return Asked::Whole };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return Asked::Whole;
    }
    // A number beyond all files is one beyond this.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let (start, end) = match (first, last) {
        ("", count) => (size.saturating_sub(number(count)), size),
        (first, "") => (number(first), size),
        (first, last) if number(first) > number(last) => return Asked::Whole,
        (first, last) => (number(first), number(last).saturating_add(1).min(size)),
    };
    if start < end { Asked::Part(start, end) } else { Asked::Nothing }
}

fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and ASCII punctuation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        use Asked::{Nothing, Part, Whole};
        for (text, asked) in [
            ("bytes=0-0", Part(0, 1)),
            ("bytes=5-", Part(5, 10)),
            ("bytes=-3", Part(7, 10)),
            ("bytes=-30", Part(0, 10)),
            ("bytes=8-99999999999999999999999", Part(8, 10)),
            ("bytes=10-", Nothing),
            ("bytes=10-12", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=5-3", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=x-", Whole),
            ("lines=0-1", Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
            assert_eq!(range(&headers, "\"t\"", 10), asked, "{text}");
        }
        let mut headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=1-"))]);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(range(&headers, "\"t\"", 10), Whole);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"t\""));
        assert_eq!(range(&headers, "\"t\"", 10), Part(1, 10));
    }
}
