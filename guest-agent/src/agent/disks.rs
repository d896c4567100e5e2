//! The VM's disks, known by their serials: `root` (tools), `layers` (read-only, mapped piecewise) and `data`
//! (ext4, the only thing in the guest that outlives a boot).
//!
//! Disks of volumes (agent::volumes) are made ready as the data disk is. One is formatted only when its first blocks are all zeroes; anything else that is not ext4 is an
//! error, never overwritten.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use crate::agent::mounted::is_mounted;
use crate::{paths, sys};

/// How long a disk may take to appear after its driver is loaded, or after it was plugged in.
const APPEAR: Duration = Duration::from_secs(10);

/// Why a disk is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// No such device.
    #[error("no disk with serial {0}")]
    Missing(String),
    /// It holds something else.
    #[error("the disk is neither empty nor ext4; it is left alone")]
    Foreign,
    /// A program of root.erofs failed.
    #[error("{program} failed ({status}): {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its last words.
        output: String,
    },
    /// A step failed.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn step<T, E: Into<io::Error>>(what: &'static str, result: Result<T, E>) -> Result<T, DiskError> {
    result.map_err(|source| DiskError::Io { what, source: source.into() })
}

/// The device with this serial, if it is there.
pub(crate) fn find(serial: &str) -> Option<PathBuf> {
    fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let its = fs::read_to_string(entry.path().join("serial")).ok()?;
        (its.trim() == serial).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

/// Waits for the device with this serial.
pub(crate) async fn appear(serial: &str) -> Result<PathBuf, DiskError> {
    let deadline = Instant::now() + APPEAR;
    loop {
        match find(serial) {
            Some(device) if device.exists() => return Ok(device),
            _ if Instant::now() > deadline => return Err(DiskError::Missing(serial.to_owned())),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Major and minor number of a device node.
pub(crate) fn numbers(device: &Path) -> io::Result<(u64, u64)> {
    let number = fs::metadata(device)?.rdev();
    Ok((nix::sys::stat::major(number), nix::sys::stat::minor(number)))
}

/// Mounts root.erofs, whose programs the data disk may need.
pub(crate) fn mount_tools(device: &Path) -> Result<(), DiskError> {
    if is_mounted(paths::TOOLS) {
        return Ok(());
    }
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
    step("mount root.erofs", mount(Some(device), paths::TOOLS, Some("erofs"), flags, None::<&str>))?;
    let dev = Path::new(paths::TOOLS).join("dev");
    step("bind /dev for the tools", mount(Some("/dev"), &dev, None::<&str>, MsFlags::MS_BIND, None::<&str>))
}

fn run_tool(program: &'static str, arguments: &[&str], device: &Path) -> Result<i32, DiskError> {
    let mut command = Command::new(program);
    command.args(arguments).arg(device).env_clear().env("PATH", "/usr/sbin:/usr/bin");
    sys::chroot(&mut command, c"/run/coracle/root");
    let output = step(program, command.output())?;
    match output.status.code() {
        Some(code @ 0..4) => Ok(code),
        _ => Err(DiskError::Program {
            program,
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

/// What the first blocks of a disk say.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Empty,
    Ext4 { clean: bool, size_bytes: u64, block_bytes: u64 },
    Foreign,
}

fn inspect(head: &[u8]) -> Content {
    let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    const SUPERBLOCK: usize = 1024;
    if u16_at(SUPERBLOCK + 0x38) == 0xef53 {
        let state = u16_at(SUPERBLOCK + 0x3a);
        let block_bytes = 1024u64 << u32_at(SUPERBLOCK + 0x18).min(6);
        let blocks = u64::from(u32_at(SUPERBLOCK + 4)) | u64::from(u32_at(SUPERBLOCK + 0x150)) << 32;
        const RECOVER: u32 = 4;
        let journal_is_empty = u32_at(SUPERBLOCK + 0x60) & RECOVER == 0;
        // Valid, no error noted, and unmounted.
        let clean = state & 3 == 1 && journal_is_empty;
        return Content::Ext4 { clean, size_bytes: blocks * block_bytes, block_bytes };
    }
    if head.iter().all(|&byte| byte == 0) { Content::Empty } else { Content::Foreign }
}

/// Formats an empty data disk, and forgets what was read of it: it may be another when it is mounted.
pub(crate) fn format_data(device: &Path) -> Result<(), DiskError> {
    if is_mounted(paths::DATA) {
        return Ok(());
    }
    let file = step("open the data disk", File::options().read(true).open(device))?;
    if inspect(&head(&file)?) == Content::Empty {
        format(device)?;
    }
    step("flush the data disk", file.sync_all())?;
    step("forget the data disk", sys::forget_blocks(&file))
}

/// The first blocks of a disk.
fn head(file: &File) -> Result<Vec<u8>, DiskError> {
    let mut head = vec![0; 64 * 1024];
    step("read the disk", file.read_exact_at(&mut head, 0))?;
    Ok(head)
}

/// Makes the data disk ready and mounts it.
pub(crate) fn mount_data(device: &Path) -> Result<(), DiskError> {
    mount_ext4(device, Path::new(paths::DATA))?;
    for dir in ["containers", "volumes", "trash"] {
        step("folders of the data disk", fs::create_dir_all(Path::new(paths::DATA).join(dir)))?;
    }
    Ok(())
}

/// Mounts a disk: formats an empty one, checks one with errors, grows a grown one. Done when something is mounted there.
pub(crate) fn mount_ext4(device: &Path, place: &Path) -> Result<(), DiskError> {
    if is_mounted(place) {
        return Ok(());
    }
    let file = step("open the disk", File::options().read(true).open(device))?;
    let device_bytes = step("size of the disk", sys::block_size(&file))?;
    let head = head(&file)?;
    match inspect(&head) {
        Content::Empty => format(device)?,
        Content::Foreign => return Err(DiskError::Foreign),
        Content::Ext4 { clean: false, .. } => {
            repair(device)?;
        }
        Content::Ext4 { .. } => {}
    }
    drop(file);
    // noinit_itable: the background zeroing of inode tables would fill the host's sparse file.
    let options = Some("discard,noinit_itable,errors=remount-ro,commit=15");
    let flags = MsFlags::MS_NOATIME | MsFlags::MS_NODEV;
    step("mount the disk", mount(Some(device), place, Some("ext4"), flags, options))?;
    if let Content::Ext4 { size_bytes, block_bytes, .. } = inspect(&head) {
        // Less than a block group more is not worth it.
        if device_bytes > size_bytes + (128 << 20) {
            let root = step("open the disk's root", File::open(place))?;
            step("grow the disk", sys::resize_ext4(&root, device_bytes / block_bytes))?;
        }
    }
    Ok(())
}

/// Replays the journal, and mends what that leaves broken.
fn repair(device: &Path) -> Result<(), DiskError> {
    match run_tool("/usr/sbin/e2fsck", &["-p"], device) {
        Ok(code) => {
            tracing::warn!(device = %device.display(), code, "a disk was not unmounted; e2fsck has checked it");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(device = %device.display(), %error, "a disk needs repair");
            let code = run_tool("/usr/sbin/e2fsck", &["-y", "-f"], device)?;
            tracing::warn!(device = %device.display(), code, "e2fsck has repaired a disk");
            Ok(())
        }
    }
}

fn format(device: &Path) -> Result<(), DiskError> {
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "0",
        "-i",
        "65536",
        "-J",
        "size=64",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard,packed_meta_blocks=1",
    ];
    run_tool("/usr/sbin/mke2fs", &arguments, device).map(drop)
}

/// Total and free bytes of the data disk; zeroes while it is not mounted.
pub(crate) fn usage() -> (u64, u64) {
    if !is_mounted(paths::DATA) {
        return (0, 0);
    }
    nix::sys::statvfs::statvfs(paths::DATA).map_or((0, 0), |stat| {
        (stat.blocks() * stat.fragment_size(), stat.blocks_available() * stat.fragment_size())
    })
}

/// Deletes what RemoveContainer has put aside; what a power cut has left, too.
pub(crate) fn empty_trash() {
    let trash = Path::new(paths::DATA).join("trash");
    let mut deleted = false;
    for entry in fs::read_dir(trash).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "not deleted");
        }
        deleted = true;
    }
    // The host gets the room back with the journal's next commit, which need not wait for its turn.
    if deleted && let Ok(disk) = File::open(paths::DATA) {
        let _ = nix::unistd::syncfs(&disk);
    }
}

/// MemTotal and MemAvailable in bytes.
pub(crate) fn memory() -> (u64, u64) {
    let mut text = String::new();
    let _ = File::open("/proc/meminfo").and_then(|mut file| file.read_to_string(&mut text));
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    };
    (field("MemTotal:").unwrap_or(0), field("MemAvailable:").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_formatted_only_when_empty() {
        let mut head = vec![0; 65536];
        assert_eq!(inspect(&head), Content::Empty);
        head[0] = 1;
        assert_eq!(inspect(&head), Content::Foreign);
        head[1024 + 0x38..1024 + 0x3a].copy_from_slice(&0xef53u16.to_le_bytes());
        head[1024 + 0x18] = 2;
        head[1024 + 4] = 10;
        head[1024 + 0x3a] = 1;
        let wanted = Content::Ext4 { clean: true, size_bytes: 40960, block_bytes: 4096 };
        assert_eq!(inspect(&head), wanted);
        head[1024 + 0x60] = 4;
        assert!(matches!(inspect(&head), Content::Ext4 { clean: false, .. }));
        head[1024 + 0x60] = 0;
        head[1024 + 0x3a] = 3;
        assert!(matches!(inspect(&head), Content::Ext4 { clean: false, .. }));
    }
}
