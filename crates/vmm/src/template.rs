//! Saved guests: a guest that has booted and waits for its host, kept as files that new VMs begin as copies of.
//!
//! ```text
//!   templates/KEY/{memory, state, data.raw}     whole; only ever read
//!   templates/KEY.new/                          being made, with the record of the machine that makes it
//! ```
//!
//! The key names everything that the guest was made from, the host's boot included: what another QEMU, image or size
//! would need is another template. Copies that run keep the files they have open, so a template may be removed at any time.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::chain;
use crate::process::{Process, Signal, host_boot_id};
use crate::{
    Accelerator, Hypervisor, Machine, MachineEvent, MachineSpec, Memory, ProcessId, Record, VmConfig,
    console, sparse,
};

/// From QEMU's exec until the guest is at rest, under emulation on a loaded host.
const REST_DEADLINE: Duration = Duration::from_secs(90);
/// How often the console is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Templates kept: sizes of VMs that were used last.
const KEPT: usize = 3;

/// The saved guests of one folder.
#[derive(Debug)]
pub struct Templates {
    dir: PathBuf,
    /// One is made at a time.
    turn: tokio::sync::Mutex<()>,
    /// Not tried again by this process.
    useless: Mutex<HashSet<Key>>,
}

/// What a template was made from, as the name of its folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn of(config: &VmConfig, accelerator: Accelerator, qemu_version: &str, image: &str) -> Self {
        let made_from = format!(
            "{}\n{qemu_version}\n{image}\n{}\n{accelerator}\n{}\n{}\n{}\n{}\n{}",
            env!("CARGO_PKG_VERSION"),
            host_boot_id(),
            config.memory_mib,
            config.cpus,
            config.data_disk_bytes,
            config.layer_disk.display(),
            config.assets.display(),
        );
        Self(types::Digest::of(made_from.as_bytes()).hex()[..12].to_owned())
    }
}

/// A saved guest's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    memory: PathBuf,
    state: PathBuf,
    /// A formatted, empty data disk.
    pub(crate) data: PathBuf,
}

impl Template {
    fn in_folder(folder: &Path) -> Self {
        Self { memory: folder.join("memory"), state: folder.join("state"), data: folder.join("data.raw") }
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::Copied { memory: self.memory.clone(), state: self.state.clone() }
    }
}

/// Kills a machine whose maker is dropped half-way.
struct Unfinished(Option<ProcessId>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(process) = self.0.and_then(Process::adopt) {
            process.signal(Signal::Kill);
        }
    }
}

impl Templates {
    /// The templates in `dir`, which need not exist. What an earlier process left half-made is removed.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        sweep(&dir);
        Self { dir, turn: tokio::sync::Mutex::default(), useless: Mutex::default() }
    }

    /// Waits until no template is being made.
    pub async fn settled(&self) {
        drop(self.turn.lock().await);
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Template> {
        let folder = self.dir.join(&key.0);
        (folder.is_dir() && !self.is_useless(key)).then(|| Template::in_folder(&folder))
    }

    /// It did not go on.
    pub(crate) fn discard(&self, key: &Key) {
        self.useless().insert(key.clone());
        remove(&self.dir.join(&key.0));
    }

    fn useless(&self) -> std::sync::MutexGuard<'_, HashSet<Key>> {
        self.useless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_useless(&self, key: &Key) -> bool {
        self.useless().contains(key)
    }

    /// Makes the template unless it is there. `spec` is that of a VM that boots well.
    pub(crate) async fn make(
        &self,
        key: &Key,
        spec: MachineSpec,
        data_disk_bytes: u64,
        hypervisor: &dyn Hypervisor,
    ) {
        let _turn = self.turn.lock().await;
        let folder = self.dir.join(&key.0);
        if folder.is_dir() || self.is_useless(key) {
            return;
        }
        let new = self.dir.join(format!("{}.new", key.0));
        let since = Instant::now();
        match cast(&new, spec, data_disk_bytes, hypervisor).await {
            Ok(()) => match fs::rename(&new, &folder) {
                Ok(()) => tracing::info!(
                    ms = since.elapsed().as_millis(),
                    "a guest is saved; VMs begin as copies of it"
                ),
                Err(error) => tracing::warn!(%error, "a saved guest is of no use"),
            },
            Err(reason) => {
                tracing::warn!(reason, "no guest is saved; VMs of this size boot each time");
                self.useless().insert(key.clone());
                remove(&new);
            }
        }
        self.keep_the_latest();
    }

    fn keep_the_latest(&self) {
        let whole = folders(&self.dir).into_iter().filter(|path| path.extension().is_none());
        let mut dated: Vec<_> = whole
            .filter_map(|path| Some((fs::metadata(path.join("state")).ok()?.modified().ok()?, path)))
            .collect();
        dated.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in dated.into_iter().skip(KEPT) {
            remove(&path);
        }
    }
}

/// Boots a guest in `folder` until it is at rest, and saves it. The error is for people.
async fn cast(
    folder: &Path,
    spec: MachineSpec,
    data_disk_bytes: u64,
    hypervisor: &dyn Hypervisor,
) -> Result<(), String> {
    let files = Template::in_folder(folder);
    let io = |error: io::Error| format!("{}: {error}", folder.display());
    prepare(folder, &files.data, data_disk_bytes).map_err(io)?;
    let spec = MachineSpec {
        run_dir: folder.to_owned(),
        console_log: folder.join("console.log"),
        data_disk: files.data.clone(),
        memory: Memory::Kept(files.memory.clone()),
        ..spec
    };
    console::begin(&spec.console_log).map_err(io)?;
    let mut machine = hypervisor.spawn(&spec).await.map_err(|error| chain(&error))?;
    let mut unfinished = Unfinished(machine.record().qemu);
    let saved = match rested(&mut *machine, &spec.console_log).await {
        Ok(()) => machine.save(&files.state).await.map_err(|error| chain(&error)),
        Err(reason) => Err(reason),
    };
    for trouble in machine.remove(Duration::ZERO).await {
        tracing::debug!(%trouble, "removing the machine that was saved");
    }
    unfinished.0 = None;
    saved
}

fn prepare(folder: &Path, data: &Path, data_disk_bytes: u64) -> io::Result<()> {
    remove(folder);
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    sparse::disk(data, data_disk_bytes)
}

/// Waits until the guest says that it is at rest. The error is for people.
async fn rested(machine: &mut dyn Machine, console_log: &Path) -> Result<(), String> {
    let deadline = Instant::now() + REST_DEADLINE;
    loop {
        tokio::select! {
            event = machine.event() => return match event {
                MachineEvent::Exited { how } => Err(format!("QEMU ended before the guest was at rest ({how})")),
                other => Err(format!("{other:?}")),
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        if console::tail(console_log).iter().any(|line| line.contains(agent_proto::AT_REST)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the guest did not come to rest within {REST_DEADLINE:?}"));
        }
    }
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Ends machines that an earlier process was making templates with, and removes what it had.
fn sweep(dir: &Path) {
    for path in folders(dir).into_iter().filter(|path| path.extension().is_some()) {
        if let Some(record) = Record::load(&path, &host_boot_id()) {
            drop(Unfinished(record.qemu));
        }
        remove(&path);
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "not removed");
        }
        _ => {}
    }
}
