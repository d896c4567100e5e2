//! Which other repositories of the registry hold a blob already: the catalog knows, since every image
//! remembers the repositories that it was pulled from or pushed to.

use std::collections::BTreeSet;

use types::{Digest, Reference};

use crate::catalog::Snapshot;

/// No more are asked for one blob: each is a round trip, and an upload may be quicker.
const MOST: usize = 3;

/// The repositories, best first: those that share the longest path with the target are the likeliest
/// that the user may read.
pub(super) fn sources(snapshot: &Snapshot, target: &Reference, diff_id: &Digest) -> Vec<String> {
    let names = snapshot
        .images
        .values()
        .filter(|image| image.diff_ids.contains(diff_id))
        .flat_map(|image| &image.repo_digests)
        .filter_map(|name| name.parse::<Reference>().ok())
        .filter(|other| other.registry() == target.registry() && other.repository() != target.repository())
        .map(|other| other.repository().to_owned())
        .collect::<BTreeSet<String>>();
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(shared(name, target.repository())));
    names.truncate(MOST);
    names
}

fn shared(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::ImageRecord;

    #[test]
    fn near_repositories_of_the_same_registry_come_first() {
        let layer = Digest::of(b"layer");
        let mut snapshot = Snapshot::default();
        let mut add = |seed: &[u8], names: &[&str], diff_ids: Vec<Digest>| {
            let digest = Digest::of(seed);
            let record = ImageRecord {
                manifest: digest,
                manifest_media_type: String::new(),
                manifest_bytes: 0,
                repo_digests: names.iter().map(|name| format!("{name}@{digest}")).collect(),
                config_json: String::new(),
                diff_ids,
                parent: None,
                tagged_unix: None,
            };
            snapshot.images.insert(digest, Arc::new(record));
        };
        add(b"1", &["r:5000/z/far", "r:5000/a/near", "other/a/x", "r:5000/a/target"], vec![layer]);
        add(b"2", &["r:5000/unrelated"], vec![Digest::of(b"another")]);
        add(b"3", &["r:5000/b", "r:5000/c", "r:5000/d"], vec![layer]);
        let target: Reference = "r:5000/a/target:1".parse().unwrap();
        assert_eq!(sources(&snapshot, &target, &layer), ["a/near", "b", "c"]);
        assert!(sources(&snapshot, &target, &Digest::of(b"unknown")).is_empty());
    }
}
