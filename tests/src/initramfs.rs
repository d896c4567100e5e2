//! Another init in the VM image's initramfs.

/// The VM image's initramfs with `init` in place of its own.
///
/// The kernel unpacks archives that follow each other, and a later file replaces an earlier one of the same name
/// (Documentation/driver-api/early-userspace/buffer-format.rst), so the modules stay what the image ships.
#[must_use]
pub fn with_init(image: &[u8], init: &[u8]) -> Vec<u8> {
    const PROGRAM: u32 = 0o100_755;
    let mut archive = image.to_vec();
    pad(&mut archive);
    entry(&mut archive, "init", PROGRAM, init);
    entry(&mut archive, "TRAILER!!!", 0, &[]);
    archive
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, body: &[u8]) {
    let (size, name_size) = (body.len() as u64, name.len() as u64 + 1);
    // inode, mode, uid, gid, links, mtime, size, device and its kind (2 + 2), name's size, checksum
    let fields = [0, mode.into(), 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend(b"070701");
    archive.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
    archive.extend(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend(body);
    pad(archive);
}

/// Names and bodies start at multiples of four.
fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
