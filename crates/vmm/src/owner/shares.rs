//! Folders of the host: plugged in and taken out while the VM runs.

use std::time::Duration;

use agent_proto::v1::UnmountShareRequest;

use super::live::Live;
use super::work::Work;
use super::{Command, Owner, State};
use crate::ShareError;

/// The guest has one file to write.
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(5);

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
                    _ => {}
                }
            }
        }
    }

    /// The daemon of a share died. The guest is told, so that who waits for an answer gets an error instead; whoever
    /// needs the folder next has it plugged in anew.
    pub(super) fn share_lost(&mut self, tag: &str, how: &str) {
        if let State::Running(live) = std::mem::replace(&mut self.state, State::Off) {
            let lost = live.machine.record().shares.iter().find(|share| share.tag == tag);
            let folder = lost.map(|share| share.folder.display().to_string()).unwrap_or_default();
            tracing::error!(
                folder,
                tag,
                how,
                "a folder of the host is lost to the containers that have it mounted: its virtiofsd ended"
            );
            self.state = State::Working(Work::shares(async move {
                live.give_up_lost_shares().await;
                live
            }));
        }
    }
}

impl Live {
    /// Ends what the guest still asks of shares that nobody serves any more.
    pub(super) fn give_up_lost_shares(&self) -> impl Future<Output = ()> + Send + use<> {
        let shares = self.machine.record().shares.iter();
        let lost: Vec<String> = shares.filter(|share| share.lost).map(|share| share.tag.clone()).collect();
        let mut agent = self.agent.grpc();
        async move {
            for tag in lost {
                let request = UnmountShareRequest { tag: tag.clone(), lost: true };
                match tokio::time::timeout(GIVE_UP_DEADLINE, agent.unmount_share(request)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(status)) => tracing::warn!(tag, %status, "not given up by the guest"),
                    Err(_) => tracing::warn!(tag, "not given up by the guest in time"),
                }
            }
        }
    }
}
