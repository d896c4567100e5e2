//! Everything that a tar's header can say, generated, through the writer and back by the product's own reader; and
//! what fsck.erofs thinks of it.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;

use super::super::read::{FileType, Reader};
use super::*;
use crate::tar::archive::header;

/// How a name too long for a header is written.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Pax,
    /// GNU's `L` and `K`.
    Gnu,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..=b'z', 1 => prop::num::u8::ANY];
    let length = prop_oneof![8 => 1usize..30, 2 => 90usize..110, 1 => 240usize..=255];
    length.prop_flat_map(move |length| prop::collection::vec(byte.clone(), length)).prop_map(|mut name| {
        for byte in &mut name {
            if matches!(*byte, 0 | b'/' | b'\n' | b'=') {
                *byte = b'_';
            }
        }
        // Neither a dot name nor a whiteout.
        if name[0] == b'.' {
            name[0] = b'x';
        }
        name
    })
}

fn xattrs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let key = prop::sample::select(vec![
        "user.a",
        "user.long.name",
        "trusted.t",
        "security.capability",
        "security.selinux",
        "system.posix_acl_access",
        "system.posix_acl_default",
    ]);
    let value = prop_oneof![6 => prop::collection::vec(any::<u8>(), 0..40), 1 => prop::collection::vec(any::<u8>(), 3000..5000)];
    prop::collection::btree_map(key, value, 0..4)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn spec() -> impl Strategy<Value = Spec> {
    let id = prop_oneof![0u32..70_000, any::<u32>()];
    let time = (-8_000_000_000i64..8_000_000_000, prop_oneof![Just(0u32), 0u32..1_000_000_000]);
    let kind = prop::sample::select(vec![b'0', b'0', b'0', b'2', b'3', b'4', b'5', b'6']);
    let size = prop_oneof![0usize..10, 2040usize..2060, 4000usize..4200, 10_000usize..20_000];
    let device = (0u32..4096, 0u32..1 << 20);
    let target = prop::collection::vec(1u8..=255, 1..300);
    (name(), kind, 0u32..0o10000, (id.clone(), id), time, size, device, target, xattrs()).prop_map(
        |(path, flag, mode, (uid, gid), mtime, size, device, target, xattrs)| Spec {
            path,
            flag,
            mode,
            uid,
            gid,
            mtime,
            data: if flag == b'0' { vec![size as u8; size] } else { Vec::new() },
            link: if flag == b'2' { target } else { Vec::new() },
            // Device 0/0 is overlayfs's whiteout.
            device: if matches!(flag, b'3' | b'4') {
                (device.0.max(1), device.1 & 0x1f_ffff)
            } else {
                (0, 0)
            },
            xattrs,
        },
    )
}

/// Test headers have room for seven octal digits.
fn add(archive: &mut Archive, spec: &Spec, dialect: Dialect) {
    if let Dialect::Gnu = dialect {
        for (flag, text) in [(b'L', &spec.path), (b'K', &spec.link)] {
            if text.len() > 100 {
                let text = [text.as_slice(), b"\0"].concat();
                archive.block(&header(&Spec::new(flag, "././@LongLink"), text.len() as u64));
                archive.data(&text);
            }
        }
    }
    archive.add(spec);
}

/// What fsck.erofs says, where it is installed.
fn checked(image: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.erofs");
    std::fs::write(&path, image).unwrap();
    let Ok(fsck) = Command::new("fsck.erofs").arg(&path).output() else { return Ok(()) };
    let said = String::from_utf8_lossy(&fsck.stderr).into_owned() + &String::from_utf8_lossy(&fsck.stdout);
    if fsck.status.success() && !said.contains("<E>") { Ok(()) } else { Err(said) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_a_tar_says_is_what_the_image_says(
        specs in prop::collection::vec((spec(), prop::sample::select(vec![Dialect::Pax, Dialect::Gnu])), 1..25),
    ) {
        let mut archive = Archive::default();
        let mut model: BTreeMap<Vec<u8>, Spec> = BTreeMap::new();
        for (spec, dialect) in specs {
            // A name that is there already has its own tests.
            if !model.contains_key(&spec.path) {
                add(&mut archive, &spec, dialect);
                model.insert(spec.path.clone(), spec);
            }
        }
        let image = image_of(&archive.end()).unwrap();
        prop_assert_eq!(checked(&image), Ok(()));
        let reader = Reader::open(image).unwrap();
        let root = reader.root().unwrap();
        for (path, spec) in &model {
            let inode = reader.lookup(&root, path).unwrap().expect("every name is found");
            let kind = match spec.flag {
                b'0' => FileType::File,
                b'2' => FileType::Symlink,
                b'3' => FileType::CharDevice,
                b'4' => FileType::BlockDevice,
                b'5' => FileType::Directory,
                _ => FileType::Fifo,
            };
            prop_assert_eq!(inode.file_type, kind);
            prop_assert_eq!(u32::from(inode.mode), spec.mode);
            prop_assert_eq!((inode.uid, inode.gid), (spec.uid, spec.gid));
            prop_assert_eq!((inode.mtime_s, inode.mtime_ns), spec.mtime);
            match kind {
                FileType::File => {
                    let mut contents = vec![0; spec.data.len() + 1];
                    let count = reader.read(&inode, 0, &mut contents).unwrap();
                    prop_assert_eq!(&contents[..count], &spec.data[..]);
                }
                FileType::Symlink => prop_assert_eq!(reader.link_target(&inode).unwrap(), spec.link.clone()),
                FileType::CharDevice | FileType::BlockDevice => prop_assert_eq!(inode.device(), Some(spec.device)),
                _ => {}
            }
            let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for xattr in reader.xattrs(&inode).unwrap() {
                found.push((xattr.name.to_vec(), reader.xattr_value(&xattr).unwrap()));
            }
            found.sort();
            let mut expected = spec.xattrs.clone();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
