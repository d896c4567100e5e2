//! The content store against the catalog. Sizes, not contents: [`super::deep`] reads those.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use types::Digest;

use super::{Finding, Fix, Issue, Kind};
use crate::StorageError;
use crate::catalog::Snapshot;
use crate::content::{Content, PARTIAL_KEPT, files};

pub(super) const REFETCH: &str = "repair removes what is wrong; pull or load the image again";
/// Nothing writes to a temporary file this seldom.
const TEMPORARY_KEPT: Duration = Duration::from_secs(3600);

/// How many blobs there are, and what is wrong. Within the turn.
pub(super) fn check(content: &Content, snapshot: &Snapshot) -> Result<(usize, Vec<Issue>), StorageError> {
    let mut issues = Vec::new();
    let mut present: HashMap<Digest, u64> = HashMap::new();
    for path in files(&content.blobs())? {
        match digest(&path) {
            Some(digest) => {
                let length = path.symlink_metadata().map(|found| found.len());
                present.insert(digest, length.map_err(StorageError::file(&path))?);
            }
            None => issues.push(stray(&path)),
        }
    }
    let blobs = present.len();
    for (id, image) in &snapshot.images {
        let length = image.config_json.len() as u64;
        if let Some(wrong) = wrong(present.remove(id), length) {
            let detail = format!("its configuration's blob {wrong}");
            let remedy = "repair writes it anew from the catalog";
            let finding = Finding::new(Kind::Document, id, detail, remedy);
            issues.push((finding, Some(Fix::WriteConfiguration(*id))));
        }
    }
    // A manifest may be of several images, a blob of several layers, and a blob may be both in theory.
    let mut named: HashMap<Digest, ()> = HashMap::new();
    for (id, image) in &snapshot.images {
        named.insert(image.manifest, ());
        let found = present.get(&image.manifest).copied();
        if let Some(wrong) = wrong(found, image.manifest_bytes) {
            let detail = format!("its manifest's blob {} {wrong}", image.manifest);
            let fix = found.map(|_| Fix::RemoveBlob(image.manifest));
            issues.push((Finding::new(Kind::Document, id, detail, REFETCH), fix));
        }
    }
    for (diff_id, record) in &snapshot.layers {
        let layer = &record.layer;
        named.insert(layer.digest, ());
        let found = present.get(&layer.digest).copied();
        if let Some(wrong) = wrong(found, layer.blob_bytes) {
            let detail = format!("its blob {} {wrong}{}", layer.digest, users(snapshot, diff_id));
            let fix = found.map(|_| Fix::RemoveBlob(layer.digest));
            issues.push((Finding::new(Kind::LayerBlob, diff_id, detail, REFETCH), fix));
        }
    }
    for (digest, length) in present.into_iter().filter(|(digest, _)| !named.contains_key(digest)) {
        let detail = format!("nothing names these {length} bytes");
        let finding = Finding::new(Kind::OrphanBlob, digest, detail, "repair removes it");
        issues.push((finding, Some(Fix::RemoveBlob(digest))));
    }
    partials(content, &mut issues)?;
    Ok((blobs, issues))
}

/// Which images suffer.
pub(super) fn users(snapshot: &Snapshot, diff_id: &Digest) -> String {
    let users = snapshot.images.iter().filter(|(_, image)| image.diff_ids.contains(diff_id));
    let names: Vec<String> = users
        .map(|(id, _)| match snapshot.references_of(id).next() {
            Some(reference) => reference.familiar(),
            None => crate::store::short(id),
        })
        .collect();
    if names.is_empty() { String::new() } else { format!("; of {}", names.join(", ")) }
}

fn wrong(found: Option<u64>, expected: u64) -> Option<String> {
    match found {
        None => Some("is missing".to_owned()),
        Some(found) if found != expected => Some(format!("has {found} bytes instead of {expected}")),
        Some(_) => None,
    }
}

fn partials(content: &Content, issues: &mut Vec<Issue>) -> Result<(), StorageError> {
    for path in files(&content.partials())? {
        // One that has become a blob meanwhile is none any more.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let age = age.unwrap_or_default();
        match digest(&path) {
            Some(digest) if metadata.is_file() => {
                let detail = format!("the first {} bytes of a download", metadata.len());
                let stale = age > PARTIAL_KEPT;
                let remedy = if stale { "repair removes it" } else { "the next pull goes on with it" };
                let finding = Finding::new(Kind::Partial, digest, detail, remedy);
                let finding = if stale { finding } else { finding.note() };
                issues.push((finding, stale.then_some(Fix::RemoveFile(path))));
            }
            _ if age > TEMPORARY_KEPT => issues.push(stray(&path)),
            // Something is being written.
            _ => {}
        }
    }
    Ok(())
}

fn stray(path: &Path) -> Issue {
    let detail = "it belongs to nothing";
    let finding = Finding::new(Kind::StrayFile, path.display(), detail, "repair removes it");
    (finding, Some(Fix::RemoveFile(path.to_owned())))
}

fn digest(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str().and_then(|name| Digest::from_hex(name).ok())
}
