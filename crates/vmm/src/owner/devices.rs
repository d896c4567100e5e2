//! What is plugged in and taken out while the VM runs: folders of the host, disks, the network card.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::live::Live;
use super::work::Work;
use super::{Command, Owner, State};
use crate::{CardError, Disk, DiskError, Share, ShareError};

/// What is asked of the devices. While other work is under way it waits.
#[derive(Debug)]
pub(crate) enum Devices {
    Share { folder: PathBuf, read_only: bool, answer: oneshot::Sender<Result<String, ShareError>> },
    Unshare { tag: String, answer: oneshot::Sender<Result<(), ShareError>> },
    Shares(oneshot::Sender<Vec<Share>>),
    PlugCard { socket: PathBuf, address: String, answer: oneshot::Sender<Result<(), CardError>> },
    PlugDisk { file: PathBuf, serial: String, answer: oneshot::Sender<Result<(), DiskError>> },
    UnplugDisk { serial: String, answer: oneshot::Sender<Result<(), DiskError>> },
    Disks(oneshot::Sender<Vec<Disk>>),
}

impl Owner {
    pub(super) fn devices(&mut self, command: Devices) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Running(live) => {
                self.state = State::Working(Work::devices(async move { on(live, command).await }));
            }
            State::Working(work) => {
                self.state = State::Working(work);
                self.later.push_back(Command::Devices(command));
            }
            other => {
                self.state = other;
                without(command);
            }
        }
    }

    /// The daemon of a share died. The device goes, so that who asks for something gets an error instead of waiting;
    /// whoever needs the folder next has it plugged in anew.
    pub(super) fn share_lost(&mut self, tag: String, how: &str) {
        if let State::Running(mut live) = std::mem::replace(&mut self.state, State::Off) {
            let lost = live.machine.record().shares.iter().find(|share| share.tag == tag);
            let folder = lost.map(|share| share.folder.display().to_string()).unwrap_or_default();
            tracing::error!(
                folder,
                tag,
                how,
                "a folder of the host is lost to the containers that have it mounted: its virtiofsd ended"
            );
            self.state = State::Working(Work::devices(async move {
                if let Err(error) = live.machine.unshare(&tag).await {
                    tracing::error!(tag, %error, "the lost folder's device stays; only a restart of the VM helps");
                }
                live
            }));
        }
    }
}

async fn on(mut live: Box<Live>, command: Devices) -> Box<Live> {
    let machine = &mut live.machine;
    // Whoever asked may have gone.
    match command {
        Devices::Share { folder, read_only, answer } => {
            drop(answer.send(machine.share(&folder, read_only).await));
        }
        Devices::Unshare { tag, answer } => drop(answer.send(machine.unshare(&tag).await)),
        Devices::Shares(answer) => {
            let shares = machine.record().shares.iter().filter(|share| !share.lost);
            drop(answer.send(shares.cloned().collect()));
        }
        Devices::PlugCard { socket, address, answer } => {
            drop(answer.send(machine.plug_card(&socket, &address).await));
        }
        Devices::PlugDisk { file, serial, answer } => {
            drop(answer.send(machine.plug_disk(&file, &serial).await));
        }
        Devices::UnplugDisk { serial, answer } => drop(answer.send(machine.unplug_disk(&serial).await)),
        Devices::Disks(answer) => drop(answer.send(machine.record().disks.clone())),
    }
    live
}

/// There is no machine.
fn without(command: Devices) {
    match command {
        Devices::Share { answer, .. } => drop(answer.send(Err(ShareError::Off))),
        // What it was part of is gone.
        Devices::Unshare { answer, .. } => drop(answer.send(Ok(()))),
        Devices::UnplugDisk { answer, .. } => drop(answer.send(Ok(()))),
        Devices::Shares(answer) => drop(answer.send(Vec::new())),
        Devices::Disks(answer) => drop(answer.send(Vec::new())),
        Devices::PlugCard { answer, .. } => drop(answer.send(Err(CardError::Off))),
        Devices::PlugDisk { answer, .. } => drop(answer.send(Err(DiskError::Off))),
    }
}
