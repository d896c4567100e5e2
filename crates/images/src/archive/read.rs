//! The pass over an archive: documents into memory, layers onto the layer disk, all else read over.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use types::Digest;

use super::LoadError;
use super::names::{Links, clean, promised};
use crate::layer::{Arrived, Compression, ahead, arrive, sniff};
use crate::tar::{self, Entry, Kind};
use crate::works::Works;

/// Larger than any honest document that an image needs.
const DOCUMENT_BYTES: u64 = 8 << 20;
/// Of all documents together.
const DOCUMENTS_BYTES: u64 = 32 << 20;
const ENTRIES: usize = 100_000;
/// An archive of more is no archive.
const ARCHIVE_BYTES: u64 = 1 << 40;
const HEAD_BYTES: u64 = 512;
const BUFFER_BYTES: usize = 256 << 10;

/// What an archive holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) documents: HashMap<String, Vec<u8>>,
    pub(super) layers: HashMap<String, Held>,
    pub(super) links: Links,
    document_bytes: u64,
}

/// What became of an entry that is no document.
pub(super) enum Held {
    /// It is on the layer disk.
    Arrived(Box<Arrived>),
    /// The catalog has it under this diff id: it was not read.
    Present(Digest),
    /// It cannot be a layer. That matters only where it should be one.
    Refused(String),
}

/// Reads a whole archive. `told` hears of a layer's name, its bytes so far, and all of them. Blocking.
pub(super) fn read(
    works: &Arc<Works>,
    mut archive: impl BufRead + Send,
    told: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<Contents, LoadError> {
    let (magic, compression) = sniff(&mut archive).map_err(LoadError::Read)?;
    let whole = io::Cursor::new(magic).chain(archive);
    if compression == Compression::Plain {
        return entries(works, whole, told);
    }
    ahead(whole, |tar| entries(works, tar, told)).map_err(LoadError::Read)?
}

fn entries(
    works: &Arc<Works>,
    archive: impl Read + Send,
    told: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<Contents, LoadError> {
    let mut reader = tar::Reader::unhashed(archive, ARCHIVE_BYTES);
    let mut contents = Contents::default();
    while let Some(entry) = reader.next_entry()? {
        let Some(name) = clean(&entry.path)? else { continue };
        let count = contents.documents.len() + contents.layers.len() + contents.links.len();
        if count >= ENTRIES {
            return Err(LoadError::Entries(ENTRIES));
        }
        match entry.kind {
            Kind::File => contents.file(works, &mut reader, &entry, name, told)?,
            Kind::Symlink => contents.links.add(name, &entry.link, true)?,
            Kind::HardLink => contents.links.add(name, &entry.link, false)?,
            _ => {}
        }
    }
    // To the end of the stream: a client that is cut off while it writes reports that, not our answer.
    reader.finish()?;
    Ok(contents)
}

impl Contents {
    fn file(
        &mut self,
        works: &Arc<Works>,
        reader: &mut tar::Reader<impl Read + Send>,
        entry: &Entry,
        name: String,
        told: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<(), LoadError> {
        // Metadata of Docker's first format, a folder for each layer: manifest.json says it all.
        if name.ends_with("/json") || name.ends_with("/VERSION") {
            return Ok(());
        }
        if self.documents.contains_key(&name) || self.layers.contains_key(&name) {
            return Err(LoadError::Twice(name));
        }
        if entry.segments.is_some() {
            return Err(LoadError::Sparse(name));
        }
        if let Some(diff_id) = present(works, &name) {
            self.layers.insert(name, Held::Present(diff_id));
            return Ok(());
        }
        let mut data = Data(reader);
        let mut head = Vec::new();
        data.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(LoadError::Read)?;
        let whole = io::Cursor::new(head.clone()).chain(data);
        match Nature::of(&name, &head) {
            Nature::Document => self.document(name, entry.size, whole),
            Nature::Layer => self.layer(works, name, entry.size, whole, told),
            Nature::Neither => {
                self.layers.insert(name, Held::Refused("it is no tar".to_owned()));
                Ok(())
            }
        }
    }

    fn document(&mut self, name: String, size: u64, mut data: impl Read) -> Result<(), LoadError> {
        if size > DOCUMENT_BYTES || self.document_bytes + size > DOCUMENTS_BYTES {
            self.layers.insert(name, Held::Refused("it is too large a document".to_owned()));
            return Ok(());
        }
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).map_err(LoadError::Read)?;
        self.document_bytes += size;
        verify(&name, || Digest::of(&bytes))?;
        self.documents.insert(name, bytes);
        Ok(())
    }

    fn layer(
        &mut self,
        works: &Arc<Works>,
        name: String,
        size: u64,
        data: impl Read + Send,
        told: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<(), LoadError> {
        let data = BufReader::with_capacity(BUFFER_BYTES, data);
        let held = match arrive(works, data, promised(&name), |bytes| told(&name, bytes, size)) {
            Ok(arrived) => Held::Arrived(Box::new(arrived)),
            Err(error) => Held::Refused(LoadError::of_layer(&name, error)?),
        };
        self.layers.insert(name, held);
        Ok(())
    }
}

fn verify(name: &str, digest: impl FnOnce() -> Digest) -> Result<(), LoadError> {
    let Some(expected) = promised(name) else { return Ok(()) };
    let actual = digest();
    if actual == expected { Ok(()) } else { Err(LoadError::WrongDigest { name: name.to_owned(), actual }) }
}

/// A layer that is here already, told by the name of its blob or, as skopeo names files, of its tar. Only what was
/// verified here comes of it.
fn present(works: &Works, name: &str) -> Option<Digest> {
    let snapshot = works.catalog.snapshot();
    let diff_id = match promised(name) {
        Some(digest) => {
            snapshot.layers.iter().find(|(_, record)| record.layer.digest == digest).map(|(d, _)| *d)
        }
        None => Digest::from_hex(name.strip_suffix(".tar")?).ok().filter(|d| snapshot.layers.contains_key(d)),
    }?;
    works.has_layer(&diff_id).then_some(diff_id)
}

#[derive(Debug, PartialEq, Eq)]
enum Nature {
    Document,
    Layer,
    Neither,
}

impl Nature {
    fn of(name: &str, head: &[u8]) -> Self {
        if matches!(name, "manifest.json" | "index.json") {
            return Self::Document;
        }
        let compressed = sniff(&mut &*head).is_ok_and(|(_, compression)| compression != Compression::Plain);
        if compressed || tar::is_header(head) {
            return Self::Layer;
        }
        match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => Self::Document,
            _ => Self::Neither,
        }
    }
}

/// An entry's data.
struct Data<'a, R>(&'a mut tar::Reader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = self.0.data().map_err(|error| match error {
            tar::TarError::Read(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })?;
        let count = data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&data[..count]);
        self.0.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_an_entry_is() {
        let tar = tar::archive::Archive::of(&[tar::archive::Spec::file("{", b"x")]);
        for (head, nature) in [
            (&tar[..512], Nature::Layer),
            (&[0; 512][..], Nature::Layer),
            (&[0x1f, 0x8b, 8][..], Nature::Layer),
            (b"BZh9", Nature::Layer),
            (b" \n{\"a\":1}", Nature::Document),
            (b"[]", Nature::Document),
            (b"1.0", Nature::Neither),
            (b"", Nature::Neither),
        ] {
            assert_eq!(Nature::of("x", head), nature, "{head:?}");
        }
    }
}
