//! Byte streams of a container's first process: attach, logs, the terminal's size.

use agent_proto::v1::{self, stream_open};
use tokio::io::AsyncReadExt as _;

use super::{Engine, ask};
use crate::agent::{QUICK, call, open, process};
use crate::error::{Error, StateConflict};
use crate::machine::agent_of;
use crate::options::{AttachOptions, LogsOptions};
use crate::record::Record;
use crate::registry::Handle;
use crate::state::State;
use crate::streams::{Attached, Logs, Output, StdinWriter};
use crate::task::{Command, Pending};

impl Engine {
    /// Its log. Needs the VM: the log lies on the VM's disk.
    ///
    /// # Errors
    /// [`Error`]; `Unavailable` when the VM is off.
    pub async fn logs(&self, name: &str, options: LogsOptions) -> Result<Logs, Error> {
        let view = self.find(name)?.now();
        if view.record.log_driver() == "none" {
            return Err(Error::LogsUnreadable);
        }
        let tty = view.record.tty();
        // As Docker, which follows only what runs.
        if matches!(view.record.state, State::Created { .. }) {
            return Ok(Logs { tty, stream: Output::new(tokio::io::empty()) });
        }
        let machine = self.shared.machine_of(&view.record);
        let agent = if view.record.has_own_vm() {
            machine.ensure_running().await?
        } else {
            agent_of(&*machine, "logs are kept in the VM").await?
        };
        let logs = logs_of(&view.record, &options);
        let stream = open(&agent, "read logs", logs).await?;
        Ok(Logs { tty, stream: Output::new(stream) })
    }

    /// Attaches to it. Before its start this needs no VM: the streams are opened by the start, ahead of the
    /// process, and miss nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn attach(&self, name: &str, options: AttachOptions) -> Result<Attached, Error> {
        let handle = self.find(name)?;
        let view = handle.now();
        let record = &view.record;
        match &record.state {
            State::Paused(_) => return Err(StateConflict::AttachPaused(name.to_owned()).into()),
            State::Removing(_) | State::Dead { .. } => return Err(StateConflict::MarkedForRemoval.into()),
            _ => {}
        }
        let tty = record.tty();
        let follow_output = options.stream && (options.stdout || options.stderr);
        let feed_input = options.stream && options.stdin && record.open_stdin();
        let read_logs = options.logs && record.log_driver() != "none" && record.started_unix_ns != 0;
        if !follow_output && !feed_input && !read_logs {
            return Ok(Attached { tty, output: None, input: None });
        }
        if !read_logs && record.state.run().is_none() {
            let (pending, attached) = Pending::new(tty, &options, follow_output, feed_input);
            if self.attach_later(&handle, name, pending).await? {
                self.shared.events.container(record, "attach", &[]);
                return Ok(attached);
            }
            // It has been started in between.
        }
        let agent = self.shared.machine_of(record).ensure_running().await?;
        let wanted = LogsOptions { stdout: options.stdout, stderr: options.stderr, ..LogsOptions::default() };
        // The log itself goes on without a gap, but line by line: on a terminal the live stream must follow.
        let follow_log = read_logs && follow_output && !tty && record.state.run().is_some();
        let output = async {
            if !follow_output || follow_log {
                return Ok(None);
            }
            let output = v1::Output {
                process: Some(process(&record.id, None)),
                stdout: options.stdout,
                stderr: options.stderr,
            };
            open(&agent, "attach to the output", stream_open::Kind::Output(output)).await.map(Some)
        };
        let input = async {
            if !feed_input {
                return Ok(None);
            }
            let input = v1::Input { process: Some(process(&record.id, None)) };
            open(&agent, "attach to stdin", stream_open::Kind::Input(input)).await.map(Some)
        };
        let (output, input) = tokio::try_join!(output, input)?;
        let output = if read_logs {
            let options = LogsOptions { follow: follow_log, ..wanted };
            let logs = open(&agent, "read logs", logs_of(record, &options)).await?;
            Some(match output {
                Some(output) => Output::new(logs.chain(output)),
                None => Output::new(logs),
            })
        } else {
            output.map(Output::new)
        };
        self.shared.events.container(record, "attach", &[]);
        Ok(Attached { tty, output, input: input.map(StdinWriter::new) })
    }

    /// Whether it waits for the start; otherwise it runs already.
    async fn attach_later(&self, handle: &Handle, name: &str, pending: Pending) -> Result<bool, Error> {
        match ask(handle, name, |reply| Command::Attach(pending, reply)).await {
            Ok(()) => Ok(true),
            Err(Error::NotModified(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets its terminal's size.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn resize(&self, name: &str, rows: u32, cols: u32) -> Result<(), Error> {
        let view = self.find(name)?.now();
        if view.record.state.run().is_none() {
            return Err(StateConflict::NotRunning(view.record.id.to_string()).into());
        }
        let agent = self.shared.agent_of(&view.record, "resize the terminal").await?;
        let request = v1::ResizeTtyRequest { process: Some(process(&view.record.id, None)), cols, rows };
        call(QUICK, agent.grpc().resize_tty(request))
            .await
            .map_err(|e| e.into_error("resize the terminal"))?;
        let size = [("height", rows.to_string()), ("width", cols.to_string())];
        self.shared.events.container(&view.record, "resize", &size);
        Ok(())
    }
}

fn logs_of(record: &Record, options: &LogsOptions) -> stream_open::Kind {
    stream_open::Kind::Logs(v1::Logs {
        container_id: record.id.to_string(),
        // A container that does not run writes nothing more.
        follow: options.follow && record.state.is_active(),
        stdout: options.stdout,
        stderr: options.stderr,
        timestamps: options.timestamps,
        since_unix_ns: options.since_unix_ns,
        until_unix_ns: options.until_unix_ns,
        tail: options.tail.map_or(-1, |lines| i64::try_from(lines).unwrap_or(-1)),
        details: if options.details {
            format!("{} ", crate::spec::log_details(record))
        } else {
            String::new()
        },
    })
}
