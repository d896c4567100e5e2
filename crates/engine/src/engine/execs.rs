//! Execs.

use std::sync::Arc;

use agent_proto::v1::{self, stream_open};
use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ProcessConfig};

use super::Engine;
use crate::agent::{CallError, QUICK, SLOW, call, open, process, start_failure};
use crate::error::{Error, Invalid, StartFailure, StateConflict};
use crate::exec::{Exec, ExecState, UntilEnd};
use crate::machine::goes_on;
use crate::options::ExecStart;
use crate::record::View;
use crate::spec::{self, ExecProcess};
use crate::state::State;
use crate::streams::{Attached, Output, StdinWriter};

const START_PREFIX: &str = "OCI runtime exec failed: exec failed: ";
/// Docker's multiplexed stream: stdout.
const STDOUT: u8 = 1;

impl Engine {
    /// Makes an exec, answers its id.
    ///
    /// # Errors
    /// [`Error`]; `Conflict` unless the container runs.
    pub async fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String, Error> {
        let handle = self.find(name)?;
        let view = handle.now();
        runs(&view)?;
        // Docker's client does not show why a start was refused.
        goes_on(&*self.shared.machine_of(&view.record))?;
        let command = config.cmd.clone().unwrap_or_default();
        if command.is_empty() {
            return Err(Invalid::NoExecCommand.into());
        }
        let exec = Exec::new(handle.id.clone(), config);
        let id = exec.id.to_string();
        let action = format!("exec_create: {}", command.join(" "));
        self.shared.registry.insert_exec(exec);
        self.shared.events.container(&view.record, &action, &[("execID", id.clone())]);
        Ok(id)
    }

    /// Starts it; answers with its streams unless detached. When the command cannot be started, the stream
    /// tells why and the exec's exit code is 126 or 127, as Docker has it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn exec_start(&self, id: &str, start: ExecStart) -> Result<Option<Attached>, Error> {
        let exec = self.exec(id)?;
        let handle = self.shared.registry.get(&exec.container);
        let view = handle.ok_or_else(|| Error::NoSuchContainer(exec.container.to_string()))?.now();
        runs(&view)?;
        exec.begin().map_err(|state| match state {
            ExecState::Exited { .. } => StateConflict::ExecHasRun(id.to_owned()),
            _ => StateConflict::ExecRuns(id.to_owned()),
        })?;
        let engine = self.clone();
        self.to_the_end(async move {
            let result = engine.exec_run(&exec, &view, &start).await;
            if let Err(error) = &result {
                let code = match error {
                    Error::Start(failure) => failure.code,
                    _ => 128,
                };
                exec.exited(code);
            }
            match result {
                Err(Error::Start(failure)) if !start.detach => Ok(Some(told(&exec, &failure))),
                other => other,
            }
        })
        .await
    }

    async fn exec_run(
        &self,
        exec: &Arc<Exec>,
        view: &View,
        start: &ExecStart,
    ) -> Result<Option<Attached>, Error> {
        let agent = self.shared.agent_of(&view.record, "start an exec").await?;
        let config = &exec.config;
        let tty = config.tty.unwrap_or(false) || start.tty;
        let command = config.cmd.as_deref().unwrap_or_default();
        let (user, process_json) = spec::exec_process(
            &view.record,
            &ExecProcess {
                args: command,
                env: config.env.as_deref().unwrap_or_default(),
                tty,
                working_dir: config.working_dir.as_deref(),
                user: config.user.as_deref(),
                privileged: config.privileged.unwrap_or(false),
            },
        )?;
        let reference = process(&exec.container, Some(&exec.id));
        let attach = |wanted: Option<bool>| wanted.unwrap_or(false) && !start.detach;
        let stdin = attach(config.attach_stdin);
        let output = async {
            let (stdout, stderr) = (attach(config.attach_stdout), attach(config.attach_stderr));
            if !stdout && !stderr {
                return Ok(None);
            }
            let kind = v1::Output { process: Some(reference.clone()), stdout, stderr };
            open(&agent, "attach to the exec's output", stream_open::Kind::Output(kind)).await.map(Some)
        };
        let input = async {
            if !stdin {
                return Ok(None);
            }
            let kind = v1::Input { process: Some(reference.clone()) };
            open(&agent, "attach to the exec's stdin", stream_open::Kind::Input(kind)).await.map(Some)
        };
        let (output, input) = tokio::try_join!(output, input)?;
        let size = start.console_size.or_else(|| match config.console_size.as_deref() {
            Some(&[rows, cols]) => Some((u32::try_from(rows).ok()?, u32::try_from(cols).ok()?)),
            _ => None,
        });
        let (tty_rows, tty_cols) = size.unwrap_or((0, 0));
        let request = v1::StartExecRequest {
            process: Some(reference),
            process_json: process_json.to_string().into_bytes(),
            user,
            stdio: Some(v1::Stdio { tty, open_stdin: stdin, stdin_once: true, tty_cols, tty_rows }),
            privileged: config.privileged.unwrap_or(false),
        };
        let reply = call(SLOW, agent.grpc().start_exec(request)).await.map_err(|error| match error {
            CallError::Refused(v1::error_detail::Code::NotRunning, _) => {
                StateConflict::NotRunning(exec.container.to_string()).into()
            }
            CallError::Refused(code, message) => {
                let program = command.first().map_or("", String::as_str);
                Error::Start(start_failure(code, message, program, START_PREFIX))
            }
            other => other.into_error("start an exec"),
        })?;
        exec.started(reply.pid);
        let action = format!("exec_start: {}", command.join(" "));
        self.shared.events.container(&view.record, &action, &[("execID", exec.id.to_string())]);
        if start.detach {
            return Ok(None);
        }
        // Without output the client still waits for the end.
        let output = match output {
            Some(output) => Output::new(UntilEnd::new(output, exec.end())),
            None => Output::new(UntilEnd::new(tokio::io::empty(), exec.ended())),
        };
        Ok(Some(Attached { tty, output: Some(output), input: input.map(StdinWriter::new) }))
    }

    /// Sets its terminal's size.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn exec_resize(&self, id: &str, rows: u32, cols: u32) -> Result<(), Error> {
        let exec = self.exec(id)?;
        if !matches!(exec.now(), ExecState::Running { .. }) {
            return Err(StateConflict::ExecNotRunning(id.to_owned()).into());
        }
        let view = self.find(exec.container.as_str())?.now();
        let agent = self.shared.agent_of(&view.record, "resize the terminal").await?;
        let request =
            v1::ResizeTtyRequest { process: Some(process(&exec.container, Some(&exec.id))), cols, rows };
        call(QUICK, agent.grpc().resize_tty(request))
            .await
            .map_err(|e| e.into_error("resize the terminal"))?;
        Ok(())
    }

    /// All of one.
    ///
    /// # Errors
    /// There is no such exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspectResponse, Error> {
        let exec = self.exec(id)?;
        let config = &exec.config;
        let (running, exit_code, pid) = match exec.now() {
            ExecState::Created => (false, None, 0),
            ExecState::Starting => (true, None, 0),
            ExecState::Running { pid, .. } => (true, None, pid),
            ExecState::Exited { code } => (false, Some(code), 0),
        };
        let mut command = config.cmd.iter().flatten().cloned();
        Ok(ExecInspectResponse {
            can_remove: Some(false),
            detach_keys: config.detach_keys.clone(),
            id: Some(exec.id.to_string()),
            running: Some(running),
            exit_code,
            process_config: Some(ProcessConfig {
                privileged: Some(config.privileged.unwrap_or(false)),
                user: config.user.clone(),
                tty: Some(config.tty.unwrap_or(false)),
                entrypoint: command.next(),
                arguments: Some(command.collect()),
            }),
            open_stdin: Some(config.attach_stdin.unwrap_or(false)),
            open_stderr: Some(config.attach_stderr.unwrap_or(false)),
            open_stdout: Some(config.attach_stdout.unwrap_or(false)),
            container_id: Some(exec.container.to_string()),
            pid: Some(pid.into()),
        })
    }

    fn exec(&self, id: &str) -> Result<Arc<Exec>, Error> {
        self.shared.registry.exec(id).ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }
}

fn runs(view: &View) -> Result<(), Error> {
    let id = view.record.id.to_string();
    Err(match &view.record.state {
        State::Running(_) => return Ok(()),
        State::Paused(_) => StateConflict::ExecPaused(id),
        State::Restarting(_) => StateConflict::Restarting(id),
        _ => StateConflict::NotRunning(id),
    }
    .into())
}

/// A stream that tells why there is none.
fn told(exec: &Exec, failure: &StartFailure) -> Attached {
    let tty = exec.config.tty.unwrap_or(false);
    let text = format!("{failure}\r\n").into_bytes();
    let mut bytes = Vec::with_capacity(8 + text.len());
    if !tty {
        bytes.extend_from_slice(&[STDOUT, 0, 0, 0]);
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    }
    bytes.extend_from_slice(&text);
    Attached { tty, output: Some(Output::new(std::io::Cursor::new(bytes))), input: None }
}
