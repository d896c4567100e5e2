//! The initramfs: the agent as `/init`, its modules, and in the debug flavour a shell.
//!
//! It is stored uncompressed: without hardware virtualisation the guest's decompression costs more than it saves
//! (docs/vm-image.md has the figures).

use super::{cpio::Cpio, modules::Modules};
use crate::process;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Run and re-run on the console by the agent of the debug flavour.
const CONSOLE_SHELL: &str = "/bin/busybox setsid /bin/busybox cttyhack /bin/busybox sh\n";

/// The archive.
pub(crate) fn bytes(agent: &Path, modules: &Modules, shell: Option<&Path>) -> Result<Vec<u8>> {
    let mut cpio = Cpio::default();
    for folder in ["dev", "etc", "proc", "run", "sys", "tmp"] {
        cpio.folder(folder);
    }
    // The kernel opens the console for init before anything is mounted.
    cpio.device("dev/console", 0o600, 5, 1);
    cpio.device("dev/null", 0o666, 1, 3);
    let agent = std::fs::read(agent).with_context(|| format!("cannot read {}", agent.display()))?;
    cpio.file("init", 0o755, agent);
    for (name, body) in &modules.files {
        cpio.file(&format!("lib/modules/{name}.ko"), 0o644, body.clone());
    }
    cpio.file("lib/modules/coracle.list", 0o644, modules.list().into_bytes());
    if let Some(busybox) = shell {
        cpio.file("bin/busybox", 0o755, std::fs::read(busybox)?);
        for applet in applets(busybox)? {
            cpio.link(&format!("bin/{applet}"), "busybox");
        }
        cpio.file("etc/coracle/console-shell", 0o644, CONSOLE_SHELL.into());
    }
    cpio.bytes()
}

/// The names that a busybox answers to.
pub(crate) fn applets(busybox: &Path) -> Result<Vec<String>> {
    let list = process::text(Command::new(busybox).arg("--list"))?;
    Ok(list.lines().filter(|name| *name != "busybox").map(str::to_owned).collect())
}
