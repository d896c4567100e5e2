//! A live QEMU with its vsock daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use qapi::qmp;
use tokio::sync::watch;
use transport::Kind;

use super::command_line::{self, LINK_BUS, LINK_CHARDEV, LINK_DEVICE, LINK_DRIVER};
use super::control::{CommandError, Control};
use super::link;
use super::room::Room;
use super::saved;
use super::shares;
use super::sockets::Sockets;
use super::sys;
use crate::process::{self, Process, Signal, host_boot_id};
use crate::{
    AttachError, Capabilities, CardError, DiskError, Machine, MachineEvent, MachineSpec, Memory, Record,
    RepairError, SaveError, ShareError, SpawnError, StopTrouble, console,
};

/// QEMU answers on QMP right after its exec, but a loaded machine may take long to get there.
const CONTROL_DEADLINE: Duration = Duration::from_secs(20);
/// A QEMU that has been alone answers at once or is stuck; but what does not answer loses its containers, and a loaded
/// host is slow.
const ATTACH_DEADLINE: Duration = Duration::from_secs(10);
/// The guest's part in unplugging, under emulation.
const UNPLUG_DEADLINE: Duration = Duration::from_secs(10);
/// The guest's part in taking a device into use, likewise.
const PLUG_DEADLINE: Duration = Duration::from_secs(10);
/// The same where QEMU does not tell.
const UNTOLD: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);
const QUIT_DEADLINE: Duration = Duration::from_secs(3);
const TERMINATE_DEADLINE: Duration = Duration::from_secs(1);
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// When QEMU ends, the daemon may end a moment earlier: that is one death, not a lost link.
const ONE_DEATH: Duration = Duration::from_millis(150);
const ONE_SHARES_DEATH: Duration = Duration::from_millis(20);

pub(super) struct QemuMachine {
    pub(super) record: Record,
    qemu: Process,
    daemon: Option<Process>,
    pub(super) shares: Vec<shares::Daemon>,
    /// `None` when the machine never answered.
    pub(super) control: Option<Arc<Control>>,
    room: Option<Room>,
    pub(super) libexec: PathBuf,
    started: Option<Instant>,
}

/// Why a device stays.
pub(super) enum UnplugError {
    /// The guest did not let go of it.
    Late(Duration),
    Control(String),
}

/// A machine that is being made: dropped before it is whole, it leaves nothing behind.
struct Nascent {
    record: Option<Record>,
    qemu: Option<Process>,
    daemon: Option<Process>,
}

impl Drop for Nascent {
    fn drop(&mut self) {
        for process in [&self.qemu, &self.daemon].into_iter().flatten() {
            process.signal(Signal::Kill);
        }
        if let Some(record) = &self.record {
            for (path, error) in remove_files(record) {
                tracing::debug!(path = %path.display(), %error, "left behind");
            }
        }
    }
}

impl QemuMachine {
    pub(super) async fn spawn(
        capabilities: &Capabilities,
        libexec: &Path,
        spec: &MachineSpec,
    ) -> Result<Self, SpawnError> {
        let sockets = Sockets::of(&spec.run_dir);
        sockets.check()?;
        check_files(spec)?;
        if let Some((path, source)) = sockets.remove().pop() {
            return Err(SpawnError::Prepare { path, source });
        }
        let mut record = Record {
            version: Record::VERSION,
            host_boot_id: host_boot_id(),
            qemu: None,
            daemon: None,
            accelerator: spec.accelerator,
            transport: spec.transport,
            run_dir: spec.run_dir.clone(),
            console_log: spec.console_log.clone(),
            since_unix_ms: crate::owner::unix_ms(),
            shares: Vec::new(),
            shared: 0,
            disks: Vec::new(),
            memory_mib: Some(spec.memory_mib),
            cpus: Some(spec.cpus),
        };
        let mut nascent = Nascent { record: Some(record.clone()), qemu: None, daemon: None };

        if spec.transport == Kind::VhostUser {
            let log = fresh_log(&spec.console_log, "vsock.log");
            let daemon = nascent.daemon.insert(link::start(libexec, &sockets, &log)?);
            record.daemon = Some(daemon.id());
            store(&record)?;
            link::ready(daemon, &sockets, &log).await?;
        }

        let log = fresh_log(&spec.console_log, "qemu.log");
        let arguments = command_line::arguments(spec, capabilities.sandbox.as_deref().ok(), sys::tsc_khz());
        tracing::debug!(?arguments, "starting QEMU");
        let started = Instant::now();
        let program = &capabilities.program;
        let spawn = match spec.memory {
            Memory::Copied { .. } => process::spawn_small,
            Memory::Empty | Memory::Kept(_) => process::spawn,
        };
        let qemu = spawn(program, &arguments, &log)
            .map_err(|source| SpawnError::Program { program: program.clone(), source })?;
        let qemu = nascent.qemu.insert(qemu);
        record.qemu = Some(qemu.id());
        store(&record)?;

        let path = sockets.control();
        let control = tokio::select! {
            control = tokio::time::timeout(CONTROL_DEADLINE, Control::connect(&path)) => match control {
                Ok(Ok(control)) => control,
                Ok(Err(error)) => match tokio::time::timeout(ONE_DEATH, qemu.ended()).await {
                    Ok(how) => return Err(died(&how, &log)),
                    Err(_) => return Err(SpawnError::Control(error)),
                },
                Err(_) => return Err(SpawnError::Control(std::io::ErrorKind::TimedOut.into())),
            },
            how = qemu.ended() => return Err(died(&how, &log)),
        };

        sockets.make_private()?;
        if let Memory::Copied { state, .. } = &spec.memory {
            let went_on = tokio::select! {
                went_on = saved::restore(&control, state) => went_on,
                how = qemu.ended() => return Err(died(&how, &log)),
            };
            went_on.map_err(|detail| SpawnError::Restore { detail })?;
        }
        // From here on the machine's own `remove` cleans up.
        nascent.record = None;
        let Some(qemu) = nascent.qemu.take() else {
            return Err(SpawnError::Control(std::io::ErrorKind::NotFound.into()));
        };
        let daemon = nascent.daemon.take();
        let control = Arc::new(control);
        let room = Room::watch(Arc::clone(&control));
        Ok(Self {
            record,
            qemu,
            daemon,
            shares: Vec::new(),
            control: Some(control),
            room: Some(room),
            libexec: libexec.to_owned(),
            started: Some(started),
        })
    }

    pub(super) async fn attach(libexec: &Path, record: Record) -> Result<Self, AttachError> {
        if !process::IDENTIFIES {
            return Err(AttachError::Unsupported);
        }
        let daemon = record.daemon.and_then(Process::adopt);
        let Some(qemu) = record.qemu.and_then(Process::adopt) else {
            if let Some(daemon) = daemon {
                end(daemon, link::DAEMON, Duration::ZERO, &mut Vec::new()).await;
            }
            shares::bury(&record).await;
            remove_files(&record);
            // Its listener died with the process that left the record; absent is as good.
            let _ = std::fs::remove_file(Sockets::of(&record.run_dir).hello());
            return Err(AttachError::Gone);
        };
        let pid = qemu.id().pid;
        let shares = Vec::new();
        let libexec = libexec.to_owned();
        let mut machine =
            Self { record, qemu, daemon, shares, control: None, room: None, libexec, started: None };
        let path = machine.sockets().control();
        let connected = tokio::time::timeout(ATTACH_DEADLINE, Control::connect(&path)).await;
        match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(control) => {
                let control = Arc::new(control);
                machine.room = Some(Room::watch_attached(Arc::clone(&control)).await);
                machine.control = Some(control);
            }
            Err(source) => {
                machine.remove(Duration::ZERO).await;
                return Err(AttachError::Silent { pid, source });
            }
        }
        if machine.record.transport == Kind::VhostUser
            && machine.daemon.is_none()
            && let Err(error) = machine.repair_link().await
        {
            machine.remove(Duration::ZERO).await;
            return Err(error.into());
        }
        machine.adopt_shares().await;
        Ok(machine)
    }

    fn sockets(&self) -> Sockets {
        Sockets::of(&self.record.run_dir)
    }

    pub(super) async fn run<C: qmp::QmpCommand>(
        &self,
        name: &'static str,
        command: C,
    ) -> Result<C::Ok, RepairError> {
        let refused = |detail: String| RepairError::Control { command: name, detail };
        let Some(control) = &self.control else { return Err(refused("no control connection".into())) };
        control.run(command).await.map_err(|error| refused(crate::error::chain(&error)))
    }

    /// Waits until the guest has taken the link's device into use. A daemon to which somebody connects before that never
    /// passes anything on (vhost-device-vsock 0.3.0: an error at its queues ends its thread).
    async fn link_is_used(&self) {
        let path = format!("/machine/peripheral/{LINK_DEVICE}/virtio-backend");
        let used = async {
            loop {
                let ask = qmp::x_query_virtio_status { path: path.clone() };
                match self.run("x-query-virtio-status", ask).await {
                    Ok(status) if status.vhost_started => return,
                    Ok(_) => tokio::time::sleep(LOOK).await,
                    Err(error) => {
                        tracing::debug!(%error, "this QEMU does not tell of its devices");
                        return tokio::time::sleep(UNTOLD).await;
                    }
                }
            }
        };
        if tokio::time::timeout(PLUG_DEADLINE, used).await.is_err() {
            tracing::warn!("the guest does not use the vsock device within {PLUG_DEADLINE:?}");
        }
    }

    /// Unplugs a device and waits until the guest has let go of it; done when there is none.
    pub(super) async fn unplug_device(&self, device: &str) -> Result<(), UnplugError> {
        let Some(control) = &self.control else { return Ok(()) };
        let mut events = control.events();
        match control.run(qmp::device_del { id: device.into() }).await {
            Ok(_) => {}
            // An earlier attempt got this far.
            Err(CommandError::Refused(detail)) if detail.contains("not found") => return Ok(()),
            Err(CommandError::Refused(detail)) if detail.contains("in the process of unplug") => {}
            Err(error) => return Err(UnplugError::Control(crate::error::chain(&error))),
        }
        let unplugged = async {
            loop {
                match events.recv().await {
                    Ok(qmp::Event::DEVICE_DELETED { data, .. }) if data.device.as_deref() == Some(device) => {
                        return;
                    }
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::time::timeout(UNPLUG_DEADLINE, unplugged).await.map_err(|_| UnplugError::Late(UNPLUG_DEADLINE))
    }
}

#[async_trait]
impl Machine for QemuMachine {
    fn record(&self) -> &Record {
        &self.record
    }

    fn moved(&mut self, record: Record) {
        self.record = record;
    }

    fn started(&self) -> Option<Instant> {
        self.started
    }

    fn halted(&self) -> watch::Receiver<bool> {
        self.room.as_ref().map_or_else(|| watch::channel(false).1, |room| room.halted.clone())
    }

    async fn event(&mut self) -> MachineEvent {
        let daemon_ended = async {
            match &mut self.daemon {
                Some(daemon) => daemon.ended().await,
                None => std::future::pending().await,
            }
        };
        let (share, how) = tokio::select! {
            how = self.qemu.ended() => return exited(&how, &self.record),
            how = daemon_ended => (None, how),
            (tag, how) = shares::ended(&mut self.shares) => (Some(tag), how),
        };
        // What the guest asks of a dead share meanwhile is never answered, so less time is taken over that.
        let patience = if share.is_some() { ONE_SHARES_DEATH } else { ONE_DEATH };
        if let Ok(how) = tokio::time::timeout(patience, self.qemu.ended()).await {
            return exited(&how, &self.record);
        }
        let Some(tag) = share else {
            self.daemon = None;
            return MachineEvent::LinkLost { how };
        };
        self.shares.retain(|daemon| daemon.tag != tag);
        MachineEvent::ShareLost { tag, how }
    }

    async fn repair_link(&mut self) -> Result<(), RepairError> {
        if self.record.transport != Kind::VhostUser {
            return Err(RepairError::Nothing(self.record.transport));
        }
        if let Some(daemon) = self.daemon.take() {
            end(daemon, link::DAEMON, Duration::ZERO, &mut Vec::new()).await;
        }
        self.unplug_device(LINK_DEVICE).await.map_err(|error| match error {
            UnplugError::Late(patience) => RepairError::Unplug(patience),
            UnplugError::Control(detail) => RepairError::Control { command: "device_del", detail },
        })?;
        self.run("chardev-remove", qmp::chardev_remove { id: LINK_CHARDEV.into() }).await.or_else(
            |error| match &error {
                RepairError::Control { detail, .. } if detail.contains("not found") => Ok(qapi::Empty {}),
                _ => Err(error),
            },
        )?;

        let sockets = self.sockets();
        let log = fresh_log(&self.record.console_log, "vsock.log");
        let daemon = self.daemon.insert(link::start(&self.libexec, &sockets, &log)?);
        self.record.daemon = Some(daemon.id());
        store(&self.record)?;
        link::ready(daemon, &sockets, &log).await?;

        let chardev = chardev_add(LINK_CHARDEV, &sockets.vhost());
        self.run("chardev-add", chardev).await?;
        let properties = [("chardev".to_owned(), LINK_CHARDEV.into())];
        let device =
            qmp::device_add::new(LINK_DRIVER, LINK_DEVICE.to_owned(), LINK_BUS.to_owned(), properties);
        self.run("device_add", device).await?;
        self.link_is_used().await;
        Ok(())
    }

    async fn save(&mut self, state: &Path) -> Result<(), SaveError> {
        let Some(control) = &self.control else {
            return Err(SaveError::Failed("no control connection".into()));
        };
        saved::save(control, state).await.map_err(SaveError::Failed)
    }

    async fn share(&mut self, folder: &Path, read_only: bool) -> Result<String, ShareError> {
        self.plug_in(folder, read_only).await
    }

    async fn unshare(&mut self, tag: &str) -> Result<(), ShareError> {
        self.unplug_share(tag).await
    }

    async fn plug_card(&mut self, socket: &Path, address: &str) -> Result<(), CardError> {
        if !cfg!(target_os = "linux") {
            return Err(CardError::Unsupported);
        }
        self.add_card(socket, address).await
    }

    async fn plug_disk(&mut self, file: &Path, serial: &str) -> Result<(), DiskError> {
        self.add_disk(file, serial).await
    }

    async fn unplug_disk(&mut self, serial: &str) -> Result<(), DiskError> {
        self.remove_disk(serial).await
    }

    async fn remove(&mut self, patience: Duration) -> Vec<StopTrouble> {
        let mut troubles = Vec::new();
        let gone = !patience.is_zero() && self.qemu.ends_within(patience).await;
        if !gone && !patience.is_zero() {
            troubles.push(StopTrouble::StillOn(patience));
        }
        if !gone
            && let Some(control) = &self.control
            && let Err(error) = control.run(qmp::quit {}).await
        {
            tracing::debug!(%error, "QMP quit");
        }
        let rest = if self.control.is_some() { QUIT_DEADLINE } else { Duration::from_millis(10) };
        kill_unless_ended(&mut self.qemu, "QEMU", rest, &mut troubles).await;
        if let Some(daemon) = self.daemon.take() {
            end(daemon, link::DAEMON, TERMINATE_DEADLINE, &mut troubles).await;
        }
        self.end_shares(&mut troubles).await;
        self.room = None;
        self.control = None;
        troubles.extend(
            remove_files(&self.record).into_iter().map(|(path, source)| StopTrouble::File { path, source }),
        );
        troubles
    }
}

/// The command that gives QEMU the client's end of a helper's socket.
pub(super) fn chardev_add(id: &str, socket: &Path) -> qmp::chardev_add {
    let path = socket.to_string_lossy().into_owned();
    let address = qmp::UnixSocketAddress { abstract_: None, tight: None, path };
    let backend = qmp::ChardevSocket {
        base: qmp::ChardevCommon { logappend: None, logfile: None },
        nodelay: None,
        reconnect: None,
        server: Some(false),
        telnet: None,
        tls_authz: None,
        tls_creds: None,
        tn3270: None,
        wait: None,
        websocket: None,
        addr: qmp::SocketAddressLegacy::unix(address.into()),
    };
    qmp::chardev_add { id: id.into(), backend: qmp::ChardevBackend::socket(backend.into()) }
}

/// Ends a helper: politely, then by force.
pub(super) async fn end(
    mut process: Process,
    program: &'static str,
    patience: Duration,
    troubles: &mut Vec<StopTrouble>,
) {
    process.signal(if patience.is_zero() { Signal::Kill } else { Signal::Terminate });
    let patience = if patience.is_zero() { KILL_DEADLINE } else { patience };
    kill_unless_ended(&mut process, program, patience, troubles).await;
}

async fn kill_unless_ended(
    process: &mut Process,
    program: &'static str,
    patience: Duration,
    troubles: &mut Vec<StopTrouble>,
) {
    if process.ends_within(patience).await {
        return;
    }
    let pid = process.id().pid;
    process.signal(Signal::Kill);
    troubles.push(if process.ends_within(KILL_DEADLINE).await {
        StopTrouble::Killed { program, pid }
    } else {
        StopTrouble::Immortal { program, pid }
    });
}

fn exited(how: &str, record: &Record) -> MachineEvent {
    let said = console::tail(&beside(&record.console_log, "qemu.log"));
    let how = match said.last() {
        Some(last) => format!("{how}; its last words: {last}"),
        None => how.to_owned(),
    };
    MachineEvent::Exited { how }
}

fn died(how: &str, log: &Path) -> SpawnError {
    let said = console::tail(log).join(" / ");
    SpawnError::Died { detail: if said.is_empty() { how.to_owned() } else { format!("{how}; {said}") } }
}

fn store(record: &Record) -> Result<(), SpawnError> {
    record.store().map_err(|source| SpawnError::Prepare { path: Record::path(&record.run_dir), source })
}

fn remove_files(record: &Record) -> Vec<(PathBuf, std::io::Error)> {
    let sockets = Sockets::of(&record.run_dir);
    let mut failed = sockets.remove();
    let path = Record::path(&record.run_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => failed.push((path, error)),
        _ => {}
    }
    failed
}

fn beside(log: &Path, name: &str) -> PathBuf {
    log.with_file_name(name)
}

/// A log beside the console's, emptied: one start's words are of interest, not all history.
pub(super) fn fresh_log(console_log: &Path, name: &str) -> PathBuf {
    let path = beside(console_log, name);
    // Absent is as good as empty; a folder that cannot be written shows when the log is opened.
    let _ = std::fs::remove_file(&path);
    path
}

fn check_files(spec: &MachineSpec) -> Result<(), SpawnError> {
    let parts = [
        ("the guest kernel", &spec.kernel),
        ("the initial RAM disk", &spec.initramfs),
        ("the guest root", &spec.root_disk),
        ("the layer disk", &spec.layer_disk),
        ("the data disk", &spec.data_disk),
    ];
    match parts.into_iter().find(|(_, path)| !path.is_file()) {
        Some((what, path)) => Err(SpawnError::Missing { what, path: path.clone() }),
        None => Ok(()),
    }
}
