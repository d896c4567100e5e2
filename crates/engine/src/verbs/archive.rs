//! A container's files as tar archives: `docker cp`, `docker export`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::stream_open::Kind;
use agent_proto::{MAX_WRITE_BYTES, read_frame, v1};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use types::ContainerId;

use super::Refusal;
use super::tar_end::Whole;
use crate::engine::Engine;
use crate::error::Error;
use crate::mounts;
use crate::record::Record;
use crate::session::Of;
use crate::shares::Shares;
use crate::spec;
use crate::state::State;
use crate::streams::Output;
use crate::task::Shared;

/// How long the guest may take to finish what it was sent: writing may wait for its disk.
const FINISH: std::time::Duration = std::time::Duration::from_secs(600);

/// What Docker tells of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path's last part.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `os.FileMode`.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub mtime_unix_ns: i64,
    /// Where a link leads in the end.
    pub link_target: String,
}

/// A path's archive.
#[derive(Debug)]
pub struct ArchiveRead {
    /// Of the path.
    pub info: PathInfo,
    /// The tar.
    pub tar: Output,
}

/// How to unpack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// A folder is not replaced by something else, nor something else by a folder.
    pub no_overwrite_dir_non_dir: bool,
    /// What is unpacked becomes the container's user's.
    pub copy_uid_gid: bool,
}

impl Engine {
    /// What there is at a path of a container. Starts the VM when need be: the files are on its disk.
    ///
    /// # Errors
    /// [`Error`]; no such path.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathInfo, Error> {
        let record = self.find(name)?.now().record.clone();
        Ok(self.archive(&record, name, path, true).await?.info)
    }

    /// The tar of a path of a container, named after its last part.
    ///
    /// # Errors
    /// [`Error`]; no such path.
    pub async fn archive_get(&self, name: &str, path: &str) -> Result<ArchiveRead, Error> {
        let record = self.find(name)?.now().record.clone();
        let archive = self.archive(&record, name, path, false).await?;
        self.shared().events.container(&record, "archive-path", &[]);
        Ok(archive)
    }

    async fn archive(
        &self,
        record: &Record,
        name: &str,
        path: &str,
        stat_only: bool,
    ) -> Result<ArchiveRead, Error> {
        let (mounts, borrowed) = self.mounts_of(record).await?;
        let get = v1::ArchiveGet {
            container_id: record.id.to_string(),
            layers: self.layers_of(record).await?,
            path: absolute(path),
            stat_only,
            mounts,
        };
        let (stream, opened) = self.open_files(record, name, path, Kind::ArchiveGet(get)).await?;
        let tar = Output::new(Whole::new(Kept { from: stream, _borrowed: borrowed }));
        Ok(ArchiveRead { info: info(opened.stat.unwrap_or_default()), tar })
    }

    /// Unpacks a tar into a folder of a container.
    ///
    /// # Errors
    /// [`Error`]; no such path, no folder, read-only, or an archive that cannot be unpacked.
    pub async fn archive_put<E: std::fmt::Display>(
        &self,
        name: &str,
        path: &str,
        options: PutOptions,
        mut tar: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
    ) -> Result<(), Error> {
        let record = self.find(name)?.now().record.clone();
        writable(&record, path)?;
        let (mounts, _borrowed) = self.mounts_of(&record).await?;
        let put = v1::ArchivePut {
            container_id: record.id.to_string(),
            layers: self.layers_of(&record).await?,
            path: absolute(path),
            no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
            copy_uid_gid: options.copy_uid_gid,
            mounts,
            user: record.config.user.clone().unwrap_or_default(),
        };
        let (mut stream, _) = self.open_files(&record, name, path, Kind::ArchivePut(put)).await?;
        if let Some((code, message)) = send(&mut stream, &mut tar).await? {
            return Err(refused(name, path, code, message));
        }
        self.shared().events.container(&record, "extract-to-dir", &[]);
        Ok(())
    }

    /// The tar of a container's whole root.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn export(&self, name: &str) -> Result<Output, Error> {
        let record = self.find(name)?.now().record.clone();
        match record.state {
            State::Dead { .. } => return Err(Refusal::ExportDead(record.id.to_string()).into()),
            State::Removing(_) => return Err(Refusal::ExportRemoving(record.id.to_string()).into()),
            _ => {}
        }
        let stream = self.export_stream(&record, name, false).await?;
        self.shared().events.container(&record, "export", &[]);
        Ok(Output::new(Whole::new(stream)))
    }

    /// The root, or what the container changed of its image.
    pub(super) async fn export_stream(
        &self,
        record: &Record,
        name: &str,
        changes_only: bool,
    ) -> Result<transport::Stream, Error> {
        let layers = self.layers_of(record).await?;
        let export = v1::Export { container_id: record.id.to_string(), layers, changes_only };
        Ok(self.open_files(record, name, "/", Kind::Export(export)).await?.0)
    }

    /// The layers of its image, as the agent maps them.
    pub(super) async fn layers_of(&self, record: &Record) -> Result<Vec<v1::Layer>, Error> {
        let image = self.shared().images.get(&record.image.to_string()).await;
        let image = image.map_err(|_| Error::NoSuchImage(record.image_name().to_owned()))?;
        Ok(image.layers.iter().map(spec::layer).collect())
    }

    async fn open_files(
        &self,
        record: &Record,
        name: &str,
        path: &str,
        kind: Kind,
    ) -> Result<(transport::Stream, v1::StreamOpened), Error> {
        let agent = self.shared().machine_of(record).ensure_running().await?;
        let opened = agent.open_told(v1::StreamOpen { kind: Some(kind) }).await;
        opened.map_err(|error| match error {
            vmm::OpenError::Refused { code, message } => refused(name, path, code, message),
            other => Error::Stream { doing: "read the container's files", message: other.to_string() },
        })
    }

    /// What is mounted into a container that does not run, and what keeps it there.
    async fn mounts_of(&self, record: &Record) -> Result<(Vec<v1::Mount>, Option<Borrowed>), Error> {
        if record.state.run().is_some() || record.mounts.is_empty() {
            return Ok((Vec::new(), None));
        }
        let agent = self.shared().machine_of(record).ensure_running().await?;
        let borrowed = Borrowed::new(self.shared(), Of::container(record), self.shared().shares_of(record));
        let mounts = mounts::resolve(self.shared(), &borrowed.user(&agent), record).await?;
        Ok((mounts, Some(borrowed)))
    }
}

/// Sends an archive, and gives what the guest says to it in the end: nothing, when it is unpacked.
pub(super) async fn send<E: std::fmt::Display>(
    stream: &mut transport::Stream,
    tar: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin + Send),
) -> Result<Option<(Code, String)>, Error> {
    let lost = |error: &dyn std::fmt::Display| Error::Stream {
        doing: "unpack the archive",
        message: error.to_string(),
    };
    let mut frame = Vec::with_capacity(MAX_WRITE_BYTES);
    while let Some(bytes) = tar.next().await {
        // A client that goes away ends the connection without the end mark, and so the unpacking.
        let bytes = bytes.map_err(|error| Refusal::Archive(format!("reading the archive: {error}")))?;
        for chunk in bytes.chunks(MAX_WRITE_BYTES - 4) {
            frame.clear();
            frame.extend_from_slice(&u32::try_from(chunk.len()).unwrap_or(0).to_be_bytes());
            frame.extend_from_slice(chunk);
            stream.write_all(&frame).await.map_err(|error| lost(&error))?;
        }
    }
    stream.write_all(&0_u32.to_be_bytes()).await.map_err(|error| lost(&error))?;
    stream.flush().await.map_err(|error| lost(&error))?;
    let answer = tokio::time::timeout(FINISH, read_frame::<v1::StreamOpened>(stream));
    let late = |_| Error::Deadline { doing: "unpack the archive", seconds: FINISH.as_secs() };
    let answer = answer.await.map_err(late)?.map_err(|error| lost(&error))?;
    Ok(answer.error.map(|error| (error.code(), error.message)))
}

/// Folders of the host, and disks of volumes, that the guest has as long as this lives.
pub(super) struct Borrowed {
    shared: Arc<Shared>,
    of: Of,
    shares: Arc<Shares>,
    id: ContainerId,
}

impl Borrowed {
    /// Under a name of its own: the end of this must not take away what a container's start has been given.
    pub(super) fn new(shared: &Arc<Shared>, of: Of, shares: Arc<Shares>) -> Self {
        Self { shared: Arc::clone(shared), of, shares, id: ContainerId::random() }
    }

    /// In whose name they are borrowed.
    pub(super) fn user<'a>(&'a self, agent: &'a vmm::Agent) -> mounts::User<'a> {
        mounts::User { of: self.of.clone(), agent, shares: &self.shares, id: &self.id }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.shares.release(&self.id);
        self.shared.volume_disks.release(&self.id);
    }
}

/// A stream that keeps what it reads from in its place.
pub(super) struct Kept<R> {
    pub(super) from: R,
    pub(super) _borrowed: Option<Borrowed>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Kept<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buf)
    }
}

/// Whether a container may be written to at `path`, by its record; links are left to the kernel.
fn writable(record: &Record, path: &str) -> Result<(), Refusal> {
    let path = mounts::clean(path);
    let within = |target: &str| {
        path == target || target == "/" || path.strip_prefix(target).is_some_and(|rest| rest.starts_with('/'))
    };
    let mounts = record.mounts.iter().filter(|mount| within(&mount.target));
    match mounts.max_by_key(|mount| mount.target.len()) {
        Some(mount) if mount.read_only => Err(Refusal::ReadOnlyVolume),
        Some(_) => Ok(()),
        None if record.host_config.readonly_rootfs == Some(true) => Err(Refusal::ReadOnlyRoot),
        None => Ok(()),
    }
}

pub(super) fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn refused(container: &str, path: &str, code: Code, message: String) -> Error {
    match code {
        Code::NoSuchPath => {
            Refusal::NoSuchPath { path: path.to_owned(), container: container.to_owned() }.into()
        }
        Code::NotADirectory => Refusal::NotADirectory(message).into(),
        Code::BadSpec | Code::NoSuchUser => Refusal::Archive(message).into(),
        Code::ReadOnly => Refusal::ReadOnlyVolume.into(),
        _ => Error::Agent { doing: "read or write the container's files", message },
    }
}

pub(super) fn info(stat: v1::PathStat) -> PathInfo {
    PathInfo {
        name: stat.name,
        size: stat.size_bytes,
        mode: go_mode(stat.mode),
        mtime_unix_ns: stat.mtime_unix_ns,
        link_target: stat.link_target,
    }
}

/// From `st_mode` to Go's `os.FileMode`.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => (1 << 26) | (1 << 21),
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let bit = |from: u32, to: u32| if mode & from == 0 { 0 } else { 1 << to };
    kind | (mode & 0o777) | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only_is_refused() {
        let mut record = crate::record::tests::record();
        let mount = |target: &str, read_only| mounts::Mount {
            target: target.to_owned(),
            source: mounts::Source::Tmpfs { size_bytes: 0, mode: 0, options: Vec::new() },
            read_only,
            propagation: String::new(),
            non_recursive: false,
            read_only_non_recursive: false,
            mode: String::new(),
        };
        record.mounts = vec![mount("/data", false), mount("/data/fixed", true)];
        for (path, root, expected) in [
            ("/etc", false, Ok(())),
            ("/etc", true, Err(Refusal::ReadOnlyRoot)),
            ("/data/x/", true, Ok(())),
            ("data", true, Ok(())),
            ("/database", true, Err(Refusal::ReadOnlyRoot)),
            ("/data/../data/fixed/y", false, Err(Refusal::ReadOnlyVolume)),
        ] {
            record.host_config.readonly_rootfs = Some(root);
            assert_eq!(writable(&record, path), expected, "{path}");
        }
    }

    #[test]
    fn modes_are_gos() {
        for (mode, expected) in [
            (0o100_644, 0o644),
            (0o040_755, 0x8000_01ed),
            (0o120_777, 0x0800_01ff),
            (0o041_777, 0x8010_01ff),
            (0o104_755, 0x0080_01ed),
            (0o020_620, 0x0420_0190),
        ] {
            assert_eq!(go_mode(mode), expected, "{mode:o}");
        }
    }
}
