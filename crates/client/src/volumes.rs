//! A volume's files, without a container.

use bytes::Bytes;
use futures::Stream;
use hyper::Method;
use serde::Deserialize;

use crate::{
    CallError, Client,
    browse::percent_encoded,
    client::{PROBE, TRANSFER},
    http::{self, Answer},
};

impl Client {
    /// What lies in a folder of a volume, behind the name `after`.
    pub async fn volume_files(
        &self,
        volume: &str,
        path: &str,
        after: Option<&str>,
    ) -> Result<VolumeFolder, CallError> {
        let mut url = url(volume, "files", path);
        if let Some(after) = after {
            url.push_str("&after=");
            url.push_str(&percent_encoded(after.as_bytes()));
        }
        http::send(&self.endpoint().socket(), Method::GET, &url, PROBE).await?.json(PROBE).await
    }

    /// The tar of a path of a volume, named after its last part.
    pub async fn volume_archive(&self, volume: &str, path: &str) -> Result<VolumeArchive, CallError> {
        let url = url(volume, "archive", path);
        Ok(VolumeArchive { answer: http::send(&self.endpoint().socket(), Method::GET, &url, PROBE).await? })
    }

    /// Unpacks a tar into a folder of a volume.
    pub async fn volume_unpack(
        &self,
        volume: &str,
        folder: &str,
        tar: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), CallError> {
        let url = url(volume, "archive", folder);
        http::send_stream(&self.endpoint().socket(), Method::PUT, &url, tar, TRANSFER).await.map(drop)
    }
}

fn url(volume: &str, what: &str, path: &str) -> String {
    let (volume, path) = (percent_encoded(volume.as_bytes()), percent_encoded(path.as_bytes()));
    format!("/coracle/volumes/{volume}/{what}?path={path}")
}

/// A part of a folder's names, in their order.
#[derive(Clone, Debug, Deserialize)]
pub struct VolumeFolder {
    /// As many as came.
    pub entries: Vec<VolumeFile>,
    /// There are more behind the last.
    pub more: bool,
}

/// One of them.
#[derive(Clone, Debug, Deserialize)]
pub struct VolumeFile {
    /// Without its folder.
    pub name: String,
    /// `file`, `directory`, `link`, `block`, `character`, `fifo`, `socket`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes.
    pub size: i64,
    /// Permission bits.
    pub mode: u32,
    /// When it was changed, RFC 3339.
    pub mtime: String,
    /// What a link says.
    pub link_target: Option<String>,
}

/// A tar that is being read. Dropping it hangs up.
pub struct VolumeArchive {
    answer: Answer,
}

impl VolumeArchive {
    /// The next piece; none at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        self.answer.piece().await
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_encoded() {
        assert_eq!(super::url("a b", "files", "/x&y/é"), "/coracle/volumes/a%20b/files?path=/x%26y/%C3%A9");
    }
}
