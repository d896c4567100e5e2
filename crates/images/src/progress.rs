//! Progress of a pull in the words of Docker's JSON messages.

/// One message. `id` is a layer's short id, or the tag for the first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which line of the display changes; none for a line of its own.
    pub id: Option<String>,
    /// Docker's text: `Pulling fs layer`, `Downloading`, `Pull complete`, …
    pub status: String,
    /// Bytes, with `Downloading` and `Extracting`.
    pub detail: Option<ProgressDetail>,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressDetail {
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Progress {
    pub(crate) fn line(status: impl Into<String>) -> Self {
        Self { id: None, status: status.into(), detail: None }
    }

    pub(crate) fn of(id: &str, status: &str) -> Self {
        Self { id: Some(id.to_owned()), status: status.to_owned(), detail: None }
    }

    pub(crate) fn bytes(id: &str, status: &str, current: u64, total: u64) -> Self {
        Self { detail: Some(ProgressDetail { current, total }), ..Self::of(id, status) }
    }
}
