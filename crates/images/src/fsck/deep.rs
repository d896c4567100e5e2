//! Every byte: blobs against their digests, layers' images against those that their blobs make.
//!
//! The writer makes the same image of the same archive, so no sum of it needs to be kept; an image of another version
//! of the writer is not compared.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;
use types::{Digest, Hasher};

use super::files::{REFETCH, users};
use super::{Finding, FsckReport, Kind, Outcome, records};
use crate::catalog::{ImageRecord, LayerState};
use crate::erofs::{self, Limits, Sink, verify};
use crate::layer::ahead;
use crate::layer_disk::{BLOCK_BYTES, WriteError};
use crate::works::Works;
use crate::{Layer, StorageError};

const BUFFER_BYTES: usize = 1 << 20;
const REWRITE: &str = "repair writes it anew from its blob";

/// Goes through all images and layers; one that goes away meanwhile is left alone.
pub(super) fn check(
    works: &Works,
    repair: bool,
    stop: &CancellationToken,
    report: &mut FsckReport,
) -> Result<(), StorageError> {
    let check = Check { works, repair, stop };
    let snapshot = works.catalog.snapshot();
    for (id, image) in &snapshot.images {
        for (digest, what) in [(*id, "configuration"), (image.manifest, "manifest")] {
            report.findings.extend(check.document(id, image, (digest, what))?);
        }
    }
    for (diff_id, record) in snapshot.layers.iter().filter(|(_, l)| l.state != LayerState::Released) {
        // It must not go away and its place be given to another meanwhile.
        works.pin(&[*diff_id])?;
        let checked = if works.catalog.snapshot().layers.contains_key(diff_id) {
            check.layer(&record.layer, &users(&snapshot, diff_id), report)
        } else {
            Ok(())
        };
        works.unpin(&[*diff_id])?;
        checked?;
    }
    Ok(())
}

struct Check<'a> {
    works: &'a Works,
    repair: bool,
    stop: &'a CancellationToken,
}

impl Check<'_> {
    fn document(
        &self,
        id: &Digest,
        image: &ImageRecord,
        (digest, what): (Digest, &str),
    ) -> Result<Option<Finding>, StorageError> {
        let content = &self.works.content;
        let Some(wrong) = self.wrong_digest(&content.blob(&digest), &digest)? else { return Ok(None) };
        let _turn = self.works.turn();
        if !self.works.catalog.snapshot().images.contains_key(id) || !content.blob(&digest).exists() {
            // Gone meanwhile, or missing, which has been reported.
            return Ok(None);
        }
        let finding = Finding::new(Kind::Document, id, format!("its {what}'s blob {wrong}"), REFETCH);
        if !self.repair {
            return Ok(Some(finding));
        }
        let mended = content.remove_blob(&digest).and_then(|()| match digest == *id {
            true => content.put(&[(*id, image.config_json.as_bytes())]),
            false => Ok(()),
        });
        Ok(Some(finding.repaired(mended)))
    }

    fn layer(&self, layer: &Layer, names: &str, report: &mut FsckReport) -> Result<(), StorageError> {
        let (works, subject) = (self.works, layer.diff_id);
        let blob = works.content.blob(&layer.digest);
        if let Some(wrong) = self.wrong_digest(&blob, &layer.digest)? {
            // A missing one has been reported.
            if blob.exists() {
                let detail = format!("its blob {} {wrong}{names}", layer.digest);
                let finding = Finding::new(Kind::LayerBlob, subject, detail, REFETCH);
                report.findings.push(match self.repair {
                    true => finding.repaired(works.content.remove_blob(&layer.digest)),
                    false => finding,
                });
            }
            return Ok(());
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        let length = records::bytes(&layer.extents);
        let first = works.disk.read_at(&layer.extents, 0, &mut block);
        if first.is_ok() && verify::first_block(&block, &subject, length) == Ok(false) {
            let detail = "another version of Coracle wrote its image; it is not compared";
            report.findings.push(Finding::new(Kind::NotChecked, subject, detail, "none").note());
            return Ok(());
        }
        let compared = self.again(layer, false)?;
        // Whose bytes these are is not known, and mending one would spoil the other.
        let mendable = compared.is_ok() && !works.disk.is_disputed(&layer.extents);
        let detail = match compared {
            Ok(None) => return Ok(()),
            Ok(Some(at)) => format!("its image is not that of its blob, from byte {at} on{names}"),
            Err(why) => format!("its blob makes no image for its extents: {why}{names}"),
        };
        // The finding on its first block says less.
        report
            .findings
            .retain(|known| known.kind != Kind::LayerImage || known.subject != subject.to_string());
        let finding = Finding::new(Kind::LayerImage, subject, detail, REWRITE);
        report.findings.push(match self.repair && mendable {
            true => {
                let written = self.again(layer, true)?;
                let synced = works.disk.sync().map_err(|error| error.to_string());
                match written.and(synced) {
                    Ok(()) => finding.repaired(Ok(())),
                    Err(why) => Finding { outcome: Outcome::Failed(why), ..finding },
                }
            }
            false => finding,
        });
        Ok(())
    }

    /// Makes the image again of its blob, compares, and writes what differs if `mend`. The first byte that differed,
    /// or why it makes no such image.
    fn again(&self, layer: &Layer, mend: bool) -> Result<Result<Option<u64>, String>, StorageError> {
        let path = self.works.content.blob(&layer.digest);
        let blob = File::open(&path).map_err(StorageError::file(path))?;
        let blob = BufReader::with_capacity(BUFFER_BYTES, blob);
        let mut compare = Compare { check: self, layer, mend, buffer: Vec::new(), differs: None };
        let built = ahead(blob, |tar| erofs::build(tar, &mut compare, &Limits::default()));
        if self.stop.is_cancelled() {
            return Err(StorageError::Closing);
        }
        let built = match built {
            Ok(Ok(built)) => built,
            Ok(Err(error)) => return Ok(Err(error.to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let length = records::bytes(&layer.extents);
        if built.diff_id != layer.diff_id {
            return Ok(Err(format!("its tar is {}", built.diff_id)));
        }
        if built.size_bytes != length {
            return Ok(Err(format!("it has {} bytes, they {length}", built.size_bytes)));
        }
        Ok(Ok(compare.differs))
    }

    /// What is wrong with a blob, if anything.
    fn wrong_digest(&self, path: &Path, expected: &Digest) -> Result<Option<String>, StorageError> {
        match self.hash(path) {
            Ok(actual) if actual == *expected => Ok(None),
            Ok(actual) => Ok(Some(format!("has the digest {actual}"))),
            Err(_) if self.stop.is_cancelled() => Err(StorageError::Closing),
            Err(error) => Ok(Some(format!("cannot be read: {error}"))),
        }
    }

    fn hash(&self, path: &Path) -> io::Result<Digest> {
        let mut file = File::open(path)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        while !self.stop.is_cancelled() {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

/// Takes an image and compares it with the one on the layer disk.
struct Compare<'a> {
    check: &'a Check<'a>,
    layer: &'a Layer,
    mend: bool,
    buffer: Vec<u8>,
    differs: Option<u64>,
}

impl Sink for Compare<'_> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let Self { check, layer, mend, buffer, differs } = self;
        let disk = &check.works.disk;
        if check.stop.is_cancelled() {
            let (path, source) = (disk.path().to_owned(), io::ErrorKind::Interrupted.into());
            return Err(WriteError::Io { path, source });
        }
        buffer.resize(bytes.len(), 0);
        // What cannot be read differs; what does not fit is found by its length, later.
        if disk.read_at(&layer.extents, offset, buffer).is_ok() && buffer == bytes {
            return Ok(());
        }
        let at = buffer.iter().zip(bytes).position(|(one, other)| one != other).unwrap_or(0) as u64;
        *differs = Some(differs.unwrap_or(u64::MAX).min(offset + at));
        if *mend { disk.mend_at(&layer.extents, offset, bytes) } else { Ok(()) }
    }
}
