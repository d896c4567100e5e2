//! Attaches before the start: registered here, opened by the start ahead of the process.

use agent_proto::v1::{self, stream_open};
use futures::future::try_join_all;
use tokio::sync::oneshot;
use transport::Stream;
use types::ContainerId;

use super::Task;
use crate::agent::{open, process};
use crate::error::{Error, StateConflict};
use crate::options::AttachOptions;
use crate::state::State;
use crate::streams::{Attached, Output, StdinWriter};

/// An opened stream and who waits for it. Until it is handed over it waits in the guest.
pub(super) struct Parked {
    to: oneshot::Sender<Stream>,
    stream: Stream,
}

impl Parked {
    pub(super) fn hand_over(self) {
        // Whoever hung up needs it no more.
        let _ = self.to.send(self.stream);
    }
}

/// A client that waits for the start. Dropped, its streams end.
pub(crate) struct Pending {
    stdout: bool,
    stderr: bool,
    output: Option<oneshot::Sender<Stream>>,
    input: Option<oneshot::Sender<Stream>>,
}

impl Pending {
    /// What waits, and what the client holds meanwhile.
    pub(crate) fn new(tty: bool, options: &AttachOptions, output: bool, input: bool) -> (Self, Attached) {
        let (to_output, from_output) = oneshot::channel();
        let (to_input, from_input) = oneshot::channel();
        let pending = Self {
            stdout: options.stdout,
            stderr: options.stderr,
            output: output.then_some(to_output),
            input: input.then_some(to_input),
        };
        let attached = Attached {
            tty,
            output: output.then(|| Output::later(from_output)),
            input: input.then(|| StdinWriter::later(from_input)),
        };
        (pending, attached)
    }

    fn has_left(&self) -> bool {
        [&self.output, &self.input].into_iter().flatten().all(oneshot::Sender::is_closed)
    }

    fn wanted(
        self,
        id: &ContainerId,
    ) -> impl Iterator<Item = (oneshot::Sender<Stream>, &'static str, stream_open::Kind)> + use<> {
        let process = Some(process(id, None));
        let output = v1::Output { process: process.clone(), stdout: self.stdout, stderr: self.stderr };
        let output = self.output.map(|to| (to, "attach to the output", stream_open::Kind::Output(output)));
        let input = v1::Input { process };
        let input = self.input.map(|to| (to, "attach to stdin", stream_open::Kind::Input(input)));
        output.into_iter().chain(input)
    }
}

impl Task {
    pub(super) fn attach(&mut self, pending: Pending) -> Result<(), Error> {
        match &self.record.state {
            State::Running(_) | State::Paused(_) => {
                return Err(Error::NotModified(self.record.name.clone(), "started"));
            }
            State::Removing(_) | State::Dead { .. } => return Err(StateConflict::MarkedForRemoval.into()),
            State::Created { .. } | State::Exited(_) | State::Restarting(_) => {}
        }
        self.pending.retain(|pending| !pending.has_left());
        self.pending.push(pending);
        Ok(())
    }

    /// Opens the streams of everyone who waits.
    pub(super) async fn park(&mut self, agent: &vmm::Agent) -> Result<Vec<Parked>, Error> {
        let waiting = std::mem::take(&mut self.pending).into_iter().filter(|pending| !pending.has_left());
        let wanted = waiting.flat_map(|pending| pending.wanted(&self.record.id));
        let opening = wanted.map(|(to, doing, kind)| async move {
            Ok(Parked { to, stream: open(agent, doing, kind).await? })
        });
        try_join_all(opening.collect::<Vec<_>>()).await
    }
}
