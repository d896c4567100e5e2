//! A container's files.

use serde::Serialize;
use ts_rs::TS;

/// A page of a folder.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerFolder {
    /// By name.
    pub(crate) entries: Vec<ContainerFile>,
    /// The last name of this page when there are more.
    pub(crate) next: Option<String>,
}

/// A file of a container.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerFile {
    pub(crate) name: String,
    pub(crate) kind: ContainerFileKind,
    #[ts(type = "number")]
    pub(crate) size_bytes: u64,
    /// Permission bits, at most `0o7777`.
    pub(crate) mode: u32,
    #[ts(type = "number")]
    pub(crate) modified_unix_s: i64,
    /// Where a symbolic link leads.
    pub(crate) target: Option<String>,
    pub(crate) mark: Option<FileMark>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContainerFileKind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    Unknown,
}

/// How a file stands to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileMark {
    /// The image has no such file.
    Added,
    /// The image has another; of a folder: something in it.
    Changed,
    /// It is no part of the container: something is mounted there.
    Mounted,
}

declared!(ContainerFolder, ContainerFile, ContainerFileKind, FileMark);
