//! Volumes that are disks of their own: what was plugged in is mounted below `/run/coracle/d`, and unmounted before it is
//! unplugged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_proto::v1::error_detail::Code;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::agent::disks;
use crate::agent::failure::Failure;
use crate::agent::guest::blocking;
use crate::agent::mounted::{device_of, used_elsewhere};
use crate::paths;

const LOOK: Duration = Duration::from_millis(5);
/// Processes of a container that has just ended let go of their mounts a little later.
const BUSY_DEADLINE: Duration = Duration::from_millis(500);

/// Where the disk is mounted.
pub(super) fn place(serial: &str) -> Result<PathBuf, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if serial.is_empty() || serial.len() > 20 || !serial.bytes().all(plain) {
        return Err(Failure::new(Code::BadSpec, format_args!("not a disk's serial: {serial:?}")));
    }
    Ok(Path::new(paths::RUN).join("d").join(serial))
}

/// Mounts what was just plugged in; an empty disk is formatted. Done when it is mounted.
pub(crate) async fn mount(serial: &str) -> Result<(), Failure> {
    let place = place(serial)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Code::DataDisk, format_args!("volume's disk {serial}: {error}"))
    };
    let device = disks::appear(serial).await.map_err(|error| failed(&error))?;
    fs::create_dir_all(&place).map_err(|error| failed(&error))?;
    let mounted = blocking(move || Ok(disks::mount_ext4(&device, &place))).await?;
    mounted.map_err(|error| failed(&error))
}

/// Unmounts it, unless a container has something of it mounted; done when it is not mounted.
pub(crate) async fn unmount(serial: &str) -> Result<(), Failure> {
    let place = place(serial)?;
    let deadline = Instant::now() + BUSY_DEADLINE;
    loop {
        let at = place.clone();
        match blocking(move || Ok(let_go(&at))).await? {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            Err(Errno::EBUSY) => {
                return Err(Failure::new(Code::Busy, format_args!("volume's disk {serial} is in use")));
            }
            Err(error) => {
                return Err(Failure::internal(&format!("unmount the volume's disk {serial}"), error));
            }
        }
    }
}

fn let_go(place: &Path) -> nix::Result<()> {
    if let Some(device) = device_of(place) {
        if used_elsewhere(&device) {
            return Err(Errno::EBUSY);
        }
        umount2(place, MntFlags::empty())?;
    }
    let _ = fs::remove_dir(place);
    Ok(())
}
