//! Images from a tar of an OCI image-layout (`image-layout.md`): the bundled image, `docker load`.
//!
//! The archive's blobs become complete partial files, verified; from there on it is a pull that needs
//! no network. Nothing else of the archive reaches the disk, no name of it becomes a path.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use types::{Digest, Hasher, Reference, Selector};

use crate::pull::{Request, Source};
use crate::registry::{Descriptor, Document, MANIFEST_LIMIT_BYTES};
use crate::works::Works;
use crate::{PullError, StorageError};

/// What an archive holds.
pub(crate) struct Unpacked {
    /// One pull for each image.
    pub(crate) requests: Vec<Request>,
    /// The blobs that were laid out as partial files.
    pub(crate) blobs: Leftovers,
}

/// Lays an archive's blobs out. On an error none of them stays. Blocking.
pub(crate) fn unpack(works: &Arc<Works>, archive: &Path) -> Result<Unpacked, PullError> {
    let mut blobs = Leftovers(Arc::clone(works), Vec::new());
    let index = lay_out(works, archive, &mut blobs.1)?;
    Ok(Unpacked { requests: requests(archive, index.as_deref())?, blobs })
}

/// Removes what of the blobs has not become part of an image. Blocking.
fn clear(works: &Works, blobs: &[Digest]) {
    for digest in blobs {
        if let Err(error) = works.content.remove_partial(digest) {
            tracing::warn!(%error, "a part of an imported archive stays on the disk");
        }
    }
}

fn lay_out(works: &Works, archive: &Path, blobs: &mut Vec<Digest>) -> Result<Option<Vec<u8>>, PullError> {
    let file = File::open(archive).map_err(StorageError::file(archive))?;
    let mut archive_reader = ::tar::Archive::new(io::BufReader::with_capacity(1 << 20, file));
    let broken = |error: io::Error| malformed(archive, error.to_string());
    let mut index = None;
    for entry in archive_reader.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./");
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if name == "index.json" {
            if entry.size() > MANIFEST_LIMIT_BYTES {
                return Err(PullError::TooLarge { what: what(archive), limit_bytes: MANIFEST_LIMIT_BYTES });
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            index = Some(bytes);
        } else if let Some(digest) =
            name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok())
        {
            blobs.push(digest);
            blob(works, archive, digest, &mut entry)?;
        }
    }
    Ok(index)
}

fn blob(works: &Works, archive: &Path, digest: Digest, entry: &mut impl io::Read) -> Result<(), PullError> {
    let path = works.content.partial(&digest);
    let mut file = File::create(&path).map_err(StorageError::file(&path))?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = entry.read(&mut buffer).map_err(|error| malformed(archive, error.to_string()))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(StorageError::file(&path))?;
    }
    let actual = hasher.finish();
    if actual == digest {
        return Ok(());
    }
    Err(PullError::WrongDigest { what: what(archive), expected: digest, actual })
}

fn requests(archive: &Path, index: Option<&[u8]>) -> Result<Vec<Request>, PullError> {
    let index = index.ok_or_else(|| malformed(archive, "it has no index.json".into()))?;
    let Document::Index(entries) = Document::parse(index, "", &what(archive))? else {
        return Err(malformed(archive, "its index.json is no index".into()));
    };
    if entries.is_empty() {
        return Err(malformed(archive, "it holds no image".into()));
    }
    Ok(entries.iter().map(request).collect())
}

fn request(entry: &Descriptor) -> Request {
    let reference = reference(entry);
    Request {
        source: Source::Partials,
        selector: Selector::Digest(entry.digest),
        name: reference.as_ref().map_or_else(|| entry.digest.to_string(), Reference::familiar),
        reference,
        repository: None,
        platform: None,
    }
}

/// containerd writes the full name beside a bare tag; others write the full name where the tag belongs.
fn reference(entry: &Descriptor) -> Option<Reference> {
    let named = entry.annotations.get("io.containerd.image.name");
    let bare = entry.annotations.get("org.opencontainers.image.ref.name");
    let full = named.or(bare.filter(|name| name.contains(['/', ':'])))?;
    full.parse::<Reference>().ok().filter(|reference| reference.tag().is_some())
}

fn what(archive: &Path) -> String {
    format!("image archive {}", archive.display())
}

fn malformed(archive: &Path, detail: String) -> PullError {
    PullError::Malformed { what: what(archive), detail }
}

/// Removes an import's leftovers when it ends, however it ends.
pub(crate) struct Leftovers(Arc<Works>, Vec<Digest>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        clear(&self.0, &self.1);
    }
}
