//! Removing images by Docker's rules: what is untagged, what is deleted, what is refused.
//!
//! The rules are a pure function on a [`Snapshot`]; files and extents follow in `store.rs`.

use std::sync::Arc;

use types::{Digest, Reference};

use crate::catalog::{ImageRecord, LayerRecord, LayerState, Snapshot};
use crate::store::{By, Match, short};
use crate::{Conflict, RemoveError};

/// A container that needs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The image.
    pub image: Digest,
    /// The container's id.
    pub container: String,
    /// Whether it runs (or is paused): such use cannot be forced.
    pub running: bool,
}

/// What [`crate::Store::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// References that are gone, familiar form; repository digests too, as Docker reports them.
    pub untagged: Vec<String>,
    /// Images that are gone.
    pub deleted: Vec<Digest>,
    /// Layers that no image names any more. The guest must release them, then comes [`crate::Store::freed`].
    pub released: Vec<Digest>,
    /// All that Docker tells of, in its order.
    pub told: Vec<Told>,
}

/// A line of Docker's answer to a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A reference of this image is gone.
    Untagged(String, Digest),
    /// An image is gone.
    Image(Digest),
    /// A layer is gone, told by its chain id (`config.md` of the image specification, "Layer ChainID").
    Layer(Digest),
}

/// What is to be removed, and how.
pub(crate) struct Wish<'a> {
    pub(crate) found: &'a Match,
    /// As the user wrote it.
    pub(crate) name: &'a str,
    pub(crate) force: bool,
    /// Whether nameless parents that nothing needs go along.
    pub(crate) prune: bool,
    pub(crate) in_use: &'a [InUse],
}

/// Applies a removal to `snapshot` (moby's `ImageDelete`). `pinned` says whether a running pull needs a layer.
pub(crate) fn apply(
    snapshot: &mut Snapshot,
    wish: &Wish<'_>,
    pinned: impl Fn(&Digest) -> bool,
) -> Result<Removed, RemoveError> {
    let id = wish.found.id;
    let mut removal = Removal { snapshot, in_use: wish.in_use, pinned, removed: Removed::default() };
    let names = removal.names(&id);
    let single = are_single(&names);
    let Some(wanted) = Name::of(&wish.found.by) else {
        removal.delete(id, wish.force, wish.prune, false)?;
        return Ok(removal.removed);
    };
    if single
        && !wish.force
        && let Some(user) = removal.users(&id).next()
    {
        let (reference, container) = (wish.name.to_owned(), container_short(&user.container));
        return Err(Conflict::Referenced { reference, container, id: short(&id) }.into());
    }
    removal.untag(&id, &wanted);
    let left = removal.names(&id);
    // Digests of a repository without a tag say nothing to anybody.
    if !wanted.digest && !left.iter().any(|name| !name.digest && name.repository == wanted.repository) {
        for name in left.iter().filter(|name| name.repository == wanted.repository) {
            removal.untag(&id, name);
        }
    }
    if removal.names(&id).is_empty() {
        removal.delete(id, wish.force, wish.prune, true)?;
    }
    Ok(removal.removed)
}

/// A tag or a repository digest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    repository: String,
    digest: bool,
}

impl Name {
    fn of(by: &By) -> Option<Self> {
        match by {
            By::Id => None,
            By::Tag(reference) => Some(Self::tag(reference)),
            By::RepoDigest(text) => Some(Self::digest(text)),
        }
    }

    fn tag(reference: &Reference) -> Self {
        Self { text: reference.familiar(), repository: reference.familiar_name(), digest: false }
    }

    fn digest(text: &str) -> Self {
        let repository = text.split('@').next().unwrap_or_default().to_owned();
        Self { text: text.to_owned(), repository, digest: true }
    }
}

/// At most one tag, and digests of one repository alone (moby's `isSingleReference`).
fn are_single(names: &[Name]) -> bool {
    let mut repositories = names.iter().map(|name| &name.repository);
    let first = repositories.next();
    names.iter().filter(|name| !name.digest).count() <= 1 && repositories.all(|other| Some(other) == first)
}

struct Removal<'a, P> {
    snapshot: &'a mut Snapshot,
    in_use: &'a [InUse],
    pinned: P,
    removed: Removed,
}

impl<'a, P: Fn(&Digest) -> bool> Removal<'a, P> {
    fn names(&self, id: &Digest) -> Vec<Name> {
        let tags = self.snapshot.references_of(id).map(Name::tag);
        let record = self.snapshot.images.get(id);
        let digests =
            record.into_iter().flat_map(|record| &record.repo_digests).map(|text| Name::digest(text));
        tags.chain(digests).collect()
    }

    fn users(&self, id: &Digest) -> impl Iterator<Item = &'a InUse> + use<'a, P> {
        let (id, in_use) = (*id, self.in_use);
        in_use.iter().filter(move |user| user.image == id)
    }

    fn has_children(&self, id: &Digest) -> bool {
        self.snapshot.images.values().any(|image| image.parent == Some(*id))
    }

    fn untag(&mut self, id: &Digest, name: &Name) {
        if name.digest {
            if let Some(record) = self.snapshot.images.get(id) {
                let mut record = ImageRecord::clone(record);
                record.repo_digests.retain(|other| *other != name.text);
                self.snapshot.images.insert(*id, Arc::new(record));
            }
        } else {
            self.snapshot.references.retain(|reference, to| to != id || reference.familiar() != name.text);
        }
        self.removed.untagged.push(name.text.clone());
        self.removed.told.push(Told::Untagged(name.text.clone(), *id));
    }

    /// What keeps an image, and whether that is a container. `names` says whether names do.
    fn conflict(&self, id: &Digest, force: bool, names: bool) -> Option<(Conflict, bool)> {
        if self.has_children(id) {
            return Some((Conflict::Children(short(id)), false));
        }
        if let Some(user) = self.users(id).find(|user| user.running) {
            let container = container_short(&user.container);
            return Some((Conflict::Running { id: short(id), container }, true));
        }
        if force {
            return None;
        }
        if names && !self.names(id).is_empty() {
            return Some((Conflict::ManyReferences(short(id)), false));
        }
        let user = self.users(id).next()?;
        Some((Conflict::Stopped { id: short(id), container: container_short(&user.container) }, true))
    }

    /// moby's `imageDeleteHelper`. `quiet`: something has been done already, so that it is no error when the image
    /// has to stay.
    fn delete(&mut self, id: Digest, force: bool, prune: bool, quiet: bool) -> Result<(), RemoveError> {
        let names = self.names(&id);
        // An id whose names are all of one repository takes them along.
        let counts = quiet || !are_single(&names);
        if let Some((conflict, used)) = self.conflict(&id, force, counts) {
            let dangling = names.is_empty() && !self.has_children(&id);
            return if quiet && (used || !dangling) { Ok(()) } else { Err(conflict.into()) };
        }
        for name in &names {
            self.untag(&id, name);
        }
        if self.users(&id).next().is_some() {
            // Its files are the container's lower layers: unlike Docker's copy-up store, we keep them.
            return Ok(());
        }
        let Some(record) = self.snapshot.images.remove(&id) else { return Ok(()) };
        self.removed.deleted.push(id);
        self.removed.told.push(Told::Image(id));
        self.chains(&record);
        self.release(&record);
        match record.parent.filter(|_| prune) {
            Some(parent) if self.snapshot.images.contains_key(&parent) => {
                self.delete(parent, false, true, true)
            }
            _ => Ok(()),
        }
    }

    /// Docker counts layers by what is beneath them, too: one goes when no image stands on the same stack.
    fn chains(&mut self, record: &ImageRecord) {
        let ids = chain_ids(&record.diff_ids);
        for count in (1..=record.diff_ids.len()).rev() {
            let stack = &record.diff_ids[..count];
            if self.snapshot.images.values().any(|image| image.diff_ids.starts_with(stack)) {
                return;
            }
            self.removed.told.push(Told::Layer(ids[count - 1]));
        }
    }

    fn release(&mut self, record: &ImageRecord) {
        for diff_id in &record.diff_ids {
            if self.snapshot.layer_named(diff_id) || (self.pinned)(diff_id) {
                continue;
            }
            let Some(layer) = self.snapshot.layers.get(diff_id) else { continue };
            if layer.state != LayerState::Released {
                let released = LayerRecord { state: LayerState::Released, ..LayerRecord::clone(layer) };
                self.snapshot.layers.insert(*diff_id, Arc::new(released));
                self.removed.released.push(*diff_id);
            }
        }
    }
}

fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
            None => *diff_id,
        });
    }
    chain
}

fn container_short(id: &str) -> String {
    id.get(..12).unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tags` and `digests` of one image, its parent, its layers.
    fn add(
        snapshot: &mut Snapshot,
        seed: &[u8],
        names: &[&str],
        parent: Option<Digest>,
        layers: &[&[u8]],
    ) -> Digest {
        let id = Digest::of(seed);
        let (digests, tags): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains('@'));
        let record = ImageRecord {
            manifest: id,
            manifest_media_type: String::new(),
            manifest_bytes: 0,
            repo_digests: digests.into_iter().map(str::to_owned).collect(),
            config_json: String::new(),
            diff_ids: layers.iter().map(|layer| Digest::of(layer)).collect(),
            parent,
            tagged_unix: None,
        };
        snapshot.images.insert(id, Arc::new(record));
        for tag in tags {
            snapshot.references.insert(tag.parse().unwrap(), id);
        }
        id
    }

    fn remove(
        snapshot: &mut Snapshot,
        name: &str,
        force: bool,
        in_use: &[InUse],
    ) -> Result<Vec<Told>, String> {
        let found = crate::store::find(snapshot, name).map_err(|error| error.to_string())?;
        let wish = Wish { found: &found, name, force, prune: true, in_use };
        apply(snapshot, &wish, |_| false).map(|removed| removed.told).map_err(|error| error.to_string())
    }

    #[test]
    fn a_parent_stays_for_its_children_and_goes_with_the_last() {
        let mut snapshot = Snapshot::default();
        let base = add(&mut snapshot, b"base", &["base:1"], None, &[b"1"]);
        let middle = add(&mut snapshot, b"middle", &[], Some(base), &[b"1", b"2"]);
        let top = add(&mut snapshot, b"top", &["top:1"], Some(middle), &[b"1", b"2", b"3"]);
        for force in [false, true] {
            let error = remove(&mut snapshot, &middle.hex(), force, &[]).unwrap_err();
            let short = &middle.hex()[..12];
            let expected = format!(
                "conflict: unable to delete {short} (cannot be forced) - image has dependent child images"
            );
            assert_eq!(error, expected);
        }
        let chain = chain_ids(&[Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"3")]);
        assert_eq!(
            remove(&mut snapshot, "top:1", false, &[]).unwrap(),
            [
                Told::Untagged("top:1".into(), top),
                Told::Image(top),
                Told::Layer(chain[2]),
                Told::Image(middle),
                Told::Layer(chain[1]),
            ],
            "the base has a name of its own"
        );
        assert!(snapshot.images.contains_key(&base));
    }

    #[test]
    fn digests_go_with_the_last_tag_of_their_repository() {
        let mut snapshot = Snapshot::default();
        let digest = format!("a@{}", Digest::of(b"x"));
        let id = add(&mut snapshot, b"i", &["a:1", "a:2", "b:1", &digest], None, &[]);
        assert_eq!(remove(&mut snapshot, "a:1", false, &[]).unwrap(), [Told::Untagged("a:1".into(), id)]);
        assert_eq!(
            remove(&mut snapshot, "a:2", false, &[]).unwrap(),
            [Told::Untagged("a:2".into(), id), Told::Untagged(digest, id)]
        );
        assert_eq!(
            remove(&mut snapshot, "b:1", false, &[]).unwrap(),
            [Told::Untagged("b:1".into(), id), Told::Image(id)]
        );
    }

    #[test]
    fn containers_keep_images() {
        for (name, force, running, expected) in [
            ("a", false, false, Err("unable to remove repository reference \"a\" (must force) - container")),
            ("a", true, false, Ok(1)),
            ("a", true, true, Ok(1)),
            ("ID", false, false, Err("(must be forced) - image is being used by stopped container")),
            ("ID", true, true, Err("(cannot be forced) - image is being used by running container")),
            ("ID", true, false, Ok(1)),
        ] {
            let mut snapshot = Snapshot::default();
            let id = add(&mut snapshot, b"i", &["a:latest"], None, &[]);
            let in_use = [InUse { image: id, container: "c".repeat(64), running }];
            let hex = id.hex();
            let name = if name == "ID" { &hex[..8] } else { name };
            let removed = remove(&mut snapshot, name, force, &in_use);
            match expected {
                Ok(count) => assert_eq!(removed.unwrap().len(), count, "{name} {force} {running}"),
                Err(words) => assert!(removed.clone().unwrap_err().contains(words), "{removed:?}"),
            }
            assert!(snapshot.images.contains_key(&id));
        }
    }

    #[test]
    fn one_id_of_several_repositories_must_be_forced() {
        let mut snapshot = Snapshot::default();
        let id = add(&mut snapshot, b"i", &["a:1", "b:1"], None, &[]);
        let error = remove(&mut snapshot, &id.hex(), false, &[]).unwrap_err();
        assert!(error.contains("(must be forced) - image is referenced in multiple repositories"), "{error}");
        assert_eq!(remove(&mut snapshot, &id.hex(), true, &[]).unwrap().len(), 3);
    }
}
