//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`): what a process sees mounted.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use agent_proto::v1;

/// Mounts that are told.
const MAX_MOUNTS: usize = 256;
/// Bytes that are read; a privileged container may mount without end.
const MAX_BYTES: u64 = 4 << 20;
/// Bytes of a file system's options that are told: an overlay's name all its layers.
const MAX_OPTIONS: usize = 512;

/// What is mounted.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    pub(super) first: Vec<v1::MountInfo>,
    pub(super) total: u32,
    targets: HashSet<String>,
}

impl Mounted {
    /// Which of these paths something lies upon.
    pub(super) fn hidden(&self, paths: Option<&[String]>) -> Vec<v1::HiddenPath> {
        let one = |path: &String| v1::HiddenPath {
            path: path.clone(),
            in_effect: self.targets.contains(path.trim_end_matches('/')),
        };
        paths.unwrap_or_default().iter().map(one).collect()
    }
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_OPTIONS {
        text.truncate(text.floor_char_boundary(MAX_OPTIONS - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// `36 35 98:0 /root /target rw,noatime master:1 - ext4 /dev/x rw,errors=continue`; any number of optional fields
/// stands before the dash.
fn parse(line: &str) -> Option<v1::MountInfo> {
    let (place, file_system) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(4);
    let mut file_system = file_system.splitn(3, ' ');
    Some(v1::MountInfo {
        target: unescaped(place.next()?),
        options: place.next()?.to_owned(),
        fs_type: file_system.next()?.to_owned(),
        source: unescaped(file_system.next()?),
        fs_options: bounded(unescaped(file_system.next().unwrap_or_default())),
    })
}

fn read(lines: impl io::Read) -> io::Result<Mounted> {
    let mut mounted = Mounted::default();
    for line in BufReader::new(lines.take(MAX_BYTES)).split(b'\n') {
        let Some(mount) = parse(&String::from_utf8_lossy(&line?)) else { continue };
        mounted.total += 1;
        mounted.targets.insert(mount.target.clone());
        if mounted.first.len() < MAX_MOUNTS {
            mounted.first.push(mount);
        }
    }
    Ok(mounted)
}

pub(super) fn of(pid: i32) -> io::Result<Mounted> {
    read(File::open(format!("/proc/{pid}/mountinfo"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_by_table() {
        for (line, expected) in [
            (
                "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
                Some(("/mnt2", "ext3", "/dev/root", "rw,noatime", "rw,errors=continue")),
            ),
            ("40 36 0:5 / /a\\040b\\134c ro - tmpfs none rw", Some(("/a b\\c", "tmpfs", "none", "ro", "rw"))),
            (
                "40 36 0:5 / /x ro shared:1 master:2 - virtiofs tag rw",
                Some(("/x", "virtiofs", "tag", "ro", "rw")),
            ),
            ("40 36 0:5 / /x ro", None),
            ("", None),
        ] {
            let found = parse(line);
            let found = found.as_ref().map(|m| {
                (
                    m.target.as_str(),
                    m.fs_type.as_str(),
                    m.source.as_str(),
                    m.options.as_str(),
                    m.fs_options.as_str(),
                )
            });
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn many_are_counted_and_few_told() {
        let text: String = (0..300).map(|n| format!("{n} 1 0:5 / /m{n} rw - tmpfs none rw\n")).collect();
        let mounted = read(text.as_bytes()).unwrap();
        assert_eq!((mounted.total, mounted.first.len()), (300, MAX_MOUNTS));
        let hidden = mounted.hidden(Some(&["/m299".to_owned(), "/m300".to_owned()]));
        assert_eq!(hidden.iter().map(|path| path.in_effect).collect::<Vec<_>>(), [true, false]);
        assert!(mounted.hidden(None).is_empty());
    }

    #[test]
    fn long_options_end_in_an_ellipsis() {
        let long = bounded("é".repeat(MAX_OPTIONS));
        assert!(long.len() <= MAX_OPTIONS && long.ends_with("é…"), "{long}");
        assert_eq!(bounded("rw".to_owned()), "rw");
    }
}
