//! A running VM becomes another one's: its files move, everything that is open stays open.

use std::io;

use tokio::sync::oneshot;
use transport::Kind;

use super::{Command, Owner, State};
use crate::VmConfig;
use crate::handover::hand_over;

impl Owner {
    /// While other work is under way it waits.
    pub(super) fn relocate(&mut self, to: Box<VmConfig>, answer: oneshot::Sender<io::Result<()>>) {
        match &mut self.state {
            State::Working(_) => self.later.push_back(Command::Move { to, answer }),
            State::Running(live) => {
                let record = live.machine.record();
                // The other transports name their sockets to daemons, or a number that the guest has.
                let moved = if record.transport == Kind::Serial {
                    hand_over(record.clone(), &self.config, &to)
                } else {
                    Err(io::ErrorKind::Unsupported.into())
                };
                let _ = answer.send(moved.map(|record| {
                    live.machine.moved(record);
                    self.hypervisor.moved(&to.run_dir);
                    self.plan.change(|config| *config = *to);
                    self.config = self.plan.now();
                }));
            }
            State::Unowned | State::Off | State::Failed { .. } => {
                let _ = answer.send(Err(io::ErrorKind::NotConnected.into()));
            }
        }
    }
}
