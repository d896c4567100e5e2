//! The requests of a push (`distribution-spec`, "Push"), one method each.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use types::Digest;

use super::plan::{Blob, Content};
use super::report::Meter;
use crate::registry::{Call, Payload, Said, Session, said};
use crate::{PullError, PushError};

const PIECE_BYTES: usize = 256 << 10;

/// One repository that is pushed to.
#[derive(Debug)]
pub(super) struct Remote {
    session: Session,
}

/// An upload that has begun.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// Where the next request of it goes.
    location: Url,
    /// No chunk but the last may be smaller (`OCI-Chunk-Min-Length`).
    pub(super) least_chunk_bytes: u64,
}

/// The answer to a mount.
#[derive(Debug)]
pub(super) enum Mount {
    Mounted,
    /// The registry would rather have the bytes.
    Upload(Upload),
    /// The other repository is not for us.
    Refused,
}

/// A part of a blob, on its way.
pub(super) struct Part<'a> {
    pub(super) blob: &'a Blob,
    pub(super) from_byte: u64,
    pub(super) part_bytes: u64,
    pub(super) meter: Option<&'a Arc<Meter>>,
}

impl Remote {
    pub(super) fn new(session: Session) -> Self {
        Self { session }
    }

    pub(super) fn host(&self) -> String {
        self.session.host()
    }

    /// Whether the repository has the blob.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, PushError> {
        let path = format!("blobs/{digest}");
        let response = self.session.send(&Call::new(Method::HEAD, path)).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal("the check of a blob", response).await),
        }
    }

    /// Takes the blob over from another repository of the registry.
    pub(super) async fn mount(&self, digest: &Digest, from: &str) -> Result<Mount, PushError> {
        let path = format!("blobs/uploads/?mount={digest}&from={from}");
        let call = Call::new(Method::POST, path).headers(no_body()).mount_from(from);
        let response = match self.session.send(&call).await {
            Ok(response) => response,
            // A token service that grants nothing when the other repository is asked for, too.
            Err(PullError::Unauthorized { .. } | PullError::AccessDenied { .. }) => {
                return Ok(Mount::Refused);
            }
            Err(error) => return Err(error.into()),
        };
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Mounted),
            StatusCode::ACCEPTED => self.upload(&response, None).map(Mount::Upload),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(Mount::Refused),
            _ => Err(self.refusal("a mount", response).await),
        }
    }

    pub(super) async fn begin(&self) -> Result<Upload, PushError> {
        let call = Call::new(Method::POST, "blobs/uploads/").headers(no_body());
        let response = self.session.send(&call).await?;
        match response.status() {
            StatusCode::ACCEPTED => self.upload(&response, None),
            _ => Err(self.refusal("the beginning of an upload", response).await),
        }
    }

    /// Gives an upload up. Whether the registry takes note does not matter.
    pub(super) async fn abandon(&self, upload: Upload) {
        if let Err(error) = self.session.send(&at(Method::DELETE, &upload.location)).await {
            tracing::debug!(%error, "an upload that was given up stays at the registry");
        }
    }

    /// The whole blob in one request.
    pub(super) async fn put_whole(&self, upload: &Upload, part: Part<'_>) -> Result<(), PushError> {
        let mut headers = octets();
        headers.insert(CONTENT_LENGTH, part.part_bytes.into());
        let call = at(Method::PUT, &finished(&upload.location, &part.blob.digest));
        let call = call.headers(headers).body(body(&part));
        self.stored(self.session.send(&call).await?).await
    }

    /// The next chunk.
    pub(super) async fn patch(&self, upload: &Upload, part: Part<'_>) -> Result<Upload, PushError> {
        let mut headers = octets();
        headers.insert(CONTENT_LENGTH, part.part_bytes.into());
        // Not the form of RFC 9110: the distribution specification has no unit here.
        let last = part.from_byte + part.part_bytes.saturating_sub(1);
        headers.insert(CONTENT_RANGE, text(&format!("{}-{last}", part.from_byte)));
        let call = at(Method::PATCH, &upload.location).headers(headers).body(body(&part));
        let response = self.session.send(&call).await?;
        match response.status() {
            StatusCode::ACCEPTED => self.upload(&response, Some(upload)),
            _ => Err(self.refusal("a chunk", response).await),
        }
    }

    /// How many bytes of an upload the registry has.
    pub(super) async fn received(&self, upload: &Upload) -> Result<(Upload, u64), PushError> {
        let response = self.session.send(&at(Method::GET, &upload.location)).await?;
        if !response.status().is_success() {
            return Err(self.refusal("the state of an upload", response).await);
        }
        let range = response.headers().get("range").and_then(|value| value.to_str().ok());
        let bytes = range.and_then(next_byte).ok_or_else(|| self.protocol("an upload without its range"))?;
        Ok((self.upload(&response, Some(upload))?, bytes))
    }

    /// All chunks are there.
    pub(super) async fn finish(&self, upload: &Upload, digest: &Digest) -> Result<(), PushError> {
        let call = at(Method::PUT, &finished(&upload.location, digest)).headers(no_body());
        self.stored(self.session.send(&call).await?).await
    }

    async fn stored(&self, response: Response) -> Result<(), PushError> {
        match response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(self.refusal("an upload", response).await),
        }
    }

    pub(super) async fn put_manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: Bytes,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, text(media_type));
        let call = Call::new(Method::PUT, format!("manifests/{tag}"));
        let call = call.headers(headers).body(Payload::Bytes(bytes));
        let response = self.session.send(&call).await?;
        if !response.status().is_success() {
            return Err(self.refusal("the manifest", response).await);
        }
        let told = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        match told {
            Some(told) if told != digest.to_string() => {
                Err(self.protocol(&format!("the manifest {digest} was stored as {told}")))
            }
            _ => Ok(()),
        }
    }

    fn upload(&self, response: &Response, before: Option<&Upload>) -> Result<Upload, PushError> {
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let location = match (header(LOCATION), before) {
            (Some(location), _) => {
                response.url().join(location).map_err(|_| self.protocol("an upload at no address"))?
            }
            (None, Some(before)) => before.location.clone(),
            (None, None) => return Err(self.protocol("an upload without a location")),
        };
        let least =
            header(HeaderName::from_static("oci-chunk-min-length")).and_then(|text| text.parse().ok());
        let least_chunk_bytes = least.or(before.map(|upload| upload.least_chunk_bytes)).unwrap_or(0);
        Ok(Upload { location, least_chunk_bytes })
    }

    fn protocol(&self, detail: &str) -> PushError {
        PushError::Protocol { host: self.host(), detail: detail.to_owned() }
    }

    /// The registry's error in Docker's words.
    async fn refusal(&self, what: &str, response: Response) -> PushError {
        let (status, host) = (response.status(), self.host());
        tracing::debug!(%status, host, "the registry refused {what}");
        let said = said(response, &host).await;
        PushError::Refused { status: status.as_u16(), message: words(status, said) }
    }
}

/// As the distribution project's `errcode` writes them.
fn words(status: StatusCode, said: Said) -> String {
    let code = said.code.to_lowercase().replace('_', " ");
    match status {
        _ if !code.is_empty() => format!("{code}: {}", said.or(&code)),
        StatusCode::UNAUTHORIZED => format!("unauthorized: {}", said.or("authentication required")),
        StatusCode::FORBIDDEN => {
            format!("denied: {}", said.or("requested access to the resource is denied"))
        }
        _ => format!("received unexpected HTTP status: {status}{}", said.suffix()),
    }
}

/// `0-1023` or `bytes=0-1023`: the byte behind. Nothing received is `0-0` with some, `0--1` with others.
fn next_byte(range: &str) -> Option<u64> {
    let range = range.trim().trim_start_matches("bytes=");
    let last = range.strip_prefix("0-")?;
    match last {
        "-1" | "0" => Some(0),
        last => last.parse::<u64>().ok()?.checked_add(1),
    }
}

fn at(method: Method, location: &Url) -> Call {
    Call::new(method, location.as_str())
}

fn finished(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

/// Some servers refuse a request without a body that does not say so.
fn no_body() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("0"))])
}

fn octets() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))])
}

/// The part's bytes, from its first one each time that they are asked for.
fn body(part: &Part<'_>) -> Payload {
    let (from_byte, part_bytes) = (part.from_byte, part.part_bytes);
    let meter = part.meter.cloned();
    match part.blob.content.clone() {
        Content::Bytes(bytes) => Payload::Bytes(bytes),
        Content::File(path) => Payload::Stream(Box::new(move || {
            let (path, meter) = (path.clone(), meter.clone());
            let opened = async move {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(std::io::SeekFrom::Start(from_byte)).await?;
                Ok::<_, std::io::Error>(file.take(part_bytes))
            };
            let pieces = stream::once(opened).flat_map(|opened| match opened {
                Ok(file) => tokio_util::io::ReaderStream::with_capacity(file, PIECE_BYTES).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            });
            let mut at = from_byte;
            reqwest::Body::wrap_stream(pieces.inspect(move |piece| {
                if let (Ok(piece), Some(meter)) = (piece, &meter) {
                    at += piece.len() as u64;
                    meter.at(at);
                }
            }))
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_in_dockers_words() {
        for (status, code, message, expected) in [
            (
                401,
                "DENIED",
                "requested access to the resource is denied",
                "denied: requested access to the resource is denied",
            ),
            (404, "NAME_UNKNOWN", "", "name unknown: name unknown"),
            (401, "", "", "unauthorized: authentication required"),
            (403, "", "", "denied: requested access to the resource is denied"),
            (500, "", "", "received unexpected HTTP status: 500 Internal Server Error"),
        ] {
            let said = Said { code: code.into(), message: message.into() };
            assert_eq!(words(StatusCode::from_u16(status).unwrap(), said), expected);
        }
    }

    #[test]
    fn ranges_of_uploads() {
        for (range, next) in [
            ("0-1023", Some(1024)),
            ("bytes=0-9", Some(10)),
            ("0-0", Some(0)),
            ("0--1", Some(0)),
            ("5-9", None),
            ("0-18446744073709551615", None),
            ("x", None),
        ] {
            assert_eq!(next_byte(range), next, "{range}");
        }
    }

    #[test]
    fn a_location_keeps_its_own_query() {
        let digest = Digest::of(b"x");
        let url = finished(&"http://r/v2/a/blobs/uploads/1?_state=a%3D".parse().unwrap(), &digest);
        assert_eq!(url.query(), Some(format!("_state=a%3D&digest=sha256%3A{}", digest.hex()).as_str()));
    }
}
