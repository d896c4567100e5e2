//! Running other programs: quiet while all is well, their last words when it is not.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// How many of a failed program's last lines are shown.
const LAST_LINES: usize = 40;

/// A command as text, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Run to the end and return what it wrote to its standard output. Fails unless it exits with 0, naming its last lines.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = shown(command);
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{name}`"))?;
    if !done.status.success() {
        let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&done.stderr));
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        bail!("`{name}`: {}\n{}", done.status, lines[from..].join("\n"));
    }
    Ok(done.stdout)
}

/// As [`output`], for programs that write text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let name = shown(command);
    String::from_utf8(output(command)?).with_context(|| format!("`{name}` wrote something other than UTF-8"))
}

/// Run with this program's own terminal, so that the user sees and may answer.
pub(crate) fn visible(command: &mut Command) -> Result<()> {
    let name = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{name}`"))?;
    if !status.success() {
        bail!("`{name}`: {status}");
    }
    Ok(())
}

/// The first program of this name in PATH.
pub(crate) fn in_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &std::path::Path) -> bool {
    file.is_file()
}

/// Run with its output both shown and returned, standard output and error as one text.
pub(crate) fn watched(command: &mut Command) -> Result<(std::process::ExitStatus, String)> {
    let name = shown(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let text = std::thread::scope(|scope| {
        let out = scope.spawn(|| pass_on(out));
        let err = pass_on(err);
        let out = out.join().unwrap_or_default();
        out + &err
    });
    let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    Ok((status, text))
}

/// Copies lines to standard error as they come, and keeps them.
fn pass_on(stream: Option<impl std::io::Read>) -> String {
    use std::io::BufRead;
    let mut text = String::new();
    let Some(stream) = stream else { return text };
    for line in std::io::BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    text
}
