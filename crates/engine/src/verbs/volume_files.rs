//! A volume's files without a container: Coracle's own, where Docker has nothing. They are in the VM, which is not
//! started for it: to look at a volume must not boot a machine.

use std::sync::Arc;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use agent_proto::v1::stream_open::Kind;
use agent_proto::v1::volume_archive::Action;
use bytes::Bytes;
use futures::Stream;

use super::Refusal;
use super::archive::{self, ArchiveRead, Borrowed, Kept, PathInfo, PutOptions, absolute};
use super::tar_end::Whole;
use crate::agent::{CallError, SLOW, call};
use crate::engine::Engine;
use crate::error::Error;
use crate::machine::agent_of;
use crate::mounts;
use crate::streams::Output;
use crate::volume::{IN_OWN_VM, VolumeError};

/// Names in a folder of a volume, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFolder {
    /// As many as were asked for, and no more than 1000.
    pub entries: Vec<FileInfo>,
    /// There are more behind the last.
    pub more: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Without its folder.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// As in `st_mode`.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub mtime_unix_ns: i64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What a link says.
    pub link_target: String,
}

impl Engine {
    /// What there is at a path of a volume.
    ///
    /// # Errors
    /// [`Error`]; no such path; the VM does not run.
    pub async fn volume_stat(&self, name: &str, path: &str) -> Result<PathInfo, Error> {
        Ok(self.volume_archive(name, path, Action::Stat).await?.info)
    }

    /// The tar of a path of a volume, named after its last part.
    ///
    /// # Errors
    /// [`Error`]; no such path; the VM does not run.
    pub async fn volume_get(&self, name: &str, path: &str) -> Result<ArchiveRead, Error> {
        self.volume_archive(name, path, Action::Get).await
    }

    /// Unpacks a tar into a folder of a volume.
    ///
    /// # Errors
    /// [`Error`]; no such path, no folder, read-only, an archive that cannot be unpacked; the VM does not run.
    pub async fn volume_put<E: std::fmt::Display>(
        &self,
        name: &str,
        path: &str,
        options: PutOptions,
        mut tar: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
    ) -> Result<(), Error> {
        self.shared().volumes.written(name).await?;
        let (mut stream, _, _borrowed) =
            self.open_volume(name, path, Action::Put, options.no_overwrite_dir_non_dir).await?;
        match archive::send(&mut stream, &mut tar).await? {
            Some((code, message)) => Err(refused(name, path, code, message)),
            None => Ok(()),
        }
    }

    /// What is in a folder of a volume, behind the name `after`.
    ///
    /// # Errors
    /// [`Error`]; no such folder; the VM does not run.
    pub async fn volume_files(
        &self,
        name: &str,
        path: &str,
        after: &str,
        limit: u32,
    ) -> Result<VolumeFolder, Error> {
        let (agent, volume, _borrowed) = self.stood_up(name).await?;
        let request = v1::ListVolumeRequest {
            volume: Some(volume),
            path: absolute(path),
            after: after.to_owned(),
            limit,
        };
        let reply = call(SLOW, agent.grpc().list_volume(request)).await.map_err(|error| match error {
            CallError::Refused(code, message) => refused(name, path, code, message),
            other => other.into_error("list the volume's files"),
        })?;
        let entries = reply.entries.into_iter().map(|entry| FileInfo {
            name: entry.name,
            size: entry.size_bytes,
            mode: entry.mode,
            mtime_unix_ns: entry.mtime_unix_ns,
            uid: entry.uid,
            gid: entry.gid,
            link_target: entry.link_target,
        });
        Ok(VolumeFolder { entries: entries.collect(), more: reply.more })
    }

    async fn volume_archive(&self, name: &str, path: &str, action: Action) -> Result<ArchiveRead, Error> {
        let (stream, opened, borrowed) = self.open_volume(name, path, action, false).await?;
        let tar = Output::new(Whole::new(Kept { from: stream, _borrowed: Some(borrowed) }));
        Ok(ArchiveRead { info: archive::info(opened.stat.unwrap_or_default()), tar })
    }

    async fn open_volume(
        &self,
        name: &str,
        path: &str,
        action: Action,
        no_overwrite_dir_non_dir: bool,
    ) -> Result<(transport::Stream, v1::StreamOpened, Borrowed), Error> {
        let (agent, volume, borrowed) = self.stood_up(name).await?;
        let request = v1::VolumeArchive {
            volume: Some(volume),
            action: action.into(),
            path: absolute(path),
            no_overwrite_dir_non_dir,
        };
        let open = v1::StreamOpen { kind: Some(Kind::VolumeArchive(request)) };
        let (stream, opened) = agent.open_told(open).await.map_err(|error| match error {
            vmm::OpenError::Refused { code, message } => refused(name, path, code, message),
            other => Error::Stream { doing: "read the volume's files", message: other.to_string() },
        })?;
        Ok((stream, opened, borrowed))
    }

    /// The volume as the guest knows it, and what keeps it there.
    async fn stood_up(&self, name: &str) -> Result<(vmm::Agent, v1::Mount, Borrowed), Error> {
        let shared = self.shared();
        let of = shared.home_of(&shared.volumes.get(name).await?).await;
        let machine = shared.machine(&of).ok_or_else(|| VolumeError::OutOfReach {
            name: name.to_owned(),
            place: IN_OWN_VM,
            help: "start that container",
        })?;
        let agent = agent_of(&*machine, "volumes are kept in it").await?;
        let borrowed = Borrowed::new(shared, of, Arc::clone(&shared.shares));
        let volume = mounts::whole_volume(self.shared(), &borrowed.user(&agent), name).await?;
        Ok((agent, volume, borrowed))
    }
}

fn refused(volume: &str, path: &str, code: Code, message: String) -> Error {
    match code {
        Code::NoSuchPath => {
            Refusal::NoSuchVolumePath { path: path.to_owned(), volume: volume.to_owned() }.into()
        }
        Code::NotADirectory => Refusal::NotADirectory(message).into(),
        Code::BadSpec => Refusal::Archive(message).into(),
        Code::ReadOnly => Refusal::ReadOnlyVolume.into(),
        Code::NotRunning => Refusal::InMemory(message).into(),
        _ => Error::Agent { doing: "read or write the volume's files", message },
    }
}
