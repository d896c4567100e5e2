//! From nothing to a greeting agent: choices, disks, one accelerator after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport::Kind;

use super::live::Live;
use crate::agent::{Agent, HelloPort, Hellos};
use crate::error::chain;
use crate::process::host_boot_id;
use crate::template::{Key, Template};
use crate::verdicts::{Circumstances, Verdicts, candidates};
use crate::{
    Accelerator, Choice, Hypervisor, Machine, MachineEvent, MachineSpec, Memory, SpawnError, Stage, Status,
    Timings, Verdict, VmConfig, console, sparse,
};

/// A processor that executes anything at all gets the kernel to speak within this.
const SILENCE_DEADLINE: Duration = Duration::from_secs(3);
/// Hello on the host's own processor.
const HARDWARE_DEADLINES: &[Duration] = &[Duration::from_secs(20)];
/// Hello under emulation, try by try. A boot takes three seconds at most with all processors taken, but a translated
/// guest has been seen to wait for a timer that never came: such a one is ended early and made anew. The last try is
/// for a host so slow that the first was cut off in the midst of its work.
const EMULATION_DEADLINES: &[Duration] = &[Duration::from_secs(30), Duration::from_secs(120)];
/// Hello of a copy of a saved guest, which has nothing to boot: what does not come soon never comes.
const COPY_DEADLINE: Duration = Duration::from_secs(15);
/// How often a boot's console is looked at, to tell firmware from kernel.
const CONSOLE_LOOK: Duration = Duration::from_millis(50);

/// Why a boot failed.
#[derive(Debug)]
pub(super) struct BootError {
    pub(super) reason: String,
    pub(super) console_tail: Vec<String>,
    pub(super) cancelled: bool,
}

impl BootError {
    fn plain(reason: String) -> Self {
        Self { reason, console_tail: Vec::new(), cancelled: false }
    }
}

/// How one accelerator did.
enum AttemptError {
    /// The guest did not come up: another accelerator may do better.
    Guest(String),
    /// The guest did not come up in its time: another try may do better, then another accelerator.
    Late(Duration),
    /// No other accelerator would change it.
    Fatal(String),
    Cancelled,
}

impl AttemptError {
    /// For people.
    fn reason(&self) -> String {
        match self {
            Self::Guest(reason) | Self::Fatal(reason) => reason.clone(),
            Self::Late(deadline) => format!("no hello from the guest within {deadline:?}"),
            Self::Cancelled => "cancelled".to_owned(),
        }
    }
}

impl From<SpawnError> for AttemptError {
    fn from(error: SpawnError) -> Self {
        match error {
            // A QEMU without the accelerator, or without rights to it, ends at once.
            SpawnError::Died { .. } => Self::Guest(chain(&error)),
            _ => Self::Fatal(chain(&error)),
        }
    }
}

/// One boot.
pub(super) struct Boot {
    pub(super) config: Arc<VmConfig>,
    pub(super) hypervisor: Arc<dyn Hypervisor>,
    pub(super) hello_port: Arc<HelloPort>,
    pub(super) status: watch::Sender<Status>,
    pub(super) cancel: CancellationToken,
    pub(super) began: Instant,
}

impl Boot {
    pub(super) async fn run(self) -> Result<Live, BootError> {
        self.stage(Stage::Probing, None, 1);
        let capabilities = self.hypervisor.capabilities().await.map_err(BootError::plain)?;
        tracing::debug!(version = capabilities.version, "hypervisor");
        let mut verdicts = verdicts(&self.config, &capabilities.version);
        let named = match self.config.accelerator {
            Choice::Auto => None,
            Choice::Named(accelerator) => Some(accelerator),
        };
        let accelerators = candidates(&self.hypervisor.accelerators(), named, |a| verdicts.of(a))
            .map_err(BootError::plain)?;
        let transport = self.transport().await.map_err(BootError::plain)?;
        let image = image_identity(&self.config.assets);
        let key = |accelerator| Key::of(&self.config, accelerator, &capabilities.version, &image);

        let mut failures = Vec::new();
        let mut attempt = 0;
        for &accelerator in &accelerators {
            let proven = matches!(verdicts.of(accelerator), Verdict::Works { .. });
            match self.attempts(accelerator, transport, &mut attempt, proven, &key(accelerator)).await {
                Ok(live) => {
                    verdicts.learn(accelerator, Verdict::Works { hello_ms: live.timings.hello_ms });
                    return Ok(live);
                }
                Err(error @ (AttemptError::Guest(_) | AttemptError::Late(_))) => {
                    let reason = error.reason();
                    tracing::warn!(%accelerator, reason, "the guest did not come up");
                    // What has worked is not condemned for one failure: it may be the image or a loaded host.
                    if accelerator.is_hardware() && !proven {
                        verdicts.learn(accelerator, Verdict::Fails { reason: reason.clone() });
                    }
                    failures.push(format!("{accelerator}: {reason}"));
                }
                Err(AttemptError::Fatal(reason)) => {
                    failures.push(reason);
                    break;
                }
                Err(AttemptError::Cancelled) => {
                    return Err(BootError {
                        reason: String::new(),
                        console_tail: Vec::new(),
                        cancelled: true,
                    });
                }
            }
        }
        Err(BootError {
            reason: failures.join("; "),
            console_tail: console::tail(&console_log(&self.config)),
            cancelled: false,
        })
    }

    /// The best transport, or the next best when its hello port is taken: AF_VSOCK has one for the whole host, which
    /// another user's Coracle, or a test's, may have.
    async fn transport(&self) -> Result<Kind, String> {
        let best = choose_transport(&*self.hypervisor, self.config.transport)?;
        if self.config.transport != Choice::Auto {
            return Ok(best);
        }
        let offered = self.hypervisor.transports().into_iter().filter(|(_, offer)| offer.is_ok());
        for (kind, _) in offered {
            let link = self.hypervisor.transport(kind).map_err(|error| chain(&error))?;
            match self.hello_port.listen(&*link).await {
                Ok(_) => return Ok(kind),
                Err(error) => tracing::warn!(%kind, reason = chain(&error), "this transport is passed over"),
            }
        }
        // The attempt says why.
        Ok(best)
    }

    /// As a copy of a saved guest if there is one; else one try after the other, as long as the guest is only late.
    async fn attempts(
        &self,
        accelerator: Accelerator,
        transport: Kind,
        attempt: &mut u32,
        proven: bool,
        key: &Key,
    ) -> Result<Live, AttemptError> {
        let Some(templates) = &self.config.templates else {
            return self.boots(accelerator, transport, attempt, proven).await;
        };
        if let Some(template) = templates.find(key) {
            *attempt += 1;
            let copied = self.copy(accelerator, transport, *attempt, &template).await;
            match copied {
                Err(error @ (AttemptError::Guest(_) | AttemptError::Late(_) | AttemptError::Fatal(_))) => {
                    tracing::warn!(reason = error.reason(), "a saved guest is of no use; booting");
                    templates.discard(key);
                }
                other => return other,
            }
        }
        let live = self.boots(accelerator, transport, attempt, proven).await?;
        let (templates, hypervisor) = (Arc::clone(templates), Arc::clone(&self.hypervisor));
        let (key, bytes) = (key.clone(), self.config.data_disk_bytes);
        let spec = self.spec(accelerator, transport, Memory::Empty, false);
        tokio::spawn(async move { templates.make(&key, spec, bytes, &*hypervisor).await });
        Ok(live)
    }

    async fn copy(
        &self,
        accelerator: Accelerator,
        transport: Kind,
        attempt: u32,
        template: &Template,
    ) -> Result<Live, AttemptError> {
        prepare_disks(&self.config, Some(template))?;
        let spec = self.spec(accelerator, transport, template.memory(), false);
        self.attempt(spec, attempt, COPY_DEADLINE).await
    }

    async fn boots(
        &self,
        accelerator: Accelerator,
        transport: Kind,
        attempt: &mut u32,
        proven: bool,
    ) -> Result<Live, AttemptError> {
        prepare_disks(&self.config, None)?;
        let talkative = accelerator.is_hardware() && !proven;
        let spec = || self.spec(accelerator, transport, Memory::Empty, talkative);
        let deadlines = if accelerator.is_hardware() { HARDWARE_DEADLINES } else { EMULATION_DEADLINES };
        let (last, before) = deadlines.split_last().expect("there is a deadline for each kind");
        for &deadline in before {
            *attempt += 1;
            match self.attempt(spec(), *attempt, deadline).await {
                Err(error @ AttemptError::Late(_)) => {
                    let console_tail = console::tail(&console_log(&self.config)).join("\n");
                    tracing::warn!(%accelerator, reason = error.reason(), console_tail, "booting once more");
                }
                other => return other,
            }
        }
        *attempt += 1;
        self.attempt(spec(), *attempt, *last).await
    }

    #[tracing::instrument(skip(self, spec, deadline), fields(accelerator = %spec.accelerator, transport = %spec.transport))]
    async fn attempt(
        &self,
        spec: MachineSpec,
        attempt: u32,
        deadline: Duration,
    ) -> Result<Live, AttemptError> {
        let (accelerator, transport) = (spec.accelerator, spec.transport);
        self.stage(Stage::Spawning, Some(accelerator), attempt);
        console::begin(&spec.console_log)
            .map_err(|source| SpawnError::Prepare { path: spec.console_log.clone(), source })?;
        let link = self.hypervisor.transport(transport)?;
        let mut hellos = self.hello_port.listen(&*link).await.map_err(SpawnError::Listen)?;
        let mut machine = tokio::select! {
            machine = self.hypervisor.spawn(&spec) => machine?,
            () = self.cancel.cancelled() => return Err(AttemptError::Cancelled),
        };
        let exec = machine.started().unwrap_or_else(Instant::now);
        let spawned = Instant::now();

        let hello = tokio::select! {
            hello = self.hello(&spec, attempt, (exec, deadline), &mut *machine, &mut hellos) => hello,
            () = self.cancel.cancelled() => Err(AttemptError::Cancelled),
        };
        let hello = match hello {
            Ok(hello) => hello,
            Err(error) => {
                for trouble in machine.remove(Duration::ZERO).await {
                    tracing::debug!(%trouble, "removing a guest that did not come up");
                }
                return Err(error);
            }
        };
        let greeted = Instant::now();
        self.stage(Stage::Hello, Some(accelerator), attempt);
        let gone = CancellationToken::new();
        let guest_ms = hello.uptime_ms;
        let agent = Agent::from_hello(link, hello, gone.clone());
        let timings = Timings {
            prepare_ms: millis(exec - self.began),
            spawn_ms: millis(spawned - exec),
            hello_ms: millis(greeted - exec),
            guest_ms,
            connect_ms: millis(greeted.elapsed()),
        };
        let boot_ms = millis(self.began.elapsed());
        tracing::info!(boot_ms, ?timings, "the VM runs");
        let halted = machine.halted();
        Ok(Live { machine, hellos, agent, gone, timings, boot_ms, reattached: false, halted })
    }

    /// Waits for the hello, and for every reason why none will come.
    async fn hello(
        &self,
        spec: &MachineSpec,
        attempt: u32,
        (exec, deadline): (Instant, Duration),
        machine: &mut dyn Machine,
        hellos: &mut Hellos,
    ) -> Result<agent_proto::v1::Hello, AttemptError> {
        let mut stage = Stage::Firmware;
        self.stage(stage, Some(spec.accelerator), attempt);
        let mut look = tokio::time::interval(CONSOLE_LOOK);
        loop {
            tokio::select! {
                // A hello that has come counts, even when the machine has died since.
                biased;
                hello = hellos.next() => return match &*hello {
                    Ok(hello) => Ok(hello.clone()),
                    Err(error) => Err(AttemptError::Fatal(chain(error))),
                },
                event = machine.event() => return Err(AttemptError::Guest(match event {
                    MachineEvent::Exited { how } => format!("QEMU ended before the guest's hello ({how})"),
                    MachineEvent::LinkLost { how } => format!("the vsock daemon ended before the guest's hello ({how})"),
                    MachineEvent::ShareLost { tag, how } => format!("share {tag} ended before the guest's hello ({how})"),
                })),
                _ = look.tick() => {
                    let speaks = console::len(&spec.console_log) > 0;
                    if speaks && stage == Stage::Firmware {
                        stage = Stage::Kernel;
                        self.stage(stage, Some(spec.accelerator), attempt);
                    }
                    if spec.talkative && !speaks && exec.elapsed() > SILENCE_DEADLINE {
                        return Err(AttemptError::Guest(format!(
                            "the guest executed nothing: no word on its console within {SILENCE_DEADLINE:?}"
                        )));
                    }
                    if exec.elapsed() > deadline {
                        return Err(AttemptError::Late(deadline));
                    }
                }
            }
        }
    }

    fn spec(
        &self,
        accelerator: Accelerator,
        transport: Kind,
        memory: Memory,
        talkative: bool,
    ) -> MachineSpec {
        let config = &*self.config;
        MachineSpec {
            kernel: config.assets.join("vmlinux"),
            initramfs: config.assets.join("initramfs.img"),
            root_disk: config.assets.join("root.erofs"),
            layer_disk: config.layer_disk.clone(),
            data_disk: config.data_disk.clone(),
            memory_mib: config.memory_mib,
            memory,
            cpus: config.cpus,
            accelerator,
            transport,
            run_dir: config.run_dir.clone(),
            console_log: console_log(config),
            talkative,
        }
    }

    fn stage(&self, stage: Stage, accelerator: Option<Accelerator>, attempt: u32) {
        let since_unix_ms = super::unix_ms().saturating_sub(millis(self.began.elapsed()));
        self.status.send_replace(Status::Booting { stage, since_unix_ms, accelerator, attempt });
    }
}

pub(crate) fn console_log(config: &VmConfig) -> PathBuf {
    config.log_dir.join("console.log")
}

pub(super) fn verdict_file(config: &VmConfig) -> PathBuf {
    config.known_dir.join("accelerators.json")
}

/// The verdicts for this QEMU, this image and this boot of the host.
pub(crate) fn verdicts(config: &VmConfig, qemu_version: &str) -> Verdicts {
    let circumstances = Circumstances {
        qemu_version: qemu_version.to_owned(),
        image: image_identity(&config.assets),
        host_boot_id: host_boot_id(),
    };
    Verdicts::load(&verdict_file(config), circumstances)
}

/// The manifest names every input of the image with its digest, so its own digest stands for all; reading it is
/// quick where hashing a kernel is not.
fn image_identity(assets: &Path) -> String {
    match std::fs::read(assets.join("manifest.json")) {
        Ok(manifest) => types::Digest::of(&manifest).to_string(),
        Err(_) => std::fs::metadata(assets.join("vmlinux"))
            .map_or_else(|_| "none".to_owned(), |meta| format!("{} {:?}", meta.len(), meta.modified().ok())),
    }
}

/// # Errors
/// For people: why there is none.
pub(crate) fn choose_transport(hypervisor: &dyn Hypervisor, choice: Choice<Kind>) -> Result<Kind, String> {
    let offered = hypervisor.transports();
    match choice {
        Choice::Named(kind) => match offered.into_iter().find(|(k, _)| *k == kind) {
            Some((_, Ok(()))) => Ok(kind),
            Some((_, Err(reason))) => Err(format!("transport {kind} cannot be used: {reason}")),
            None => Err(format!("transport {kind} does not exist on this system")),
        },
        Choice::Auto => offered
            .iter()
            .find(|(_, offer)| offer.is_ok())
            .map(|(kind, _)| *kind)
            .ok_or_else(|| "no transport between host and guest can be used here".to_owned()),
    }
}

/// Makes what the VM writes to: sparse files of their full size. One that is to be larger grows; the guest's file
/// system follows when it is mounted. None shrinks. A new data disk is a formatted one where there is a template.
fn prepare_disks(config: &VmConfig, template: Option<&Template>) -> Result<(), SpawnError> {
    if let Some(template) = template
        && !config.data_disk.exists()
    {
        sparse::copy(&template.data, &config.data_disk)
            .map_err(|source| SpawnError::Prepare { path: config.data_disk.clone(), source })?;
    }
    for (path, bytes) in
        [(&config.layer_disk, VmConfig::LAYER_DISK_BYTES), (&config.data_disk, config.data_disk_bytes)]
    {
        sparse::disk(path, bytes).map_err(|source| SpawnError::Prepare { path: path.clone(), source })?;
    }
    Ok(())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
