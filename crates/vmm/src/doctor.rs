//! What `coracle doctor` says about the VM: looked up, not guessed, and put into words here.

use crate::owner::{choose_transport, verdicts};
use crate::{Accelerator, Capabilities, Choice, Finding, Hypervisor, Level, Verdict, VmConfig};

/// Looks at everything a VM needs.
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
            fix: Some("Install QEMU 8.0 or newer (Debian: apt-get install qemu-system-x86).".into()),
        }),
    }
    findings.extend(transports(config, hypervisor));
    findings.push(image(config));
    findings
}

fn finding(id: &str, level: Level, title: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { id: id.to_owned(), level, title: title.into(), detail: detail.into(), fix: None }
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
            ..finding(&id, Level::Warn, format!("{accelerator} is not there"), reason.clone())
        },
        Verdict::Fails { reason } => Finding {
            fix: Some(
                "After changing the host, try it again: POST /coracle/vm/reprobe, then start the VM.".into(),
            ),
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
