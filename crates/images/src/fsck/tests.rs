use std::sync::Arc;

use types::Digest;

use super::records::check;
use super::{Fix, Kind, Level};
use crate::Layer;
use crate::catalog::{ImageRecord, LayerRecord, LayerState, Snapshot};
use crate::layer_disk::{DISK_BYTES, Extent};

fn extent(offset_bytes: u64, length_bytes: u64) -> Extent {
    Extent { offset_bytes, length_bytes }
}

fn with_layer(snapshot: &mut Snapshot, name: &[u8], state: LayerState, extents: &[Extent]) -> Digest {
    let diff_id = Digest::of(name);
    let layer = Layer {
        diff_id,
        digest: diff_id,
        media_type: String::new(),
        blob_bytes: 1,
        size_bytes: 1,
        extents: extents.to_vec(),
    };
    snapshot.layers.insert(diff_id, Arc::new(LayerRecord { layer, state }));
    diff_id
}

fn with_image(snapshot: &mut Snapshot, diff_ids: &[Digest]) -> Digest {
    let config_json = format!("{diff_ids:?}");
    let id = Digest::of(config_json.as_bytes());
    let record = ImageRecord {
        manifest: id,
        manifest_media_type: String::new(),
        manifest_bytes: 1,
        repo_digests: Vec::new(),
        config_json,
        diff_ids: diff_ids.to_vec(),
        parent: None,
        tagged_unix: None,
    };
    snapshot.images.insert(id, Arc::new(record));
    id
}

fn kinds(snapshot: &Snapshot, pinned: bool) -> Vec<Kind> {
    let issues = check(snapshot, |_| pinned);
    issues
        .into_iter()
        .filter(|(found, _)| found.level == Level::Problem)
        .map(|(found, _)| found.kind)
        .collect()
}

#[test]
fn what_is_whole_is_no_finding() {
    let mut snapshot = Snapshot::default();
    let a = with_layer(&mut snapshot, b"a", LayerState::Used, &[extent(0, 4096), extent(8192, 4096)]);
    let b = with_layer(&mut snapshot, b"b", LayerState::Used, &[extent(4096, 4096)]);
    let id = with_image(&mut snapshot, &[a, b, a]);
    snapshot.references.insert("x:1".parse().unwrap(), id);
    assert_eq!(check(&snapshot, |_| false), []);
}

#[test]
fn names_and_layers_that_lead_nowhere() {
    let mut snapshot = Snapshot::default();
    snapshot.references.insert("x:1".parse().unwrap(), Digest::of(b"gone"));
    let issues = check(&snapshot, |_| false);
    assert_eq!(issues[0].0.kind, Kind::DanglingReference);
    assert_eq!(issues[0].1, Some(Fix::DropReference("x:1".parse().unwrap())));
    let id = with_image(&mut snapshot, &[Digest::of(b"no layer")]);
    snapshot.references.insert("x:1".parse().unwrap(), id);
    assert_eq!(kinds(&snapshot, false), [Kind::MissingLayer]);
    let mut other = ImageRecord::clone(&snapshot.images[&id]);
    other.diff_ids.clear();
    other.config_json.push(' ');
    snapshot.images.insert(id, Arc::new(other));
    assert_eq!(kinds(&snapshot, false), [Kind::ImageConfiguration]);
}

#[test]
fn states_fit_who_names_the_layer() {
    use LayerState::{Fresh, Released, Used};
    for (state, named, pinned, wrong) in [
        (Fresh, false, false, true),
        (Fresh, false, true, false),
        (Fresh, true, true, true),
        (Used, true, false, false),
        (Used, false, false, true),
        (Used, false, true, false),
        (Released, false, false, false),
        (Released, true, false, true),
    ] {
        let mut snapshot = Snapshot::default();
        let layer = with_layer(&mut snapshot, b"a", state, &[extent(0, 4096)]);
        if named {
            with_image(&mut snapshot, &[layer]);
        }
        let expected: &[Kind] = if wrong { &[Kind::LayerState] } else { &[] };
        assert_eq!(kinds(&snapshot, pinned), expected, "{state:?}, named {named}, pinned {pinned}");
    }
}

#[test]
fn extents_lie_apart_and_inside() {
    for (a, b, wrong) in [
        (extent(0, 8192), extent(8192, 4096), 0),
        (extent(0, 8192), extent(4096, 4096), 1),
        (extent(4096, 4096), extent(0, 8192), 1),
        (extent(0, 100), extent(8192, 4096), 1),
        (extent(0, 0), extent(8192, 4096), 1),
        (extent(0, 4096), extent(DISK_BYTES, 4096), 1),
        (extent(0, 4096), extent(u64::MAX - 4095, 4096), 1),
    ] {
        let mut snapshot = Snapshot::default();
        let a = with_layer(&mut snapshot, b"a", LayerState::Used, &[a]);
        let b = with_layer(&mut snapshot, b"b", LayerState::Used, &[b]);
        with_image(&mut snapshot, &[a, b]);
        assert_eq!(kinds(&snapshot, false), vec![Kind::Extents; wrong], "{snapshot:?}");
    }
}

#[test]
fn each_extent_that_another_covers_is_told() {
    let mut snapshot = Snapshot::default();
    let long = with_layer(&mut snapshot, b"long", LayerState::Used, &[extent(0, 16 << 10)]);
    let first = with_layer(&mut snapshot, b"first", LayerState::Used, &[extent(4 << 10, 4096)]);
    let second = with_layer(&mut snapshot, b"second", LayerState::Used, &[extent(12 << 10, 4096)]);
    let apart = with_layer(&mut snapshot, b"apart", LayerState::Used, &[extent(16 << 10, 4096)]);
    with_image(&mut snapshot, &[long, first, second, apart]);
    let told: Vec<_> = check(&snapshot, |_| false).into_iter().map(|(found, _)| found.detail).collect();
    assert_eq!(told, [format!("it overlaps {first} at 4096"), format!("it overlaps {second} at 12288")]);
}
