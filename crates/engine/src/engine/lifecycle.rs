//! Start, stop, wait and removal: sequences of commands to a container's task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Engine, ask};
use crate::error::{Error, Invalid, StateConflict};
use crate::names;
use crate::options::{RemoveOptions, StopOptions, WaitCondition, WaitExit};
use crate::record::View;
use crate::registry::Handle;
use crate::signal::{self, SIGKILL, SIGTERM};
use crate::task::Command;

/// Docker's grace between the stop signal and SIGKILL.
const STOP_TIMEOUT_S: i64 = 10;
/// How long the exit after a SIGKILL may take.
const KILL_DEADLINE: Duration = Duration::from_secs(30);

impl Engine {
    /// Starts it, and the VM before it when need be.
    ///
    /// # Errors
    /// [`Error`]; `NotModified` when it runs.
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        ask(&self.find(name)?, name, Command::Start).await
    }

    /// Sends the stop signal, then, after the grace, SIGKILL; answers when it has ended.
    ///
    /// # Errors
    /// [`Error`]; `NotModified` when it does not run.
    pub async fn stop(&self, name: &str, options: StopOptions) -> Result<(), Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.stop_now(&name, options).await }).await
    }

    async fn stop_now(&self, name: &str, options: StopOptions) -> Result<(), Error> {
        let handle = self.find(name)?;
        let before = handle.now();
        if !before.record.state.is_active() {
            return Err(Error::NotModified(before.record.name.clone(), "stopped"));
        }
        self.end(&handle, name, &options, false).await?;
        self.shared.events.container(&before.record, "stop", &[]);
        Ok(())
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn restart(&self, name: &str, options: StopOptions) -> Result<(), Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.restart_now(&name, options).await }).await
    }

    async fn restart_now(&self, name: &str, options: StopOptions) -> Result<(), Error> {
        let handle = self.find(name)?;
        let before = handle.now();
        if before.record.state.is_active() {
            self.end(&handle, name, &options, true).await?;
            self.shared.events.container(&before.record, "stop", &[]);
        }
        ask(&handle, name, Command::Start).await?;
        self.shared.events.container(&before.record, "restart", &[]);
        Ok(())
    }

    /// Sends it a signal, SIGKILL unless said otherwise.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<(), Error> {
        let signal = match signal.filter(|text| !text.is_empty()) {
            Some(text) => signal::parse(text)?,
            None => SIGKILL,
        };
        let handle = self.find(name)?;
        let result =
            ask(&handle, name, |reply| Command::Signal { signal, stop: false, keep: false, reply }).await;
        match result {
            Err(Error::State(StateConflict::NotRunning(id))) => {
                Err(StateConflict::KillNotRunning { name: name.to_owned(), id }.into())
            }
            // As Docker, which answers a SIGKILL when the container has ended.
            Ok(()) if signal == SIGKILL => {
                let mut view = handle.view.clone();
                let _ = tokio::time::timeout(KILL_DEADLINE, ended(&mut view)).await;
                Ok(())
            }
            other => other,
        }
    }

    /// Freezes it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        ask(&self.find(name)?, name, Command::Pause).await
    }

    /// Thaws it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn unpause(&self, name: &str) -> Result<(), Error> {
        ask(&self.find(name)?, name, Command::Unpause).await
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<(), Error> {
        let handle = self.find(name)?;
        if new_name.is_empty() {
            return Err(Invalid::EmptyName.into());
        }
        let new_name = names::parse(new_name)?;
        ask(&handle, name, |reply| Command::Rename(new_name, reply)).await
    }

    /// Waits for it. In two steps: once this answers, the wait is registered and misses nothing; the future
    /// then completes exactly once.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn wait(
        &self,
        name: &str,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = WaitExit> + Send + 'static + use<>, Error> {
        let mut view = self.find(name)?.view;
        let exits = view.borrow_and_update().exits;
        Ok(async move {
            let done = |view: &Arc<View>| {
                view.gone
                    || match condition {
                        WaitCondition::NotRunning => view.exits > exits || !view.record.state.is_active(),
                        WaitCondition::NextExit => view.exits > exits,
                        WaitCondition::Removed => false,
                    }
            };
            if view.wait_for(done).await.is_err() {
                // It may run on: no exit code of an earlier run must be told for this one.
                let error = Some(Error::ShuttingDown.to_string());
                return WaitExit { code: view.borrow().last.code, error };
            }
            view.borrow().last.clone()
        })
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<(), Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.remove_now(&name, options).await }).await
    }

    async fn remove_now(&self, name: &str, options: RemoveOptions) -> Result<(), Error> {
        let handle = self.find(name)?;
        let record = &handle.now().record;
        if record.state.is_active() {
            if !options.force {
                let (name, state) = (format!("/{}", record.name), record.state.word());
                return Err(StateConflict::RemoveRunning { name, state }.into());
            }
            let kill = StopOptions { timeout_s: Some(0), signal: Some("KILL".to_owned()) };
            match self.end(&handle, name, &kill, false).await {
                Ok(()) | Err(Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match ask(&handle, name, |reply| Command::Remove {
            name: name.to_owned(),
            volumes: options.volumes,
            reply,
        })
        .await
        {
            // It removed itself in between.
            Err(Error::NoSuchContainer(_)) if options.force => Ok(()),
            other => other,
        }
    }

    async fn end(&self, handle: &Handle, name: &str, options: &StopOptions, keep: bool) -> Result<(), Error> {
        let record = &handle.now().record;
        let own = record.config.stop_signal.as_deref();
        let signal = match options.signal.as_deref().or(own).filter(|text| !text.is_empty()) {
            Some(text) => signal::parse(text)?,
            None => SIGTERM,
        };
        let grace_s = options.timeout_s.or(record.config.stop_timeout).unwrap_or(STOP_TIMEOUT_S);
        let mut view = handle.view.clone();
        match ask(handle, name, |reply| Command::Signal { signal, stop: true, keep, reply }).await {
            Ok(()) => {}
            // It ended in between.
            Err(Error::State(StateConflict::NotRunning(_))) => return Ok(()),
            Err(error) => return Err(error),
        }
        let Ok(grace_s) = u64::try_from(grace_s) else {
            ended(&mut view).await;
            return Ok(());
        };
        let grace = if signal == SIGKILL { KILL_DEADLINE } else { Duration::from_secs(grace_s) };
        if tokio::time::timeout(grace, ended(&mut view)).await.is_ok() {
            return Ok(());
        }
        if signal != SIGKILL {
            match ask(handle, name, |reply| Command::Signal { signal: SIGKILL, stop: true, keep, reply })
                .await
            {
                Ok(()) => {}
                Err(Error::State(StateConflict::NotRunning(_)) | Error::NoSuchContainer(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
            if tokio::time::timeout(KILL_DEADLINE, ended(&mut view)).await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::Unkillable(name.to_owned()))
    }
}

async fn ended(view: &mut watch::Receiver<Arc<View>>) {
    let _ = view.wait_for(|view| view.gone || !view.record.state.is_active()).await;
}
