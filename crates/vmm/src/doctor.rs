//! What `coracle doctor` says about the VM: looked up, not guessed, and put into words here.

use crate::owner::{choose_transport, verdicts};
use crate::{
    Accelerator, Capabilities, Choice, Finding, HostMeans, Hypervisor, Level, Verdict, VmConfig,
    free_disk_bytes,
};

/// With less room on the host's disk images cannot be pulled for long.
const SCARCE_DISK_BYTES: u64 = 5 << 30;
/// With less the first file that a container writes may be the last.
const NO_DISK_BYTES: u64 = 512 << 20;
/// What a host needs beside the VM.
const HOST_MEMORY_MIB: u64 = 512;

/// Looks at everything a VM needs, but [`host`].
pub(crate) async fn examine(config: &VmConfig, hypervisor: &dyn Hypervisor) -> Vec<Finding> {
    let mut findings = Vec::new();
    match hypervisor.capabilities().await {
        Ok(capabilities) => {
            findings.extend(qemu(&capabilities));
            let verdicts = verdicts(config, &capabilities.version);
            for (accelerator, offer) in hypervisor.accelerators() {
                let verdict = match offer {
                    Ok(()) => verdicts.of(accelerator),
                    Err(reason) => Verdict::Absent { reason },
                };
                findings.push(accelerator_finding(accelerator, &verdict));
            }
        }
        Err(reason) => findings.push(Finding {
            id: "vm.qemu".into(),
            level: Level::Error,
            title: "QEMU cannot be used".into(),
            detail: reason,
            fix: Some("Install QEMU 8.0 or newer.".into()),
            command: install_qemu(),
        }),
    }
    findings.extend(transports(config, hypervisor));
    findings.extend(folders(config));
    findings.push(image(config));
    findings
}

/// What changes by the minute, so looked at whenever somebody asks. Blocking, but short.
pub(crate) fn host(config: &VmConfig) -> Vec<Finding> {
    let found = [disk(config, free_disk_bytes(&config.data_disk)), memory(config, HostMeans::now())];
    found.into_iter().flatten().collect()
}

/// On Debian and its kin; elsewhere whoever reads it knows the way.
fn install_qemu() -> Option<String> {
    let apt = cfg!(target_os = "linux") && std::path::Path::new("/usr/bin/apt-get").exists();
    let package = if cfg!(target_arch = "aarch64") { "qemu-system-arm" } else { "qemu-system-x86" };
    if cfg!(target_os = "macos") {
        return Some("brew install qemu".into());
    }
    apt.then(|| format!("sudo apt-get install {package}"))
}

/// What serves folders of the host to the guest.
fn folders(config: &VmConfig) -> Option<Finding> {
    let program = crate::qemu::virtiofsd_path(&config.libexec);
    if !cfg!(target_os = "linux") {
        return None;
    }
    if program.is_file() {
        return Some(finding("vm.virtiofsd", Level::Ok, "virtiofsd found", program.display().to_string()));
    }
    Some(Finding {
        fix: Some("Install Coracle again, or set CORACLE_LIBEXEC to the folder where virtiofsd is.".into()),
        ..finding(
            "vm.virtiofsd",
            Level::Warn,
            "virtiofsd not found",
            format!(
                "{} is missing: folders of this computer cannot be mounted into containers",
                program.display()
            ),
        )
    })
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Nothing where the system does not tell.
fn disk(config: &VmConfig, free_bytes: Option<u64>) -> Option<Finding> {
    let free = free_bytes?;
    let (level, title) = match free {
        ..NO_DISK_BYTES => (Level::Error, "The disk is full"),
        NO_DISK_BYTES..SCARCE_DISK_BYTES => (Level::Warn, "The disk is nearly full"),
        _ => (Level::Ok, "There is room on the disk"),
    };
    let at = config.data_disk.display();
    let bad = level != Level::Ok;
    Some(Finding {
        fix: bad.then(|| "Remove what no container uses, or make room on this computer's disk.".into()),
        command: bad.then(|| "docker --context coracle system prune".into()),
        ..finding("host.disk", level, title, format!("{} free where {at} is", gib(free)))
    })
}

/// Nothing where the system does not tell.
fn memory(config: &VmConfig, host: HostMeans) -> Option<Finding> {
    let (all, free) = (host.memory_bytes?, host.memory_available_bytes?);
    let wants = format!("the VM may take up to {}", gib(config.memory_mib << 20));
    let detail = format!("{} of {} free; {wants}", gib(free), gib(all));
    if (config.memory_mib + HOST_MEMORY_MIB) << 20 <= all {
        return Some(finding("host.memory", Level::Ok, "There is memory for the VM", detail));
    }
    let fits = ((all >> 20) / 2).max(256);
    Some(Finding {
        fix: Some(format!("Give the VM less: {fits} MiB are half of this computer's memory.")),
        command: Some(format!("coracle settings memory_mib {fits}")),
        ..finding("host.memory", Level::Warn, "The VM's memory is more than this computer can spare", detail)
    })
}

fn finding(id: &str, level: Level, title: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { id: id.to_owned(), level, title: title.into(), detail: detail.into(), fix: None, command: None }
}

fn qemu(capabilities: &Capabilities) -> [Finding; 2] {
    let sandbox = match &capabilities.sandbox {
        Ok(flags) => {
            finding("vm.sandbox", Level::Ok, "QEMU runs in its sandbox", format!("-sandbox {flags}"))
        }
        Err(reason) => finding("vm.sandbox", Level::Warn, "QEMU runs without its sandbox", reason.clone()),
    };
    [
        finding(
            "vm.qemu",
            Level::Ok,
            format!("QEMU {}", capabilities.version),
            capabilities.program.display().to_string(),
        ),
        sandbox,
    ]
}

fn accelerator_finding(accelerator: Accelerator, verdict: &Verdict) -> Finding {
    let id = format!("vm.accelerator.{accelerator}");
    match verdict {
        Verdict::Works { hello_ms } => finding(
            &id,
            Level::Ok,
            format!("{accelerator} works"),
            format!("a guest said hello {hello_ms} ms after QEMU's start"),
        ),
        Verdict::Untried => {
            finding(&id, Level::Ok, format!("{accelerator} not tried yet"), "the next start may try it")
        }
        Verdict::Absent { reason } => Finding {
            fix: (accelerator == Accelerator::Kvm).then(|| {
                "Enable virtualization in the firmware, load the kvm module, join the group kvm.".into()
            }),
            command: (accelerator == Accelerator::Kvm)
                .then(|| "sudo modprobe -a kvm kvm_intel kvm_amd; sudo usermod -aG kvm \"$USER\"".into()),
            ..finding(&id, Level::Warn, format!("{accelerator} is not there"), reason.clone())
        },
        Verdict::Fails { reason } => Finding {
            fix: Some("After changing the host, try it again.".into()),
            command: Some("coracle vm reprobe && coracle vm restart".into()),
            ..finding(&id, Level::Warn, format!("{accelerator} does not run guests"), reason.clone())
        },
    }
}

fn transports(config: &VmConfig, hypervisor: &dyn Hypervisor) -> Vec<Finding> {
    let offered = hypervisor.transports();
    let passed_over: Vec<String> = offered
        .iter()
        .filter_map(|(kind, offer)| offer.as_ref().err().map(|reason| format!("{kind}: {reason}")))
        .collect();
    let detail = if passed_over.is_empty() { "the first choice".to_owned() } else { passed_over.join("; ") };
    let chosen = match choose_transport(hypervisor, config.transport) {
        Ok(kind) => {
            let how = if config.transport == Choice::Auto { "chosen" } else { "set" };
            finding("vm.transport", Level::Ok, format!("host and guest speak by {kind} ({how})"), detail)
        }
        Err(reason) => finding("vm.transport", Level::Error, "host and guest cannot speak", reason),
    };
    let helper = crate::qemu::daemon_path(&config.libexec);
    let helpers = if helper.is_file() {
        finding("vm.helpers", Level::Ok, "helper programs found", helper.display().to_string())
    } else {
        let detail = format!(
            "{} is missing; the slower serial transport is used where it is needed",
            helper.display()
        );
        finding("vm.helpers", Level::Warn, "vhost-device-vsock not found", detail)
    };
    vec![chosen, helpers]
}

fn image(config: &VmConfig) -> Finding {
    let missing: Vec<&str> = ["vmlinux", "initramfs.img", "root.erofs"]
        .into_iter()
        .filter(|name| !config.assets.join(name).is_file())
        .collect();
    if missing.is_empty() {
        return finding("vm.image", Level::Ok, "VM image found", config.assets.display().to_string());
    }
    Finding {
        fix: Some("Build it with `cargo xtask vm-image`, or set CORACLE_ASSETS to where it is.".into()),
        ..finding(
            "vm.image",
            Level::Error,
            "VM image incomplete",
            format!("{} lacks {}", config.assets.display(), missing.join(", ")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_and_memory_are_judged() {
        let config = VmConfig { memory_mib: 2048, ..VmConfig::below("/h".as_ref(), "a".into(), "l".into()) };
        for (free, level) in [(100 << 20, Level::Error), (1 << 30, Level::Warn), (50 << 30, Level::Ok)] {
            let found = disk(&config, Some(free)).unwrap();
            assert_eq!((found.level, found.command.is_some()), (level, level != Level::Ok), "{found:?}");
        }
        assert_eq!(disk(&config, None), None);
        let host = |gib: u64| HostMeans {
            memory_bytes: Some(gib << 30),
            memory_available_bytes: Some(1 << 30),
            cpus: 2,
        };
        assert_eq!(memory(&config, host(8)).unwrap().level, Level::Ok);
        let tight = memory(&config, host(2)).unwrap();
        assert_eq!(tight.level, Level::Warn);
        assert_eq!(tight.command.as_deref(), Some("coracle settings memory_mib 1024"));
        assert_eq!(memory(&config, HostMeans::default()), None);
    }

    #[test]
    fn a_missing_virtiofsd_is_told() {
        let libexec = tempfile::tempdir().unwrap();
        let config = VmConfig::below("/h".as_ref(), "a".into(), libexec.path().to_owned());
        let Some(found) = folders(&config) else { return };
        assert!(found.level == Level::Warn && found.fix.is_some(), "{found:?}");
        std::fs::write(crate::qemu::virtiofsd_path(libexec.path()), "").unwrap();
        assert_eq!(folders(&config).unwrap().level, Level::Ok);
    }
}
