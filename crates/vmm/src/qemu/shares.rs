//! Plugging folders of the host in and out of a live QEMU: one `virtiofsd`, one chardev and one device in a spare port
//! for each.
//!
//! Invariant: a daemon stands in the machine's record before its device is plugged in, so whatever dies when, the next
//! coracled finds it. A daemon that has QEMU's connection ends by itself when QEMU does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qapi::qmp;

use super::command_line::SPARE_PORTS;
use super::control::CommandError;
use super::link;
use super::machine::{QemuMachine, end, fresh_log};
use super::virtiofsd;
use crate::process::Process;
use crate::{Record, Share, ShareError, StopTrouble};

const DRIVER: &str = "vhost-user-fs-pci";
/// An idle daemon ends at once when its connection is closed.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// The daemon of a share, by its tag.
pub(super) struct Daemon {
    pub(super) tag: String,
    pub(super) process: Process,
}

/// The next death among `daemons`: which tag, and how. Cancel-safe.
pub(super) async fn ended(daemons: &mut [Daemon]) -> (String, String) {
    let ends = daemons.iter_mut().map(|daemon| {
        Box::pin(async {
            let how = daemon.process.ended().await;
            (daemon.tag.clone(), how)
        })
    });
    let ends: Vec<_> = ends.collect();
    if ends.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(ends).await.0
}

fn device(share: &Share) -> String {
    format!("fs-{}", share.tag)
}

fn chardev(share: &Share) -> String {
    format!("fsd-{}", share.tag)
}

fn bus(share: &Share) -> String {
    format!("spare{}", share.port)
}

impl QemuMachine {
    /// What the record names is held on to again; what is not whole is taken out.
    pub(super) async fn adopt_shares(&mut self) {
        for share in self.record.shares.clone() {
            let lives = match Process::adopt(share.daemon) {
                Some(process) => {
                    self.shares.push(Daemon { tag: share.tag.clone(), process });
                    true
                }
                None => false,
            };
            if (!lives || !share.plugged)
                && !share.lost
                && let Err(error) = self.take_out(&share).await
            {
                tracing::error!(
                    folder = %share.folder.display(), %error,
                    "its virtiofsd died while nobody looked, and the device stays"
                );
            }
        }
    }

    /// It is of no use any more, and stays where it is.
    fn lost_share(&mut self, tag: &str) {
        for share in &mut self.record.shares {
            share.lost |= share.tag == tag;
        }
        if let Err(error) = self.record.store() {
            tracing::warn!(tag, %error, "that a share is lost is not stored");
        }
    }

    pub(super) async fn plug_in(&mut self, folder: &Path, read_only: bool) -> Result<String, ShareError> {
        if !cfg!(target_os = "linux") {
            return Err(ShareError::Unsupported("virtiofsd exists on Linux alone"));
        }
        let same = |share: &&Share| share.folder == folder && share.read_only == read_only && !share.lost;
        if let Some(share) = self.record.shares.iter().find(same) {
            return Ok(share.tag.clone());
        }
        if let Some(lost) = self.record.shares.iter().find(|share| share.lost) {
            return Err(ShareError::Stuck { folder: folder.to_owned(), lost: lost.folder.clone() });
        }
        let Some(port) = self.free_port().await else {
            return Err(ShareError::Full { limit: SPARE_PORTS });
        };
        self.record.shared += 1;
        let tag = format!("share{}", self.record.shared);
        let failed = |detail: String| ShareError::Daemon { folder: folder.to_owned(), detail };

        let path = socket(&self.record, &tag);
        let log = fresh_log(&self.record.console_log, &format!("virtiofsd-{port}.log"));
        let mut process =
            virtiofsd::start(&self.libexec, &path, folder, read_only, &log).map_err(|error| {
                failed(format!("{} did not start: {error}", virtiofsd::daemon_path(&self.libexec).display()))
            })?;
        let share = Share {
            tag: tag.clone(),
            folder: folder.to_owned(),
            read_only,
            port,
            daemon: process.id(),
            plugged: false,
            lost: false,
        };
        self.record.shares.push(share.clone());
        let ready = match self.record.store() {
            Ok(()) => link::listening(&mut process, &path, &log).await.map_err(failed),
            Err(error) => Err(ShareError::Record { folder: folder.to_owned(), detail: error.to_string() }),
        };
        self.shares.push(Daemon { tag: tag.clone(), process });
        let plugged = match ready {
            Ok(()) => self.add_device(&share, &path).await,
            Err(error) => Err(error),
        };
        if let Err(error) = plugged {
            if let Err(trouble) = self.take_out(&share).await {
                tracing::warn!(tag, %trouble, "half a share stays");
            }
            return Err(error);
        }
        for known in &mut self.record.shares {
            known.plugged |= known.tag == tag;
        }
        self.store_shares(&share)?;
        Ok(tag)
    }

    async fn add_device(&self, share: &Share, socket: &Path) -> Result<(), ShareError> {
        let refused = |command: &'static str, detail: String| ShareError::Control {
            folder: share.folder.clone(),
            command,
            detail,
        };
        let added = self.run("chardev-add", super::machine::chardev_add(&chardev(share), socket)).await;
        added.map_err(|error| refused("chardev-add", crate::error::chain(&error)))?;
        let properties =
            [("chardev".to_owned(), chardev(share).into()), ("tag".to_owned(), share.tag.clone().into())];
        let device = qmp::device_add::new(DRIVER, device(share), bus(share), properties);
        let added = self.run("device_add", device).await;
        added.map_err(|error| refused("device_add", crate::error::chain(&error)))?;
        Ok(())
    }

    pub(super) async fn unplug_share(&mut self, tag: &str) -> Result<(), ShareError> {
        let Some(share) = self.record.shares.iter().find(|share| share.tag == tag && !share.lost).cloned()
        else {
            return Err(ShareError::Unknown(tag.to_owned()));
        };
        self.take_out(&share).await
    }

    /// Device, chardev, daemon, socket, record, in this order. A device that the guest does not let go of keeps its
    /// place in the record as lost, so that its port is not given away.
    async fn take_out(&mut self, share: &Share) -> Result<(), ShareError> {
        let refused = |command: &'static str, detail: String| ShareError::Control {
            folder: share.folder.clone(),
            command,
            detail,
        };
        if share.plugged || self.is_there(&device(share)).await {
            match self.unplug_device(&device(share)).await {
                Ok(()) => {}
                Err(super::machine::UnplugError::Late(patience)) => {
                    self.lost_share(&share.tag);
                    return Err(ShareError::Unplug {
                        folder: share.folder.clone(),
                        seconds: patience.as_secs(),
                    });
                }
                Err(super::machine::UnplugError::Control(detail)) => {
                    return Err(refused("device_del", detail));
                }
            }
        }
        if let Some(control) = &self.control {
            match control.run(qmp::chardev_remove { id: chardev(share) }).await {
                Ok(_) => {}
                Err(CommandError::Refused(detail)) if detail.contains("not found") => {}
                Err(error) => return Err(refused("chardev-remove", crate::error::chain(&error))),
            }
        }
        if let Some(at) = self.shares.iter().position(|daemon| daemon.tag == share.tag) {
            let daemon = self.shares.swap_remove(at);
            end(daemon.process, virtiofsd::DAEMON, END_DEADLINE, &mut Vec::new()).await;
        }
        remove_files(&socket(&self.record, &share.tag));
        self.record.shares.retain(|other| other.tag != share.tag);
        self.store_shares(share)
    }

    fn store_shares(&self, share: &Share) -> Result<(), ShareError> {
        self.record
            .store()
            .map_err(|error| ShareError::Record { folder: share.folder.clone(), detail: error.to_string() })
    }

    /// The machine is gone, so are its shares.
    pub(super) async fn end_shares(&mut self, troubles: &mut Vec<StopTrouble>) {
        for daemon in std::mem::take(&mut self.shares) {
            end(daemon.process, virtiofsd::DAEMON, END_DEADLINE, troubles).await;
        }
        for share in std::mem::take(&mut self.record.shares) {
            remove_files(&socket(&self.record, &share.tag));
        }
    }
}

/// What is left of a machine's shares when QEMU is gone: nothing, unless a daemon never got QEMU's connection.
pub(super) async fn bury(record: &Record) {
    for share in &record.shares {
        if let Some(process) = Process::adopt(share.daemon) {
            end(process, virtiofsd::DAEMON, Duration::ZERO, &mut Vec::new()).await;
        }
        remove_files(&socket(record, &share.tag));
    }
}

fn socket(record: &Record, tag: &str) -> PathBuf {
    record.run_dir.join(format!("{tag}.sock"))
}

/// The socket, and the lock that virtiofsd makes beside it.
fn remove_files(socket: &Path) {
    for path in [socket.to_owned(), socket.with_extension("sock.pid")] {
        // Absent is as good; a folder that cannot be written shows elsewhere.
        let _ = std::fs::remove_file(path);
    }
}
