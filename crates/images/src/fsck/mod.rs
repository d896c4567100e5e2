//! Checks database, blobs and extents against each other, and repairs what can be.
//!
//! ```text
//! records   the catalog against itself: names, configurations, states and extents of layers      memory alone
//! files     blobs and partial files against the catalog                     while nothing is added or removed
//! extents   first blocks of images; data on the layer disk that no layer names             beside running pulls
//! deep      blobs against their digests, images against those made anew of their blobs     beside running pulls
//! ```
//!
//! No image is ever removed. What only a registry or an archive can bring back is said so: a pull or load of the
//! same image fetches whatever of it is not whole ([`Works::has_layer`]).
//!
//! Must not know: Docker's HTTP, whether a guest runs.

mod deep;
mod extents;
mod files;
mod records;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference};

use crate::store::blocking;
use crate::works::Works;
use crate::{StorageError, Store};

/// What a check is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FsckOptions {
    /// Repair what can be.
    pub repair: bool,
    /// Read every blob and every layer's image, too.
    pub deep: bool,
}

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// Images that were looked at.
    pub images: usize,
    /// Layers that were looked at.
    pub layers: usize,
    /// Files of blobs that were looked at.
    pub blobs: usize,
    /// Bytes of the layer disk that layers name.
    pub extent_bytes: u64,
    /// Bytes of the layer disk that are being written by pulls, loads and commits.
    pub writing_bytes: u64,
    /// Everything that is not as it should be, or that a reader may want to know.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// How many problems there are that have not been repaired.
    #[must_use]
    pub fn problems(&self) -> usize {
        let open =
            |finding: &&Finding| finding.level == Level::Problem && finding.outcome != Outcome::Repaired;
        self.findings.iter().filter(open).count()
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Whether it is one that should not be.
    pub level: Level,
    /// Which image, layer, blob, file or stretch of the layer disk.
    pub subject: String,
    /// In a sentence.
    pub detail: String,
    /// What repair does about it, or what else helps.
    pub remedy: &'static str,
    /// What has been done.
    pub outcome: Outcome,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it may be.
    Note,
    /// Damage, or space that is lost.
    Problem,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum Outcome {
    /// Found, and left as it is.
    Found,
    /// It is as it should be now, as far as this machine can bring it there.
    Repaired,
    /// Repair failed.
    Failed(String),
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A name that leads to no image.
    DanglingReference,
    /// An image's configuration is not that of its id.
    ImageConfiguration,
    /// A layer that an image names is not in the catalog.
    MissingLayer,
    /// A layer's state contradicts who names it.
    LayerState,
    /// A layer that no image names, until the guest has let go of it.
    WaitingLayer,
    /// Extents outside the disk, or of two layers.
    Extents,
    /// An image's manifest or configuration is not in its blob.
    Document,
    /// A layer's blob is not there, or another.
    LayerBlob,
    /// A layer's EROFS image is not the one that was written.
    LayerImage,
    /// A blob that nothing names.
    OrphanBlob,
    /// A file that has no business where it is.
    StrayFile,
    /// The beginning of a download.
    Partial,
    /// Blocks of the host's file system that belong to no layer.
    LeakedBlocks,
    /// Something that this system cannot tell.
    NotChecked,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsckError {
    /// One at a time.
    #[error("a check of the images is running already")]
    Running,
    /// The check itself met an error.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What repairs a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fix {
    DropReference(Reference),
    Settle,
    WriteConfiguration(Digest),
    RemoveBlob(Digest),
    RemoveFile(PathBuf),
}

/// A finding and its repair, if there is one.
type Issue = (Finding, Option<Fix>);

impl Finding {
    #[allow(clippy::needless_pass_by_value, reason = "a digest as well as a path's temporary form")]
    fn new(kind: Kind, subject: impl ToString, detail: impl Into<String>, remedy: &'static str) -> Self {
        let (subject, detail) = (subject.to_string(), detail.into());
        Self { kind, level: Level::Problem, subject, detail, remedy, outcome: Outcome::Found }
    }

    fn note(self) -> Self {
        Self { level: Level::Note, ..self }
    }

    fn repaired(self, result: Result<(), StorageError>) -> Self {
        let outcome = match result {
            Ok(()) => Outcome::Repaired,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        Self { outcome, ..self }
    }
}

impl Store {
    /// Checks everything that is on the disk, and repairs it if asked to. Pulls go on meanwhile; adding and removing
    /// images waits for the part that looks at files, some milliseconds.
    ///
    /// # Errors
    /// [`FsckError`]: a folder cannot be read, or another check runs.
    pub async fn fsck(&self, options: FsckOptions) -> Result<FsckReport, FsckError> {
        let (works, closing) = (self.works(), self.closing());
        blocking(move || run(&works, options, &closing)).await
    }
}

fn run(works: &Works, options: FsckOptions, stop: &CancellationToken) -> Result<FsckReport, FsckError> {
    let _one = works.checking.try_lock().map_err(|_| FsckError::Running)?;
    let mut report = FsckReport::default();
    {
        let _turn = works.turn();
        let snapshot = works.catalog.snapshot();
        report.images = snapshot.images.len();
        report.layers = snapshot.layers.len();
        let mut issues = records::check(&snapshot, |diff_id| works.pinned(diff_id));
        let (blobs, of_files) = files::check(&works.content, &snapshot)?;
        report.blobs = blobs;
        issues.extend(of_files);
        for (finding, fix) in issues {
            report.findings.push(match fix.filter(|_| options.repair) {
                Some(fix) => finding.repaired(mend(works, fix)),
                None => finding,
            });
        }
        if options.repair {
            works.write_index();
        }
    }
    extents::check(works, options.repair, &mut report)?;
    if options.deep {
        deep::check(works, options.repair, stop, &mut report)?;
    }
    Ok(report)
}

/// Within the turn.
fn mend(works: &Works, fix: Fix) -> Result<(), StorageError> {
    match fix {
        Fix::DropReference(reference) => works.catalog.update(|snapshot| {
            snapshot.references.remove(&reference);
            Ok(())
        }),
        Fix::Settle => works.settle_now(&[]),
        Fix::WriteConfiguration(id) => match works.catalog.snapshot().images.get(&id) {
            Some(image) => works.content.put(&[(id, image.config_json.as_bytes())]),
            None => Ok(()),
        },
        Fix::RemoveBlob(digest) => works.content.remove_blob(&digest),
        Fix::RemoveFile(path) => std::fs::remove_file(&path).map_err(StorageError::file(path)),
    }
}
