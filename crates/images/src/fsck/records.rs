//! The catalog against itself. No I/O.

use types::Digest;

use super::{Finding, Fix, Issue, Kind};
use crate::catalog::{LayerState, Snapshot};
use crate::layer_disk::{BLOCK_BYTES, DISK_BYTES, Extent};

const PULL: &str = "pull or load the image again";
const SETTLE: &str = "repair puts the state right";

/// `pinned` says whether a running pull needs a layer.
pub(super) fn check(snapshot: &Snapshot, pinned: impl Fn(&Digest) -> bool) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (reference, id) in &snapshot.references {
        if !snapshot.images.contains_key(id) {
            let detail = format!("it leads to the image {id}, which is not here");
            let finding = Finding::new(
                Kind::DanglingReference,
                reference.familiar(),
                detail,
                "repair removes the name",
            );
            issues.push((finding, Some(Fix::DropReference(reference.clone()))));
        }
    }
    for (id, image) in &snapshot.images {
        if Digest::of(image.config_json.as_bytes()) != *id {
            let detail = "its configuration in the catalog is not the one of its id";
            issues.push((Finding::new(Kind::ImageConfiguration, id, detail, PULL), None));
        }
        for diff_id in image.diff_ids.iter().filter(|d| !snapshot.layers.contains_key(d)) {
            let detail = format!("its layer {diff_id} is not in the catalog");
            issues.push((Finding::new(Kind::MissingLayer, id, detail, PULL), None));
        }
    }
    for (diff_id, record) in &snapshot.layers {
        let (named, busy) = (snapshot.layer_named(diff_id), pinned(diff_id));
        let wrong = match record.state {
            LayerState::Fresh if named => Some("an image names it, but it counts as new"),
            LayerState::Fresh if !busy => Some("neither an image nor a pull names it"),
            LayerState::Used if !named && !busy => {
                Some("no image names it, but it does not wait to be freed")
            }
            LayerState::Released if named => Some("an image names it, but it waits to be freed"),
            LayerState::Released => {
                let detail =
                    format!("{} bytes wait until the VM has let go of it", bytes(&record.layer.extents));
                let remedy = "freed when the VM says so, or when it is off";
                issues.push((Finding::new(Kind::WaitingLayer, diff_id, detail, remedy).note(), None));
                None
            }
            LayerState::Fresh | LayerState::Used => None,
        };
        if let Some(wrong) = wrong {
            issues.push((Finding::new(Kind::LayerState, diff_id, wrong, SETTLE), Some(Fix::Settle)));
        }
    }
    issues.extend(extents(snapshot).into_iter().map(|finding| (finding, None)));
    issues
}

pub(super) fn bytes(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.length_bytes).sum()
}

/// Inside the disk, in whole blocks, apart from each other.
fn extents(snapshot: &Snapshot) -> Vec<Finding> {
    let remedy = "remove the images that name these layers, then pull them again";
    let mut findings = Vec::new();
    let mut all: Vec<(Extent, Digest)> = Vec::new();
    for (diff_id, record) in &snapshot.layers {
        for &extent in &record.layer.extents {
            let aligned = (extent.offset_bytes | extent.length_bytes).is_multiple_of(BLOCK_BYTES);
            if !aligned || extent.length_bytes == 0 || extent.end_bytes() > DISK_BYTES {
                let Extent { offset_bytes, length_bytes } = extent;
                let detail = format!("its extent of {length_bytes} bytes at {offset_bytes} cannot be");
                findings.push(Finding::new(Kind::Extents, diff_id, detail, remedy));
            }
            all.push((extent, *diff_id));
        }
    }
    all.sort_unstable_by_key(|(extent, _)| extent.offset_bytes);
    // One extent may cover several that follow: each is held against the one that reaches furthest.
    let mut all = all.into_iter();
    let Some((mut furthest, mut owner)) = all.next() else { return findings };
    for (extent, other) in all {
        if furthest.end_bytes() > extent.offset_bytes {
            let detail = format!("it overlaps {other} at {}", extent.offset_bytes);
            findings.push(Finding::new(Kind::Extents, owner, detail, remedy));
        }
        if extent.end_bytes() > furthest.end_bytes() {
            (furthest, owner) = (extent, other);
        }
    }
    findings
}
