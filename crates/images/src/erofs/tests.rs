mod fsck;
mod generated;
mod image;
mod mkfs;
mod nasty;
mod overlay;
mod said;
mod walked;

use std::collections::BTreeMap;

use crate::tar::archive::{Archive, Spec};

use super::*;

/// The image of an archive, checked for what must hold in each.
fn image_of(tar: &[u8]) -> Result<Vec<u8>, LayerError> {
    image_within(tar, &Limits::default())
}

fn image_within(tar: &[u8], limits: &Limits) -> Result<Vec<u8>, LayerError> {
    let mut image = Vec::new();
    let built = build(tar, &mut image, limits)?;
    assert_eq!(built.size_bytes, image.len() as u64);
    assert_eq!(built.diff_id, types::Digest::of(tar));
    assert!(image.len() as u64 <= limits.image_bytes);
    let mut again = Vec::new();
    build(tar, &mut again, limits)?;
    assert!(image == again, "the same archive gives the same bytes");
    Ok(image)
}

fn files_of(specs: &[Spec]) -> BTreeMap<String, image::File> {
    image::files(&image_of(&Archive::of(specs)).unwrap())
}
