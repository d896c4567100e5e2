//! Looking into images: `/coracle/images/*`.
//!
//! Names in an image are bytes. `name` and `path` are text for people; where that is not all of it, the
//! percent-encoded form stands beside it, ready for the next query.

use serde::{Deserialize, Serialize};

use crate::CallError;
use crate::http::{Answer, Lines};

/// A path in an image, and what is in it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ImageFiles {
    /// The image's id.
    pub image: String,
    /// The path, without symbolic links.
    pub path: String,
    /// The path percent-encoded, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_encoded: Option<String>,
    /// What is there.
    pub entry: FileEntry,
    /// Of a directory: its names, sorted by their bytes.
    pub entries: Vec<FileEntry>,
    /// The next query's `after`, percent-encoded; none at the end.
    pub next: Option<String>,
    /// The layers that own one of the entries.
    pub layers: Vec<LayerName>,
}

/// Which layer an entry's `layer` is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LayerName {
    /// Counted from 0, the lowest.
    pub index: usize,
    /// Digest of its tar.
    pub diff_id: String,
    /// The instruction that made it.
    pub created_by: Option<String>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A layer's mark that lower layers' file of this name is gone.
    Whiteout,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A file as one layer has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FileEntry {
    /// Its name in its directory; empty for the root.
    pub name: String,
    /// The name percent-encoded, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_encoded: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub file_type: FileType,
    /// Permission bits, at most `0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file's contents or of a link's target.
    pub size_bytes: u64,
    /// Modified, seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// How many names the file has in its layer.
    pub links: u32,
    /// Where a symbolic link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The target percent-encoded, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_encoded: Option<String>,
    /// A device's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceNumber>,
    /// Names of its extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
    /// The value of `security.capability`, as hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// The layer that it comes from, counted from 0, the lowest.
    pub layer: usize,
    /// Whether, as a directory, it hides what lower layers have in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
}

/// A device's number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// What an image's layers are and hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ImageLayers {
    /// The image's id.
    pub image: String,
    /// Lowest first.
    pub layers: Vec<LayerInfo>,
    /// Bytes of all layers' files.
    pub content_bytes: u64,
    /// Of those, what the merged image does not show.
    pub wasted_bytes: u64,
    /// The share of all bytes that the merged image shows, from 0 to 1.
    pub efficiency: f64,
    /// The paths where most is wasted, the worst first.
    pub wasted: Vec<WastedPath>,
}

/// A layer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LayerInfo {
    /// Counted from 0, the lowest.
    pub index: usize,
    /// Digest of its tar.
    pub diff_id: String,
    /// Digest of its blob.
    pub digest: String,
    /// The blob's media type.
    pub media_type: String,
    /// RFC 3339.
    pub created: Option<String>,
    /// The instruction that made it.
    pub created_by: Option<String>,
    /// A remark of the builder.
    pub comment: Option<String>,
    /// The tar's bytes.
    pub size_bytes: u64,
    /// The blob's bytes.
    pub compressed_bytes: u64,
    /// What it takes on the layer disk.
    pub disk_bytes: u64,
    /// Bytes of its files.
    pub content_bytes: u64,
    /// Of those, what later layers overwrite or delete.
    pub wasted_bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of its files.
    pub hard_links: u64,
    /// Devices, pipes and sockets.
    pub specials: u64,
    /// Names of lower layers that it deletes.
    pub whiteouts: u64,
}

/// A path whose copies are hidden.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct WastedPath {
    /// The path; for a directory all that is in it.
    pub path: String,
    /// The path percent-encoded, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_encoded: Option<String>,
    /// Bytes of all hidden copies.
    pub bytes: u64,
    /// How many files are hidden.
    pub files: u64,
    /// The layers that hold the hidden copies, uppermost first.
    pub layers: Vec<usize>,
    /// The layer that hides them.
    pub hidden_by: usize,
}

/// A line of a comparison of two images.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DiffLine {
    /// Only the second image has the path.
    Added(Difference),
    /// Only the first image has the path.
    Removed(Difference),
    /// Both have it, otherwise.
    Changed(Difference),
    /// The last line.
    End {
        /// How many were added.
        #[serde(default)]
        added: u64,
        /// How many were removed.
        #[serde(default)]
        removed: u64,
        /// How many were changed.
        #[serde(default)]
        changed: u64,
        /// The next query's `after`, percent-encoded, where there is more.
        #[serde(default)]
        next: Option<String>,
    },
    /// The last line of a comparison that failed.
    Error {
        /// Why, for people.
        #[serde(default)]
        message: String,
    },
    /// What this client does not know.
    #[serde(other)]
    Unknown,
}

/// A path that two images have otherwise.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Difference {
    /// The path.
    pub path: String,
    /// The path percent-encoded, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_encoded: Option<String>,
    /// What the first image has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FileEntry>,
    /// What the second image has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<FileEntry>,
    /// What differs: `type`, `mode`, `owner`, `size`, `content`, `target`, `device`, `xattrs`, `time`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// What is asked of a path in an image.
#[derive(Clone, Debug, Default)]
pub struct FilesQuery<'a> {
    /// The path's bytes.
    pub path: &'a [u8],
    /// One layer alone.
    pub layer: Option<usize>,
    /// Whether a symbolic link at the end is followed.
    pub follow: bool,
    /// [`ImageFiles::next`] of the page before.
    pub after: Option<&'a str>,
}

impl FilesQuery<'_> {
    /// The call's path and query.
    pub(crate) fn url(&self, image: &str, what: &str) -> String {
        let image = percent_encoded(image.as_bytes());
        let mut url = format!("/coracle/images/{image}/{what}?path={}", percent_encoded(self.path));
        if let Some(layer) = self.layer {
            url.push_str(&format!("&layer={layer}"));
        }
        if self.follow {
            url.push_str("&follow=1");
        }
        if let Some(after) = self.after {
            url.push_str(&format!("&after={after}"));
        }
        url
    }
}

/// As a URL holds bytes (RFC 3986 section 2.1).
pub(crate) fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The differences of two images, as they are found. Dropping it hangs up.
pub struct ImageDiff {
    pub(crate) lines: Lines,
}

impl ImageDiff {
    /// The next line; none when coracled has closed the stream.
    pub async fn next(&mut self) -> Result<Option<DiffLine>, CallError> {
        self.lines.next().await
    }
}

/// A file's bytes, as they come. Dropping it hangs up.
pub struct ImageFile {
    pub(crate) answer: Answer,
}

impl ImageFile {
    /// How many will come, where coracled says so.
    pub fn size_bytes(&self) -> Option<u64> {
        let length = self.answer.headers.get(hyper::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, CallError> {
        self.answer.piece().await
    }
}
