//! `coracle exec`.

use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};

use crate::args::Exec;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn run(exec: Exec, out: Output) -> Result<Exit, Failure> {
    if exec.tty && exec.interactive && !exec.detach && !crate::terminal::stdin_is_terminal() {
        return Err(Failure::new(
            "cannot attach stdin to a TTY-enabled exec because stdin is not a terminal",
        ));
    }
    let docker = super::connect().await?.docker()?;
    let options = CreateExecOptions {
        attach_stdin: Some(exec.interactive && !exec.detach),
        attach_stdout: Some(!exec.detach),
        attach_stderr: Some(!exec.detach),
        tty: Some(exec.tty),
        env: Some(super::run::variables(&exec.env)),
        cmd: Some(exec.command),
        privileged: Some(exec.privileged),
        user: exec.user,
        working_dir: exec.workdir,
        detach_keys: None,
    };
    let id = docker.create_exec(&exec.container, options).await?.id;
    let start = StartExecOptions { detach: exec.detach, tty: exec.tty, output_capacity: None };
    let (output, input) = match docker.start_exec(&id, Some(start)).await.map_err(Failure::of_start)? {
        StartExecResults::Attached { output, input } => (output, input),
        StartExecResults::Detached => {
            if out.json {
                out.print(&serde_json::json!({ "id": id }), |_| String::new())?;
            }
            return Ok(Exit::OK);
        }
    };
    let (docker_for_resize, exec_id) = (&docker, id.as_str());
    let resize = |columns: u16, rows: u16| async move {
        let size = ResizeExecOptions { width: columns, height: rows };
        // An exec that has just ended has no terminal to resize.
        drop(docker_for_resize.resize_exec(exec_id, size).await);
    };
    crate::session::join(output, input, exec.interactive, exec.tty, resize).await?;
    let ended = docker.inspect_exec(&id).await?;
    Ok(Exit::of(ended.exit_code.unwrap_or_default()))
}
