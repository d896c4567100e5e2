//! The layer disk against the catalog.

use std::io;

use super::{Finding, FsckReport, Kind, Outcome, records};
use crate::StorageError;
use crate::erofs::verify;
use crate::layer_disk::BLOCK_BYTES;
use crate::works::Works;

/// First blocks, and what belongs to nobody.
pub(super) fn check(works: &Works, repair: bool, report: &mut FsckReport) -> Result<(), StorageError> {
    let in_use = works.disk.used_bytes();
    let snapshot = works.catalog.snapshot();
    for (diff_id, record) in &snapshot.layers {
        let extents = &record.layer.extents;
        let length = records::bytes(extents);
        report.extent_bytes += length;
        let mut block = vec![0; BLOCK_BYTES as usize];
        let read = works.disk.read_at(extents, 0, &mut block);
        let flaw = match read {
            Ok(()) => verify::first_block(&block, diff_id, length).err().map(|flaw| flaw.to_string()),
            Err(error) => Some(format!("it cannot be read: {error}")),
        };
        // One that has been removed meanwhile may be a hole by now.
        if let Some(flaw) = flaw.filter(|_| works.catalog.snapshot().layers.contains_key(diff_id)) {
            let remedy = "repair with --deep writes it anew from its blob";
            report.findings.push(Finding::new(Kind::LayerImage, diff_id, flaw, remedy));
        }
    }
    report.writing_bytes = in_use.saturating_sub(report.extent_bytes);
    let path = works.disk.path();
    match works.disk.leaks(repair) {
        Ok(leaks) => report.findings.extend(leaks.into_iter().map(|leak| {
            let subject = format!("{} at {}", path.display(), leak.offset_bytes);
            let detail = format!("{} bytes that belong to no layer", leak.length_bytes);
            let finding = Finding::new(
                Kind::LeakedBlocks,
                subject,
                detail,
                "repair gives them back to the file system",
            );
            if repair { Finding { outcome: Outcome::Repaired, ..finding } } else { finding }
        })),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let detail = "this system does not tell data from holes";
            report.findings.push(Finding::new(Kind::NotChecked, path.display(), detail, "none").note());
        }
        Err(error) => return Err(StorageError::file(path)(error)),
    }
    Ok(())
}
