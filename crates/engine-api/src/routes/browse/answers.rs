//! What `/coracle/images/*` answers. Its readers: `coracle-client`'s `browse`.

use images::Image;
use images::browse::{Change, Entry, EntryType, Field, Listed, Usage};
use images::erofs::read::FileType;
use serde::Serialize;

use super::bytes::{both, encoded};

/// A path and what is in it.
#[derive(Debug, Serialize)]
pub(super) struct Files {
    image: String,
    /// Without symbolic links.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_encoded: Option<String>,
    entry: FileEntry,
    entries: Vec<FileEntry>,
    /// The next query's `after`, percent-encoded; none at the end.
    next: Option<String>,
    /// Those that own one of the entries.
    layers: Vec<LayerName>,
}

#[derive(Debug, Serialize)]
struct LayerName {
    index: usize,
    diff_id: String,
    created_by: Option<String>,
}

/// A file as one layer has it.
#[derive(Debug, Serialize)]
pub(super) struct FileEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_encoded: Option<String>,
    #[serde(rename = "type")]
    file_type: &'static str,
    mode: u16,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    mtime_s: i64,
    mtime_ns: u32,
    links: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_encoded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<String>,
    /// `security.capability`, as hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<String>,
    layer: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    opaque: bool,
}

#[derive(Debug, Serialize)]
struct Device {
    major: u32,
    minor: u32,
}

/// What an image's layers are and hold.
#[derive(Debug, Serialize)]
pub(super) struct Layers {
    image: String,
    layers: Vec<LayerInfo>,
    content_bytes: u64,
    wasted_bytes: u64,
    efficiency: f64,
    wasted: Vec<WastedPath>,
}

#[derive(Debug, Serialize)]
struct LayerInfo {
    index: usize,
    diff_id: String,
    digest: String,
    media_type: String,
    created: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    size_bytes: u64,
    compressed_bytes: u64,
    disk_bytes: u64,
    content_bytes: u64,
    wasted_bytes: u64,
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    specials: u64,
    whiteouts: u64,
}

#[derive(Debug, Serialize)]
struct WastedPath {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_encoded: Option<String>,
    bytes: u64,
    files: u64,
    layers: Vec<usize>,
    hidden_by: usize,
}

/// A line of a comparison.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Added(Difference),
    Removed(Difference),
    Changed(Difference),
    /// The last line, unless the comparison failed.
    End {
        added: u64,
        removed: u64,
        changed: u64,
        next: Option<String>,
    },
    /// The last line of a comparison that failed.
    Error {
        message: String,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Difference {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_encoded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<FileEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<FileEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'static str>,
}

impl Files {
    pub(super) fn new(image: &Image, listed: &Listed) -> Self {
        let (path, path_encoded) = rooted(&listed.path);
        let mut owners: Vec<_> =
            listed.entries.iter().chain([&listed.entry]).map(|entry| entry.layer).collect();
        owners.sort_unstable();
        owners.dedup();
        let steps = image.layer_steps();
        let name = |index: usize| LayerName {
            index,
            diff_id: image.layers.get(index).map(|layer| layer.diff_id.to_string()).unwrap_or_default(),
            created_by: steps.get(index).cloned().flatten().map(|step| step.created_by),
        };
        Self {
            image: image.id.to_string(),
            path,
            path_encoded,
            entry: FileEntry::new(&listed.entry),
            entries: listed.entries.iter().map(FileEntry::new).collect(),
            next: listed.next.as_deref().map(encoded),
            layers: owners.into_iter().map(name).collect(),
        }
    }
}

impl FileEntry {
    fn new(entry: &Entry) -> Self {
        let (name, name_encoded) = both(&entry.name);
        let target = entry.target.as_deref().map(both);
        let (target, target_encoded) = target.map_or((None, None), |(text, coded)| (Some(text), coded));
        Self {
            name,
            name_encoded,
            file_type: type_name(entry.entry_type),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size_bytes: entry.size_bytes,
            mtime_s: entry.mtime_s,
            mtime_ns: entry.mtime_ns,
            links: entry.links,
            target,
            target_encoded,
            device: entry.device.map(|(major, minor)| Device { major, minor }),
            xattrs: entry.xattrs.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            capability: entry.capability.as_deref().map(hexadecimal),
            layer: entry.layer,
            opaque: entry.opaque,
        }
    }
}

impl Layers {
    pub(super) fn new(image: &Image, usage: Usage) -> Self {
        let efficiency = usage.efficiency();
        let steps = image.layer_steps().into_iter().map(Option::unwrap_or_default);
        let layers = image.layers.iter().zip(&usage.layers).zip(steps).enumerate();
        let layers = layers.map(|(index, ((layer, usage), step))| LayerInfo {
            index,
            diff_id: layer.diff_id.to_string(),
            digest: layer.digest.to_string(),
            media_type: layer.media_type.clone(),
            created: step.created,
            created_by: Some(step.created_by).filter(|text| !text.is_empty()),
            comment: Some(step.comment).filter(|text| !text.is_empty()),
            size_bytes: layer.size_bytes,
            compressed_bytes: layer.blob_bytes,
            disk_bytes: usage.disk_bytes,
            content_bytes: usage.content_bytes,
            wasted_bytes: usage.wasted_bytes,
            files: usage.files,
            directories: usage.directories,
            symlinks: usage.symlinks,
            hard_links: usage.hard_links,
            specials: usage.specials,
            whiteouts: usage.whiteouts,
        });
        let layers = layers.collect();
        let wasted = usage.wasted.into_iter().map(|wasted| {
            let (path, path_encoded) = rooted(&wasted.path);
            let (bytes, files, hidden_by) = (wasted.bytes, wasted.files, wasted.hidden_by);
            WastedPath { path, path_encoded, bytes, files, layers: wasted.layers, hidden_by }
        });
        Self {
            image: image.id.to_string(),
            layers,
            content_bytes: usage.content_bytes,
            wasted_bytes: usage.wasted_bytes,
            efficiency,
            wasted: wasted.collect(),
        }
    }
}

impl Line {
    pub(super) fn new(change: &Change) -> Self {
        let (path, path_encoded) = rooted(&change.path);
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let difference = Difference {
            path,
            path_encoded,
            before: before.map(FileEntry::new),
            after: after.map(FileEntry::new),
            fields: change.fields.iter().copied().map(field_name).collect(),
        };
        match (before, after) {
            (None, _) => Self::Added(difference),
            (_, None) => Self::Removed(difference),
            _ => Self::Changed(difference),
        }
    }
}

/// The root's path is empty inside; people write a slash.
fn rooted(path: &[u8]) -> (String, Option<String>) {
    both(if path.is_empty() { b"/" } else { path })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn type_name(entry_type: EntryType) -> &'static str {
    match entry_type {
        EntryType::Whiteout => "whiteout",
        EntryType::File(FileType::File) => "file",
        EntryType::File(FileType::Directory) => "directory",
        EntryType::File(FileType::Symlink) => "symlink",
        EntryType::File(FileType::CharDevice) => "char_device",
        EntryType::File(FileType::BlockDevice) => "block_device",
        EntryType::File(FileType::Fifo) => "fifo",
        EntryType::File(FileType::Socket) => "socket",
    }
}

fn field_name(field: Field) -> &'static str {
    match field {
        Field::Type => "type",
        Field::Mode => "mode",
        Field::Owner => "owner",
        Field::Size => "size",
        Field::Content => "content",
        Field::Target => "target",
        Field::Device => "device",
        Field::Xattrs => "xattrs",
        Field::Time => "time",
    }
}
