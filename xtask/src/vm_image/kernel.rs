//! The uncompressed kernel out of a bzImage: QEMU boots the ELF inside directly, which saves the guest its own
//! decompression (the slowest part of a start without hardware virtualisation).

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// Numbers of the boot protocol (Documentation/arch/x86/boot.rst).
const SETUP_SECTORS: usize = 0x1f1;
const SIGNATURE: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The ELF in the one `boot/vmlinuz-*` of an unpacked kernel package.
pub(crate) fn vmlinux(package: &Path) -> Result<Vec<u8>> {
    let boot = package.join("boot");
    let entries = std::fs::read_dir(&boot).with_context(|| format!("cannot list {}", boot.display()))?;
    let mut found = None;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("vmlinuz-") {
            found = Some(entry.path());
        }
    }
    let path = found.with_context(|| format!("{} holds no vmlinuz", boot.display()))?;
    let image = std::fs::read(&path)?;
    let elf = payload(&image).and_then(unzstd).with_context(|| path.display().to_string())?;
    if !elf.starts_with(b"\x7fELF") {
        bail!("the payload of {} is no ELF file", path.display());
    }
    Ok(elf)
}

/// The compressed kernel inside a bzImage, and the size that it says it has uncompressed.
fn payload(image: &[u8]) -> Result<(&[u8], u32)> {
    if image.get(SIGNATURE..SIGNATURE + 4) != Some(b"HdrS") {
        bail!("no boot protocol header");
    }
    let number = |at: usize| -> Result<u32> {
        let bytes = image.get(at..at + 4).context("the header is cut short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    let sectors = usize::from(*image.get(SETUP_SECTORS).context("the header is cut short")?);
    let start = (sectors + 1) * 512 + usize::try_from(number(PAYLOAD_OFFSET)?)?;
    // The kernel's build appends the uncompressed size to the compressed bytes.
    let end = start + usize::try_from(number(PAYLOAD_LENGTH)?)?;
    let body = image.get(start..end.saturating_sub(4)).context("the payload is cut short")?;
    if !body.starts_with(&ZSTD) {
        bail!("the payload is not compressed by zstd");
    }
    Ok((body, number(end - 4)?))
}

fn unzstd((body, size): (&[u8], u32)) -> Result<Vec<u8>> {
    let bytes = filter(Command::new("zstd").args(["-dcq"]), body)?;
    if u32::try_from(bytes.len()) != Ok(size) {
        bail!("the kernel is {} bytes, its header says {size}", bytes.len());
    }
    Ok(bytes)
}

/// Runs bytes through a program.
pub(crate) fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut file, input)?;
    std::io::Seek::rewind(&mut file)?;
    let name = process::shown(command);
    let done = command
        .stdin(Stdio::from(file))
        .output()
        .with_context(|| format!("cannot start `{name}`: install its package"))?;
    if !done.status.success() {
        bail!("`{name}`: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(done.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let mut image = vec![0; 0x400 + 16];
        image[SETUP_SECTORS] = 1;
        image[SIGNATURE..SIGNATURE + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET] = 4;
        image[PAYLOAD_LENGTH] = 12;
        image[0x404..0x408].copy_from_slice(&ZSTD);
        image[0x40c] = 77;
        image
    }

    #[test]
    fn finds_the_payload() {
        let image = image();
        let (body, size) = payload(&image).unwrap();
        assert_eq!((body, size), (&image[0x404..0x40c], 77));
    }

    #[test]
    fn refuses_what_is_no_kernel() {
        assert!(payload(b"short").is_err());
        let mut cut = image();
        cut.truncate(0x406);
        assert!(payload(&cut).is_err());
        let mut gzip = image();
        gzip[0x404] = 0x1f;
        assert!(payload(&gzip).is_err());
    }
}
