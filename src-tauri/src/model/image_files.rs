//! What lies in an image's layers.
//!
//! Names in an image are bytes. Paths cross percent-encoded, names as text for people and, where that is not all of a
//! name, encoded beside it.

use client::{DiffLine, FileEntry, FileType};
use serde::Serialize;
use ts_rs::TS;

/// A directory's names, or as many as fit one answer.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageFolder {
    pub(crate) entries: Vec<ImageEntry>,
    /// The next call's `after`; none at the end.
    pub(crate) next: Option<String>,
}

/// A file as one layer has it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageEntry {
    pub(crate) name: String,
    /// Where `name` is not all of it.
    pub(crate) name_encoded: Option<String>,
    /// `file`, `directory`, `symlink`, `char_device`, `block_device`, `fifo`, `socket`, `whiteout`, `unknown`.
    pub(crate) kind: ImageEntryKind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    #[ts(type = "number")]
    pub(crate) size_bytes: u64,
    #[ts(type = "number")]
    pub(crate) modified_unix_s: i64,
    pub(crate) target: Option<String>,
    /// The layer that it comes from, counted from 0, the lowest.
    pub(crate) layer: usize,
    /// Whether, as a directory, it hides what lower layers have in it.
    pub(crate) opaque: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImageEntryKind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    Whiteout,
    Unknown,
}

/// What an image's layers are and hold.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageLayers {
    /// Lowest first.
    pub(crate) layers: Vec<ImageLayer>,
    /// Bytes of all layers' files.
    #[ts(type = "number")]
    pub(crate) content_bytes: u64,
    /// Of those, what the merged image does not show.
    #[ts(type = "number")]
    pub(crate) wasted_bytes: u64,
    /// The share that it shows, from 0 to 1.
    pub(crate) efficiency: f64,
    /// The paths where most is wasted, the worst first.
    pub(crate) wasted: Vec<WastedPath>,
}

#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageLayer {
    pub(crate) index: usize,
    pub(crate) diff_id: String,
    pub(crate) digest: String,
    pub(crate) created_by: Option<String>,
    /// The tar's.
    #[ts(type = "number")]
    pub(crate) size_bytes: u64,
    /// As it was pulled.
    #[ts(type = "number")]
    pub(crate) compressed_bytes: u64,
    /// What it takes on the layer disk.
    #[ts(type = "number")]
    pub(crate) disk_bytes: u64,
    /// Its files'.
    #[ts(type = "number")]
    pub(crate) content_bytes: u64,
    /// Of those, what later layers overwrite or delete.
    #[ts(type = "number")]
    pub(crate) wasted_bytes: u64,
    #[ts(type = "number")]
    pub(crate) files: u64,
    #[ts(type = "number")]
    pub(crate) directories: u64,
    #[ts(type = "number")]
    pub(crate) symlinks: u64,
    #[ts(type = "number")]
    pub(crate) whiteouts: u64,
}

/// A path whose copies are hidden.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct WastedPath {
    pub(crate) path: String,
    #[ts(type = "number")]
    pub(crate) bytes: u64,
    #[ts(type = "number")]
    pub(crate) files: u64,
    /// That hold the hidden copies, uppermost first.
    pub(crate) layers: Vec<usize>,
    /// The layer that hides them.
    pub(crate) hidden_by: usize,
}

/// One message of a comparison.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageDiffBatch {
    pub(crate) lines: Vec<ImageDifference>,
    /// Whether the comparison ended before all was told, because there is too much.
    pub(crate) cut: bool,
}

/// A path that two images have otherwise.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageDifference {
    pub(crate) path: String,
    /// What the first image has; none when the path was added.
    pub(crate) before: Option<ImageEntry>,
    /// What the second image has; none when the path was removed.
    pub(crate) after: Option<ImageEntry>,
    /// `type`, `mode`, `owner`, `size`, `content`, `target`, `device`, `xattrs`, `time`.
    pub(crate) fields: Vec<String>,
}

impl From<FileEntry> for ImageEntry {
    fn from(entry: FileEntry) -> Self {
        Self {
            kind: entry.file_type.into(),
            name: entry.name,
            name_encoded: entry.name_encoded,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size_bytes: entry.size_bytes,
            modified_unix_s: entry.mtime_s,
            target: entry.target,
            layer: entry.layer,
            opaque: entry.opaque,
        }
    }
}

impl From<FileType> for ImageEntryKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::File => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::Whiteout => Self::Whiteout,
            FileType::Unknown => Self::Unknown,
        }
    }
}

impl From<client::ImageLayers> for ImageLayers {
    fn from(found: client::ImageLayers) -> Self {
        let layers = found.layers.into_iter().map(|layer| ImageLayer {
            index: layer.index,
            diff_id: layer.diff_id,
            digest: layer.digest,
            created_by: layer.created_by,
            size_bytes: layer.size_bytes,
            compressed_bytes: layer.compressed_bytes,
            disk_bytes: layer.disk_bytes,
            content_bytes: layer.content_bytes,
            wasted_bytes: layer.wasted_bytes,
            files: layer.files,
            directories: layer.directories,
            symlinks: layer.symlinks,
            whiteouts: layer.whiteouts,
        });
        let wasted = found.wasted.into_iter().map(|wasted| WastedPath {
            path: wasted.path,
            bytes: wasted.bytes,
            files: wasted.files,
            layers: wasted.layers,
            hidden_by: wasted.hidden_by,
        });
        Self {
            layers: layers.collect(),
            content_bytes: found.content_bytes,
            wasted_bytes: found.wasted_bytes,
            efficiency: found.efficiency,
            wasted: wasted.collect(),
        }
    }
}

impl ImageDifference {
    /// Of a line that tells one.
    pub(crate) fn of(line: DiffLine) -> Option<Self> {
        let (DiffLine::Added(found) | DiffLine::Removed(found) | DiffLine::Changed(found)) = line else {
            return None;
        };
        Some(Self {
            path: found.path,
            before: found.before.map(Into::into),
            after: found.after.map(Into::into),
            fields: found.fields,
        })
    }
}

declared!(
    ImageFolder,
    ImageEntry,
    ImageEntryKind,
    ImageLayers,
    ImageLayer,
    WastedPath,
    ImageDiffBatch,
    ImageDifference
);
