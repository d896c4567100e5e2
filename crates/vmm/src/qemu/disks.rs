//! Plugging disks in and out of a live QEMU: one block node and one device in a spare port for each.
//!
//! Invariant: a disk stands in the machine's record before it is plugged in, so that the next coracled knows what may be
//! in the guest.

use std::path::Path;

use qapi::qmp;

use super::command_line::SPARE_PORTS;
use super::machine::{QemuMachine, UnplugError};
use crate::{Disk, DiskError, RepairError};

const DRIVER: &str = "virtio-blk-pci";

fn device(disk: &Disk) -> String {
    format!("dev-{}", disk.serial)
}

fn node(disk: &Disk) -> String {
    format!("disk-{}", disk.serial)
}

fn refused(disk: &Disk, command: &'static str) -> impl Fn(RepairError) -> DiskError {
    move |error| DiskError::Control {
        file: disk.file.clone(),
        command,
        detail: match error {
            RepairError::Control { detail, .. } => detail,
            other => crate::error::chain(&other),
        },
    }
}

impl QemuMachine {
    /// Done when the guest can find it; a disk that is there already is fine.
    pub(super) async fn add_disk(&mut self, file: &Path, serial: &str) -> Result<(), DiskError> {
        if let Some(known) = self.record.disks.iter().find(|disk| disk.serial == serial) {
            if self.is_there(&device(known)).await {
                return Ok(());
            }
            // What an interrupted attempt has left.
            self.take_disk_out(&known.clone()).await?;
        }
        let port = self.free_port().await.ok_or(DiskError::Full)?;
        let disk = Disk { serial: serial.to_owned(), file: file.to_owned(), port };
        self.record.disks.push(disk.clone());
        let plugged = match self.store_disks(&disk) {
            Ok(()) => self.put_in(&disk).await,
            Err(error) => Err(error),
        };
        if plugged.is_err()
            && let Err(trouble) = self.take_disk_out(&disk).await
        {
            tracing::warn!(serial, %trouble, "half a disk stays");
        }
        plugged
    }

    async fn put_in(&self, disk: &Disk) -> Result<(), DiskError> {
        let node = qmp::BlockdevOptions::file {
            base: qmp::BlockdevOptionsBase {
                node_name: Some(node(disk)),
                discard: Some(qmp::BlockdevDiscardOptions::unmap),
                auto_read_only: None,
                cache: None,
                detect_zeroes: None,
                force_share: None,
                read_only: None,
            },
            file: qmp::BlockdevOptionsFile {
                filename: disk.file.to_string_lossy().into_owned(),
                aio: None,
                aio_max_batch: None,
                drop_cache: None,
                locking: None,
                pr_manager: None,
                x_check_cache_dropped: None,
            },
        };
        let added = self.run("blockdev-add", qmp::blockdev_add(node)).await;
        added.map_err(|error| match error {
            RepairError::Control { detail, .. } if detail.contains("lock") => {
                DiskError::Locked { file: disk.file.clone() }
            }
            error => refused(disk, "blockdev-add")(error),
        })?;
        let properties = [
            ("drive".to_owned(), self::node(disk).into()),
            ("serial".to_owned(), disk.serial.clone().into()),
        ];
        let device = qmp::device_add::new(DRIVER, device(disk), format!("spare{}", disk.port), properties);
        self.run("device_add", device).await.map(drop).map_err(refused(disk, "device_add"))
    }

    /// Takes a disk away from the guest, which must have unmounted it; one that is not there is fine.
    pub(super) async fn remove_disk(&mut self, serial: &str) -> Result<(), DiskError> {
        match self.record.disks.iter().find(|disk| disk.serial == serial).cloned() {
            Some(disk) => self.take_disk_out(&disk).await,
            None => Ok(()),
        }
    }

    /// Device, block node, record, in this order.
    async fn take_disk_out(&mut self, disk: &Disk) -> Result<(), DiskError> {
        if self.is_there(&device(disk)).await {
            self.unplug_device(&device(disk)).await.map_err(|error| match error {
                UnplugError::Late(patience) => {
                    DiskError::Unplug { file: disk.file.clone(), seconds: patience.as_secs() }
                }
                UnplugError::Control(detail) => {
                    DiskError::Control { file: disk.file.clone(), command: "device_del", detail }
                }
            })?;
        }
        match self.run("blockdev-del", qmp::blockdev_del { node_name: node(disk) }).await {
            Ok(_) => {}
            Err(RepairError::Control { detail, .. }) if detail.contains("Failed to find node") => {}
            Err(error) => return Err(refused(disk, "blockdev-del")(error)),
        }
        self.record.disks.retain(|other| other.serial != disk.serial);
        self.store_disks(disk)
    }

    /// A port that neither a folder of the host nor a disk is in. A copy has fewer than a VM that booted.
    pub(super) async fn free_port(&self) -> Option<u32> {
        let taken = |port| {
            let shares = self.record.shares.iter().map(|share| share.port);
            shares.chain(self.record.disks.iter().map(|disk| disk.port)).any(|its| its == port)
        };
        for port in (1..=SPARE_PORTS).filter(|&port| !taken(port)) {
            if self.is_there(&format!("spare{port}")).await {
                return Some(port);
            }
        }
        None
    }

    /// Whether QEMU has a device of this name.
    pub(super) async fn is_there(&self, device: &str) -> bool {
        let path = format!("/machine/peripheral/{device}");
        self.run("qom-list", qmp::qom_list { path }).await.is_ok()
    }

    fn store_disks(&self, disk: &Disk) -> Result<(), DiskError> {
        self.record
            .store()
            .map_err(|error| DiskError::Record { file: disk.file.clone(), detail: error.to_string() })
    }
}
