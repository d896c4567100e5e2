//! A file behind a URL, for an import.

use futures::TryStreamExt as _;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

/// Why a URL gives nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No answer.
    #[error("{url} cannot be read: {cause}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The innermost reasons.
        cause: String,
    },
    /// Docker's words.
    #[error("Got HTTP status code >= 400: {0}")]
    Status(reqwest::StatusCode),
}

/// Begins to read what a URL leads to. The environment's proxies are used.
///
/// # Errors
/// [`UrlError`].
pub async fn open_url(url: &str) -> Result<impl AsyncRead + Send + Unpin + use<>, UrlError> {
    let answered = reqwest::get(url).await.map_err(|error| {
        let mut cause = error.without_url().to_string();
        cause.truncate(500);
        UrlError::Unreachable { url: url.to_owned(), cause }
    })?;
    if answered.status().is_client_error() || answered.status().is_server_error() {
        return Err(UrlError::Status(answered.status()));
    }
    Ok(StreamReader::new(answered.bytes_stream().map_err(std::io::Error::other)))
}
