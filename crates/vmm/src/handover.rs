//! The files of a running VM move to another owner's folder.
//!
//! QEMU keeps what it has open, so files and sockets are renamed under it. A move that breaks off, coracled killed in the
//! middle of it, leaves the VM and its record in the old folder or the new one, never in both; whoever finds a record that
//! names the other folder ends the VM.

use std::{fs, io};

use crate::{Record, VmConfig, owner};

/// Moves run folder and data disk. The log folder must lie in the run folder, and nothing at the new places. Gives the
/// machine's record as it is from here on.
///
/// # Errors
/// What the system said; then all is where it was.
pub(crate) fn hand_over(record: Record, from: &VmConfig, to: &VmConfig) -> io::Result<Record> {
    let record = Record { run_dir: to.run_dir.clone(), console_log: owner::console_log(to), ..record };
    for place in [&to.run_dir, &to.data_disk] {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
    }
    fs::rename(&from.data_disk, &to.data_disk)?;
    let moved = fs::rename(&from.run_dir, &to.run_dir).and_then(|()| {
        record.store().or_else(|error| fs::rename(&to.run_dir, &from.run_dir).and(Err(error)))
    });
    match moved {
        Ok(()) => Ok(record),
        Err(error) => fs::rename(&to.data_disk, &from.data_disk).and(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::host_boot_id;
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
        fs::create_dir_all(&from.log_dir).unwrap();
        fs::create_dir_all(home.path().join("disks")).unwrap();
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
            disks: Vec::new(),
            memory_mib: None,
            cpus: None,
        };
        record.store().unwrap();
        let refused = hand_over(record.clone(), &from, &to).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        fs::write(&from.data_disk, "data").unwrap();
        fs::create_dir_all(to.run_dir.join("taken")).unwrap();
        hand_over(record.clone(), &from, &to).unwrap_err();
        assert!(from.data_disk.exists(), "back where it was");
        fs::remove_dir_all(&to.run_dir).unwrap();

        hand_over(record.clone(), &from, &to).unwrap();
        let moved = Record::load(&to.run_dir, &host_boot_id()).unwrap();
        assert_eq!((moved.qemu, &moved.run_dir), (record.qemu, &to.run_dir));
        assert_eq!(fs::read(&moved.console_log).unwrap(), b"said");
        assert_eq!(fs::read(&to.data_disk).unwrap(), b"data");
        assert!(!from.run_dir.exists() && !from.data_disk.exists());
    }
}
