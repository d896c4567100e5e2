//! Starting coracled in the background.
//!
//! The service outlives whoever starts it: it gets no terminal, its own process group, and its output
//! goes to a file that is read back only to say why it did not start. Two clients may start it at once;
//! the loser's coracled ends by itself, and both find the winner answering.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{CallError, Client, Endpoint, StartServiceError};

const BETWEEN_TRIES: Duration = Duration::from_millis(25);
/// One coracled may be about to end, or another client's to answer.
const GRACE: Duration = Duration::from_secs(5);
/// How much of its output an error quotes.
const LAST_WORDS_BYTES: usize = 600;

/// How to start coracled.
#[derive(Clone, Debug)]
pub struct ServiceLaunch {
    /// The program; none for the one beside this executable, else the one in PATH.
    pub program: Option<PathBuf>,
    /// How long it may take until it answers.
    pub deadline: Duration,
}

impl Default for ServiceLaunch {
    fn default() -> Self {
        Self { program: None, deadline: Duration::from_secs(20) }
    }
}

pub(crate) async fn ensure(endpoint: Endpoint, launch: &ServiceLaunch) -> Result<Client, StartServiceError> {
    match Client::connect(endpoint.clone()).await {
        Err(error) if error.is_unreachable() => {}
        result => return Ok(result?),
    }
    // One that is about to end or to answer.
    let patience = Instant::now() + GRACE;
    while lock_is_held(&endpoint) && Instant::now() < patience {
        sleep(BETWEEN_TRIES).await;
        match Client::connect(endpoint.clone()).await {
            Err(error) if error.is_unreachable() => {}
            result => return Ok(result?),
        }
    }
    let program = launch.program.clone().map_or_else(find_program, Ok)?;
    let output = endpoint.home().join("log/coracled.start.log");
    let mut child = spawn(&program, &endpoint, &output)?;

    let mut give_up = Instant::now() + launch.deadline;
    let mut ended: Option<ExitStatus> = None;
    loop {
        match Client::connect(endpoint.clone()).await {
            Err(error) if error.is_unreachable() => {}
            result => return Ok(result?),
        }
        if ended.is_none()
            && let Some(status) = child
                .try_wait()
                .map_err(|source| StartServiceError::Spawn { program: program.clone(), source })?
        {
            ended = Some(status);
            give_up = give_up.min(Instant::now() + GRACE);
        }
        if Instant::now() >= give_up {
            let last_words = last_words(&output);
            return Err(match ended {
                Some(status) => StartServiceError::Exited { status, last_words },
                None => StartServiceError::Silent { deadline: launch.deadline, last_words },
            });
        }
        sleep(BETWEEN_TRIES).await;
    }
}

/// Waits until no coracled serves the endpoint's state folder any more.
pub(crate) async fn ended(endpoint: &Endpoint, deadline: Duration) -> Result<(), CallError> {
    let give_up = Instant::now() + deadline;
    while lock_is_held(endpoint) {
        if Instant::now() >= give_up {
            return Err(CallError::Deadline { path: "/coracle/shutdown".to_owned(), deadline });
        }
        sleep(BETWEEN_TRIES).await;
    }
    Ok(())
}

/// Whether a coracled holds the lock of the state folder, which it lets go of by ending.
fn lock_is_held(endpoint: &Endpoint) -> bool {
    let lock = fs::File::options().read(true).write(true).open(endpoint.home().join("run/coracled.lock"));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

fn spawn(program: &Path, endpoint: &Endpoint, output: &Path) -> Result<Child, StartServiceError> {
    let file =
        log_file(output).map_err(|source| StartServiceError::Log { path: output.to_owned(), source })?;
    let mut command = Command::new(program);
    command
        .env("CORACLE_HOME", endpoint.home())
        .current_dir(endpoint.home())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .kill_on_drop(false);
    detach(&mut command);
    command.spawn().map_err(|source| StartServiceError::Spawn { program: program.to_owned(), source })
}

fn log_file(path: &Path) -> io::Result<fs::File> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    fs::File::create(path)
}

/// The state folder is made here before coracled sees it, and is as private as coracled would make it.
#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Keeps the terminal's signals, Ctrl-C first of all, from the service.
#[cfg(unix)]
fn detach(command: &mut Command) {
    command.process_group(0);
}

/// Keeps the console's signals from the service, and a console window from the user.
#[cfg(windows)]
fn detach(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
}

fn find_program() -> Result<PathBuf, StartServiceError> {
    let name = format!("coracled{}", env::consts::EXE_SUFFIX);
    let here = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_default();
    // A test's executable lies one folder deeper than the programs that it tests.
    let folders = [Some(here.clone()), here.parent().filter(|_| here.ends_with("deps")).map(Path::to_owned)];
    let in_path =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    folders
        .into_iter()
        .flatten()
        .chain(in_path)
        .map(|folder| folder.join(&name))
        .find(|candidate| candidate.is_file())
        .ok_or(StartServiceError::NotInstalled { beside: here })
}

fn last_words(output: &Path) -> String {
    let text = fs::read(output).unwrap_or_default();
    let tail = &text[text.len().saturating_sub(LAST_WORDS_BYTES)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, script: &str) -> ServiceLaunch {
        let path = folder.join("coracled");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        ServiceLaunch { program: Some(path), deadline: Duration::from_millis(300) }
    }

    #[tokio::test]
    async fn a_service_that_ends_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let launch = program(folder.path(), "echo no image here >&2; exit 3");
        let endpoint = Endpoint::at(folder.path().join("home")).unwrap();
        let error = ensure(endpoint, &launch).await.unwrap_err();
        assert!(
            matches!(&error, StartServiceError::Exited { status, last_words }
            if status.code() == Some(3) && last_words == "no image here"),
            "{error}"
        );
        for made in ["home", "home/log"] {
            let mode = fs::metadata(folder.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let launch =
            ServiceLaunch { program: Some(folder.path().join("absent")), ..ServiceLaunch::default() };
        let endpoint = Endpoint::at(folder.path().join("home")).unwrap();
        let error = ensure(endpoint, &launch).await.unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_service_does_not_hold_its_starter_up() {
        let folder = tempfile::tempdir().unwrap();
        let launch = program(folder.path(), "exec sleep 1");
        let endpoint = Endpoint::at(folder.path().join("home")).unwrap();
        let error = ensure(endpoint, &launch).await.unwrap_err();
        assert!(matches!(error, StartServiceError::Silent { .. }), "{error}");
    }
}
