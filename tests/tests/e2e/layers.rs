//! A Debian root under a layer of everything that a tar can say, seen three ways: by the tars themselves, by
//! `/coracle/images/…` with the VM off, and by the guest's kernel.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, Instant};

use client::{Client, FileType, FilesQuery, VmStatus};
use coracle_e2e::{Host, Image, Layer, Registry};
use serde_json::json;
use types::Digest;

type Path = Vec<u8>;

/// What all views must agree on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stat {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    time: String,
    links: u32,
    target: Path,
    device: (u64, u64),
    xattrs: Vec<String>,
}

const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// All that tars can say and Debian's do not.
fn nasty() -> Layer {
    use tar::EntryType;
    Layer::new(|archive| {
        let header = |kind, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_mode(0o644);
            header.set_mtime(1_234_567_890);
            header
        };
        let mut directory = header(EntryType::Directory, 0);
        directory.set_mode(0o2750);
        archive.append_data(&mut directory, "nasty", &b""[..]).unwrap();
        let mut owned = header(EntryType::Regular, 5);
        owned.set_uid(70_000);
        owned.set_gid(3_000_000_000);
        owned.set_mode(0o4711);
        archive.append_data(&mut owned, "nasty/owned", &b"owned"[..]).unwrap();
        let pax: [(&str, &[u8]); 4] = [
            ("mtime", b"1234567890.123456789"),
            ("SCHILY.xattr.security.capability", CAPABILITY),
            ("SCHILY.xattr.user.empty", b""),
            ("SCHILY.xattr.trusted.kept", b"t"),
        ];
        archive.append_pax_extensions(pax).unwrap();
        archive.append_data(&mut header(EntryType::Regular, 4), "nasty/pax", &b"caps"[..]).unwrap();
        archive.append_pax_extensions([("mtime", &b"-1.5"[..])]).unwrap();
        archive.append_data(&mut header(EntryType::Regular, 3), "nasty/before-1970", &b"old"[..]).unwrap();
        let long = format!("nasty/{}/{}", "d".repeat(120), "n".repeat(255));
        archive.append_data(&mut header(EntryType::Regular, 4), &long, &b"long"[..]).unwrap();
        let target = "t/".repeat(1000);
        archive.append_link(&mut header(EntryType::Symlink, 0), "nasty/far", &target).unwrap();
        archive.append_link(&mut header(EntryType::Symlink, 0), "nasty/near", "owned").unwrap();
        archive.append_link(&mut header(EntryType::Link, 0), "nasty/hard", "nasty/owned").unwrap();
        archive.append_data(&mut header(EntryType::Fifo, 0), "nasty/fifo", &b""[..]).unwrap();
        for (name, kind) in [("nasty/char", EntryType::Char), ("nasty/block", EntryType::Block)] {
            let mut device = header(kind, 0);
            device.set_device_major(240).unwrap();
            device.set_device_minor(70_000).unwrap();
            archive.append_data(&mut device, name, &b""[..]).unwrap();
        }
        let mut bytes = header(EntryType::Regular, 5);
        bytes.as_mut_bytes()[..11].copy_from_slice(b"nasty/\xff\xfe\n\x01\\");
        bytes.set_cksum();
        archive.append(&bytes, &b"bytes"[..]).unwrap();
        let map: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"5000000"), ("GNU.sparse.map", b"4990000,10")];
        archive.append_pax_extensions(map).unwrap();
        archive.append_data(&mut header(EntryType::Regular, 10), "nasty/sparse", &b"0123456789"[..]).unwrap();
        let many = 3000;
        for i in 0..many {
            let name = format!("nasty/many/{i}{}", "m".repeat(i % 100));
            archive.append_data(&mut header(EntryType::Regular, 0), &name, &b""[..]).unwrap();
        }
        archive.append_data(&mut header(EntryType::Regular, 0), "etc/.wh.debian_version", &b""[..]).unwrap();
        archive.append_data(&mut header(EntryType::Regular, 0), "etc/apt/.wh..wh..opq", &b""[..]).unwrap();
        archive.append_data(&mut header(EntryType::Regular, 4), "etc/apt/only", &b"only"[..]).unwrap();
    })
}

/// Digests of all regular files of a tar, hard links among them.
fn digests(tar: &[u8]) -> BTreeMap<Path, String> {
    let mut found = BTreeMap::new();
    let normal = |path: &[u8]| -> Path {
        let names: Vec<_> =
            path.split(|&b| b == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
        names.join(&b'/')
    };
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = normal(&entry.path_bytes());
        if entry.header().entry_type() == tar::EntryType::Link {
            let target = normal(&entry.link_name_bytes().unwrap());
            let digest = found.get(&target).cloned().unwrap();
            found.insert(path, digest);
        } else if entry.header().entry_type() == tar::EntryType::Regular {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.insert(path, Digest::of(&bytes).hex());
        }
    }
    found
}

/// A name as its bytes: the encoded form where there is one.
fn raw(text: &str, encoded: Option<&String>) -> Path {
    let Some(encoded) = encoded else { return text.as_bytes().to_vec() };
    let (mut bytes, mut rest) = (Vec::new(), encoded.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&behind[..2]).unwrap(), 16).unwrap());
            rest = &behind[2..];
        } else {
            bytes.push(byte);
            rest = behind;
        }
    }
    bytes
}

/// The whole image as the host reads it, without a VM.
async fn browsed(client: &Client, image: &str) -> BTreeMap<Path, Stat> {
    let mut found = BTreeMap::new();
    let mut todo: Vec<Path> = vec![Vec::new()];
    while let Some(directory) = todo.pop() {
        let mut after = None;
        loop {
            let query = FilesQuery { path: &directory, after: after.as_deref(), ..FilesQuery::default() };
            let listed = client.image_files(image, &query).await.unwrap();
            for entry in &listed.entries {
                let name = raw(&entry.name, entry.name_encoded.as_ref());
                let path = if directory.is_empty() { name } else { [&directory, &b"/"[..], &name].concat() };
                let kind = match entry.file_type {
                    FileType::File => 'f',
                    FileType::Directory => 'd',
                    FileType::Symlink => 'l',
                    FileType::CharDevice => 'c',
                    FileType::BlockDevice => 'b',
                    FileType::Fifo => 'p',
                    other => panic!("{other:?}"),
                };
                let device = entry.device.unwrap_or_default();
                let stat = Stat {
                    kind,
                    mode: entry.mode.into(),
                    owner: (entry.uid, entry.gid),
                    size: entry.size_bytes,
                    time: nanoseconds(entry.mtime_s, entry.mtime_ns),
                    links: entry.links,
                    target: entry
                        .target
                        .as_ref()
                        .map(|t| raw(t, entry.target_encoded.as_ref()))
                        .unwrap_or_default(),
                    device: (device.major.into(), device.minor.into()),
                    xattrs: entry.xattrs.clone(),
                };
                if kind == 'd' {
                    todo.push(path.clone());
                }
                found.insert(path, stat);
            }
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
    }
    found
}

fn nanoseconds(seconds: i64, ns: u32) -> String {
    (i128::from(seconds) * 1_000_000_000 + i128::from(ns)).to_string()
}

/// What a program in the container writes, as bytes.
async fn inside(host: &Host, image: &str, script: &str) -> Vec<u8> {
    let script = format!("{{ {script}; }} | od -An -v -tx1");
    let run = ["run", "--rm", "--privileged", image, "sh", "-ec", &script];
    let hex = host.docker_args(run).within(Duration::from_secs(300)).ok().await;
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The whole image as the guest's kernel shows it.
async fn mounted(host: &Host, image: &str) -> BTreeMap<Path, Stat> {
    const FIND: &str = r"find / -xdev -printf '%P\0%y\0%m\0%U\0%G\0%s\0%T@\0%n\0%l\0'";
    let mut found = BTreeMap::new();
    let listed = inside(host, image, FIND).await;
    let fields: Vec<&[u8]> = listed.split(|&b| b == 0).collect();
    for entry in fields.chunks_exact(9) {
        let number = |i: usize| text(entry[i]).parse::<u64>().unwrap();
        // `seconds.nanoseconds0`; before 1970 the fraction still counts upwards.
        let (seconds, fraction) = text(entry[6]).split_once('.').unwrap();
        let kind = char::from(entry[1][0]);
        let stat = Stat {
            kind,
            mode: u32::from_str_radix(text(entry[2]), 8).unwrap(),
            owner: (number(3) as u32, number(4) as u32),
            size: if matches!(kind, 'f' | 'l') { number(5) } else { 0 },
            time: nanoseconds(seconds.parse().unwrap(), fraction[..9].parse().unwrap()),
            links: number(7) as u32,
            target: entry[8].to_vec(),
            ..Stat::default()
        };
        found.insert(entry[0].to_vec(), stat);
    }
    // Device numbers, and names of attributes (`llistxattr`, system call 195 of x86-64).
    const PERL: &str = r#"find / -xdev -print0 | perl -0ne 'chomp; @s = lstat; $b = "\0" x 4096;
        $n = syscall(195, $_, $b, 4096); $x = $n > 0 ? substr($b, 0, $n) : ""; $x =~ tr/\0/,/;
        print substr($_, 1), "\0", (($s[2] & 0170000) == 0020000 || ($s[2] & 0170000) == 0060000 ? $s[6] : 0), "\0$x\0"'"#;
    let listed = inside(host, image, PERL).await;
    let fields: Vec<&[u8]> = listed.split(|&b| b == 0).collect();
    for entry in fields.chunks_exact(3) {
        let Some(stat) = found.get_mut(entry[0]) else { continue };
        let number: u64 = text(entry[1]).parse().unwrap();
        stat.device = (number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xf_ff00));
        let names = text(entry[2])
            .split(',')
            .filter(|name| !name.is_empty() && !name.starts_with("trusted.overlay."));
        stat.xattrs = names.map(str::to_owned).collect();
        stat.xattrs.sort();
    }
    found
}

/// Of what a container is given at its start the image says nothing.
fn is_the_containers(path: &[u8]) -> bool {
    let names =
        ["", "dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc", ".dockerenv"];
    names.iter().any(|name| name.as_bytes() == path) || path.starts_with(b"dev/")
}

#[tokio::test]
async fn all_three_views_of_a_nasty_image_agree() {
    let (base, above) = (coracle_e2e::debian_root("debian-minbase", None).await, nasty());
    let registry = Registry::start().await;
    let image = Image::new(vec![Layer::of(base.clone()), above], json!({ "Cmd": ["true"] }));
    let reference = image.push(&registry, "nasty:1").await;
    let plain = Image::new(vec![Layer::of(base.clone())], json!({ "Cmd": ["true"] }));
    let plain = plain.push(&registry, "plain:1").await;
    let host = Host::start().await;
    for name in [&reference, &plain] {
        host.docker_args(["pull", "-q", name]).ok().await;
    }

    // Without a VM.
    let client = host.client().await;
    let mut seen = browsed(&client, &reference).await;
    assert!(seen.len() > 5000, "{}", seen.len());
    assert!(!seen.contains_key(&b"etc/debian_version"[..]));
    let apt: Vec<_> = seen.keys().filter(|path| path.starts_with(b"etc/apt/")).collect();
    assert_eq!(apt, [b"etc/apt/only"]);
    assert_eq!(seen[&b"nasty/owned"[..]].owner, (70_000, 3_000_000_000));
    assert_eq!(seen[&b"nasty/before-1970"[..]].time, "-1500000000");
    assert_eq!(seen[&b"nasty/pax"[..]].xattrs, ["security.capability", "trusted.kept", "user.empty"]);
    assert_eq!(seen[&b"nasty/char"[..]].device, (240, 70_000));
    let begin = Instant::now();
    let layers = client.image_layers(&reference).await.unwrap();
    let took = begin.elapsed();
    println!("layers of {} files: {took:?}", seen.len());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(layers.wasted.iter().any(|wasted| wasted.path == "/etc/apt"), "{:?}", layers.wasted);
    assert_eq!((layers.layers[1].hard_links, layers.layers[1].whiteouts), (1, 1));
    let changes = host.coracle(&format!("images diff {plain} {reference}")).ok().await;
    assert!(changes.lines().any(|line| line == "D /etc/debian_version"), "{changes}");
    assert!(!changes.contains("/usr/bin/"), "{changes}");
    let only = host.coracle(&format!("images cat {reference} /etc/apt/only")).ok().await;
    assert_eq!(only, "only");
    let mut expected = digests(&base);
    for (path, digest) in expected.iter().filter(|(path, _)| seen.contains_key(*path)).step_by(25) {
        let query = FilesQuery { path, ..FilesQuery::default() };
        let (mut file, mut bytes) = (client.image_file(&reference, &query).await.unwrap(), Vec::new());
        while let Some(piece) = file.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(&Digest::of(&bytes).hex(), digest, "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(client.vm_status().await.unwrap(), VmStatus::Off);

    // By the kernel: every attribute of every file.
    let mut kernels = mounted(&host, &reference).await;
    for view in [&mut seen, &mut kernels] {
        view.retain(|path, _| !is_the_containers(path));
        for stat in view.values_mut().filter(|stat| stat.kind == 'd') {
            stat.links = 0;
        }
    }
    for (path, stat) in &seen {
        assert_eq!(kernels.get(path), Some(stat), "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(kernels.len(), seen.len());

    // And every byte.
    let sums = inside(&host, &reference, "find / -xdev -type f -print0 | xargs -0 sha256sum -z").await;
    let mut sums: BTreeMap<Path, String> = sums
        .split(|&b| b == 0)
        .filter(|line| !line.is_empty())
        .map(|line| (line[67..].to_vec(), text(&line[..64]).to_owned()))
        .collect();
    sums.retain(|path, _| !is_the_containers(path));
    let mut sparse = vec![0; 5_000_000];
    sparse[4_990_000..4_990_010].copy_from_slice(b"0123456789");
    expected.extend(digests(nasty().tar()));
    expected.insert(b"nasty/sparse".to_vec(), Digest::of(&sparse).hex());
    expected.retain(|path, _| seen.contains_key(path));
    for (path, sum) in &expected {
        assert_eq!(sums.get(path), Some(sum), "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(sums.len(), expected.len());
    host.finish().await;
}
