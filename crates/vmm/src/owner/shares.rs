//! Folders of the host: plugged in and taken out while the VM runs.

use super::work::Work;
use super::{Command, Owner, State};
use crate::{CardError, ShareError};

impl Owner {
    /// A command about shares. While other work is under way it waits.
    pub(super) fn shares(&mut self, command: Command) {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Running(mut live) => match command {
                Command::Share { folder, read_only, answer } => {
                    self.state = State::Working(Work::shares(async move {
                        let _ = answer.send(live.machine.share(&folder, read_only).await);
                        live
                    }));
                }
                Command::Unshare { tag, answer } => {
                    self.state = State::Working(Work::shares(async move {
                        let _ = answer.send(live.machine.unshare(&tag).await);
                        live
                    }));
                }
                Command::PlugCard { socket, address, answer } => {
                    self.state = State::Working(Work::shares(async move {
                        let _ = answer.send(live.machine.plug_card(&socket, &address).await);
                        live
                    }));
                }
                Command::Shares(answer) => {
                    let shares = live.machine.record().shares.iter().filter(|share| !share.lost);
                    let _ = answer.send(shares.cloned().collect());
                    self.state = State::Running(live);
                }
                _ => self.state = State::Running(live),
            },
            State::Working(work) => {
                self.state = State::Working(work);
                self.later.push_back(command);
            }
            other => {
                self.state = other;
                match command {
                    Command::Share { answer, .. } => drop(answer.send(Err(ShareError::Off))),
                    // What it was part of is gone.
                    Command::Unshare { answer, .. } => drop(answer.send(Ok(()))),
                    Command::Shares(answer) => drop(answer.send(Vec::new())),
                    Command::PlugCard { answer, .. } => drop(answer.send(Err(CardError::Off))),
                    _ => {}
                }
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
            self.state = State::Working(Work::shares(async move {
                if let Err(error) = live.machine.unshare(&tag).await {
                    tracing::error!(tag, %error, "the lost folder's device stays; only a restart of the VM helps");
                }
                live
            }));
        }
    }
}
