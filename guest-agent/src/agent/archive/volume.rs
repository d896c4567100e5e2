//! A volume's files without a container: listed, packed, unpacked. The volume's root is the root of all paths.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use agent_proto::v1::mount::Source;
use agent_proto::v1::volume_archive::Action;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat};
use transport::Stream;

use super::pack::Packer;
use super::path;
use super::serve::{base, consume, end, open, produce, say, stat};
use super::unpack::{Rules, Unpacker};
use crate::agent::failure::Failure;
use crate::agent::{shares, volumes};

/// Entries of one answer, so that it stays below what a call may be long.
const MAX_ENTRIES: usize = 1000;
/// Longest target of a link that is told.
const MAX_TARGET_BYTES: usize = 1024;

/// The volume's root.
fn root(volume: Option<&v1::Mount>) -> Result<File, Failure> {
    match volume.and_then(|mount| mount.source.as_ref()) {
        Some(Source::Share(share)) => Ok(File::from(shares::open(share)?)),
        Some(Source::Volume(volume)) => {
            let place = volumes::standing(volume)?;
            File::open(place).map_err(|error| Failure::internal(&format!("volume {}", volume.name), error))
        }
        None => Err(Failure::new(Code::BadSpec, "no volume is named")),
    }
}

/// Serves `VolumeArchive`.
pub(crate) async fn archive(mut stream: Stream, request: v1::VolumeArchive) -> anyhow::Result<()> {
    match request.action() {
        Action::Put => {
            if request.volume.as_ref().is_some_and(|volume| volume.read_only) {
                let failure = Failure::new(Code::ReadOnly, "the volume is read-only");
                return say(&mut stream, Err(failure)).await;
            }
            consume(stream, move || {
                let rules = Rules { keep_kinds: request.no_overwrite_dir_non_dir, owner: None };
                let root = root(request.volume.as_ref())?;
                Unpacker::new(root, OsStr::from_bytes(request.path.as_bytes()), rules)
            })
            .await
        }
        action => {
            produce(stream, move |answer, out| {
                let path = &request.path;
                let opened = root(request.volume.as_ref()).and_then(|root| {
                    let file = open(&root, path)?;
                    let stat = stat(&root, &file, path)?;
                    Ok((file, stat))
                });
                match opened {
                    Ok((file, stat)) => {
                        if answer.send(Ok(Some(stat))).is_err() || action == Action::Stat {
                            return;
                        }
                        let mut packer = Packer::new(out);
                        let done = packer.add(&file, base(path.as_bytes())).and_then(|()| packer.finish());
                        end("archive of a volume", path, done);
                    }
                    Err(failure) => drop(answer.send(Err(failure))),
                }
            })
            .await
        }
    }
}

/// Lists a folder. Blocking.
pub(crate) fn list(request: &v1::ListVolumeRequest) -> Result<v1::ListVolumeReply, Failure> {
    let root = root(request.volume.as_ref())?;
    let opened = path::open(
        &root,
        OsStr::new(&request.path),
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK,
    );
    let text = &request.path;
    let folder = opened.map_err(|error| match error {
        Errno::ENOENT => Failure::new(Code::NoSuchPath, format_args!("{text}: no such file or directory")),
        Errno::ENOTDIR => Failure::new(Code::NotADirectory, format_args!("{text}: not a directory")),
        other => Failure::internal(text, other.desc().to_lowercase()),
    })?;
    let limit = usize::try_from(request.limit).unwrap_or(0).clamp(1, MAX_ENTRIES);
    entries(&folder, request.after.as_bytes(), limit).map_err(|error| Failure::internal(text, error))
}

/// The first of them by name behind `after`. Memory is bounded by `limit`, not by the folder.
fn entries(folder: &File, after: &[u8], limit: usize) -> io::Result<v1::ListVolumeReply> {
    let mut first: BTreeMap<OsString, FileStat> = BTreeMap::new();
    let mut more = false;
    let mut reading = Dir::from_fd(folder.try_clone()?.into())?;
    for entry in reading.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if matches!(name.as_slice(), b"." | b"..") || name.as_slice() <= after {
            continue;
        }
        let name = OsString::from_vec(name);
        if first.len() == limit && first.last_key_value().is_some_and(|(last, _)| *last <= name) {
            more = true;
            continue;
        }
        let found = path::inode(folder, &name).and_then(|file| fstat(&file));
        match found {
            Ok(stat) => drop(first.insert(name, stat)),
            // It is gone.
            Err(Errno::ENOENT) => continue,
            Err(error) => return Err(error.into()),
        }
        if first.len() > limit {
            first.pop_last();
            more = true;
        }
    }
    let entries = first.into_iter().map(|(name, stat)| entry(folder, &name, &stat)).collect();
    Ok(v1::ListVolumeReply { entries, more })
}

fn entry(folder: &File, name: &OsStr, stat: &FileStat) -> v1::FileEntry {
    let target = match path::kind(stat) {
        SFlag::S_IFLNK => path::inode(folder, name).and_then(|file| path::link_target(&file)),
        _ => Ok(OsString::new()),
    };
    let mut target = target.unwrap_or_default().to_string_lossy().into_owned();
    if target.len() > MAX_TARGET_BYTES {
        target.truncate(target.floor_char_boundary(MAX_TARGET_BYTES));
    }
    v1::FileEntry {
        name: name.to_string_lossy().into_owned(),
        size_bytes: stat.st_size,
        mode: stat.st_mode,
        mtime_unix_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec),
        uid: stat.st_uid,
        gid: stat.st_gid,
        link_target: target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["e", "b", "d", "a", "c"] {
            std::fs::write(folder.path().join(name), name.repeat(3)).unwrap();
        }
        std::os::unix::fs::symlink("../../etc/passwd", folder.path().join("link")).unwrap();
        let opened = File::open(folder.path()).unwrap();
        let page = |after: &str, limit| {
            let page = entries(&opened, after.as_bytes(), limit).unwrap();
            (page.entries.iter().map(|entry| entry.name.clone()).collect::<String>(), page.more)
        };
        assert_eq!(page("", 2), ("ab".to_owned(), true));
        assert_eq!(page("b", 2), ("cd".to_owned(), true));
        assert_eq!(page("d", 2), ("elink".to_owned(), false));
        assert_eq!(page("link", 2), (String::new(), false));
        let all = entries(&opened, b"", 10).unwrap().entries;
        assert_eq!((all[0].size_bytes, all[5].link_target.as_str()), (3, "../../etc/passwd"));
    }
}
