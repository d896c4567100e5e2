//! A VM that nobody owns any more (after [`crate::Vm::detach`]) moves to another owner's folder, who finds it there as he
//! would find one that an earlier coracled left.
//!
//! QEMU keeps what it has open, so files and sockets are renamed under it. A move that breaks off leaves the VM and its
//! record in the old folder or the new one, never in both.

use std::{fs, io};

use crate::process::host_boot_id;
use crate::{Record, VmConfig, owner};

/// Moves run folder and data disk. The log folder must lie in the run folder, and nothing at the new places. The VM's own
/// sizes are what they are.
///
/// # Errors
/// There is no such VM, or what the system said.
pub fn hand_over(from: &VmConfig, to: &VmConfig) -> io::Result<()> {
    let (from, to) = (from.clone().absolute(), to.clone().absolute());
    let record = Record::load(&from.run_dir, &host_boot_id()).ok_or(io::ErrorKind::NotFound)?;
    let record = Record { run_dir: to.run_dir.clone(), console_log: owner::console_log(&to), ..record };
    for place in [&to.run_dir, &to.data_disk] {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
    }
    fs::rename(&from.data_disk, &to.data_disk)?;
    if let Err(error) = fs::rename(&from.run_dir, &to.run_dir) {
        fs::rename(&to.data_disk, &from.data_disk)?;
        return Err(error);
    }
    // Until this is written the record names processes well and sockets wrongly: whoever attaches ends the VM.
    record.store()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accelerator, ProcessId};

    #[test]
    fn a_vm_moves_with_all_its_files() {
        let home = tempfile::tempdir().unwrap();
        let config = |name: &str| {
            let run_dir = home.path().join("run").join(name);
            VmConfig {
                log_dir: run_dir.join("log"),
                run_dir,
                data_disk: home.path().join("disks").join(name),
                ..VmConfig::below(home.path(), "assets".into(), "libexec".into())
            }
        };
        let (from, to) = (config("spare"), config("own"));
        assert_eq!(hand_over(&from, &to).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir_all(&from.log_dir).unwrap();
        fs::create_dir_all(home.path().join("disks")).unwrap();
        fs::write(&from.data_disk, "data").unwrap();
        fs::write(from.log_dir.join("console.log"), "said").unwrap();
        let record = Record {
            version: Record::VERSION,
            host_boot_id: host_boot_id(),
            qemu: Some(ProcessId { pid: 10, start_ticks: 20 }),
            daemon: None,
            accelerator: Accelerator::Tcg,
            transport: transport::Kind::Serial,
            run_dir: from.run_dir.clone(),
            console_log: from.log_dir.join("console.log"),
            since_unix_ms: 5,
            shares: Vec::new(),
            shared: 0,
            memory_mib: None,
            cpus: None,
        };
        record.store().unwrap();
        hand_over(&from, &to).unwrap();
        let moved = Record::load(&to.run_dir, &host_boot_id()).unwrap();
        assert_eq!((moved.qemu, &moved.run_dir), (record.qemu, &to.run_dir));
        assert_eq!(fs::read(&moved.console_log).unwrap(), b"said");
        assert_eq!(fs::read(&to.data_disk).unwrap(), b"data");
        assert!(!from.run_dir.exists() && !from.data_disk.exists());
    }
}
