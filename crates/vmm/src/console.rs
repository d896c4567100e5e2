//! The guest's serial console: a log that QEMU appends to and we keep small, and its last lines.
//!
//! QEMU holds the file open in append mode for the VM's whole life, so a running console is rotated by copying
//! and truncating; QEMU goes on at the new end.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// A log longer than this is rotated.
const MAX_BYTES: u64 = 4 << 20;
/// Old logs kept: `console.log.1` is the youngest.
const KEPT: u32 = 3;
/// Lines of a tail, and how long each may be: the guest writes them, so they are bounded.
const TAIL_LINES: usize = 20;
const TAIL_LINE_CHARS: usize = 400;
const TAIL_BYTES: u64 = 16 << 10;
/// What a Linux that gives up says.
const PANIC: &str = "Kernel panic";

/// Before a boot: every boot begins a new log.
pub(crate) fn begin(log: &Path) -> io::Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    if len(log) > 0 {
        shift(log);
        fs::rename(log, kept(log, 1))?;
    }
    File::create(log).map(drop)
}

/// While a VM runs: rotates a log that has grown too long. Lines written between copy and truncation are lost.
pub(crate) fn trim(log: &Path) -> io::Result<()> {
    if len(log) <= MAX_BYTES {
        return Ok(());
    }
    shift(log);
    fs::copy(log, kept(log, 1))?;
    File::options().write(true).open(log)?.set_len(0)
}

/// How long the log is; 0 when there is none.
pub(crate) fn len(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |meta| meta.len())
}

/// The last lines, cleaned of terminal control characters.
pub(crate) fn tail(log: &Path) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(|_| Vec::new(), |bytes| last_lines(&bytes))
}

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.lines().map(clean).filter(|line| !line.trim().is_empty()).collect();
    let (before, tail) = lines.split_at(lines.len().saturating_sub(TAIL_LINES));
    // Its report is longer than a tail, and says why in its first line.
    let panic = before.iter().rfind(|line| line.contains(PANIC));
    panic.into_iter().chain(tail).cloned().collect()
}

/// Drops escape sequences (ECMA-48 CSI) and other control characters.
fn clean(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                chars.next();
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
        if out.len() >= TAIL_LINE_CHARS {
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn kept(log: &Path, n: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Moves every old log one number up; the oldest goes.
fn shift(log: &Path) {
    for n in (1..KEPT).rev() {
        // Absent ones are normal.
        let _ = fs::rename(kept(log, n), kept(log, n + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_clean_and_bounded() {
        let mut bytes = b"\x1b[2J\x1b[1;1Hbooting\r\n\xff\xfe\n\n".to_vec();
        for n in 0..30 {
            bytes.extend_from_slice(format!("line {n}\r\n").as_bytes());
        }
        bytes.extend_from_slice(&[b'x'; 1000]);
        let lines = last_lines(&bytes);
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!(lines[0], "line 11");
        assert_eq!(lines[19].len(), TAIL_LINE_CHARS);
        assert_eq!(last_lines(b"\x1b[2J\x1b[1;1Hbooting\r\n"), ["booting"]);
        assert!(last_lines(b"").is_empty());
        let panic = format!("Kernel panic - not syncing: x\n{}", "trace\n".repeat(30));
        assert_eq!(last_lines(panic.as_bytes())[0], "Kernel panic - not syncing: x");
    }

    #[test]
    fn each_boot_begins_a_log_and_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log/console.log");
        for boot in 0..6 {
            begin(&log).unwrap();
            fs::write(&log, format!("boot {boot}\n")).unwrap();
        }
        assert_eq!(tail(&log), ["boot 5"]);
        assert_eq!(tail(&kept(&log, 1)), ["boot 4"]);
        assert_eq!(tail(&kept(&log, KEPT)), ["boot 2"]);
        assert!(!kept(&log, KEPT + 1).exists());
    }

    #[test]
    fn a_long_log_is_rotated_under_its_writer() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        writer.write_all(&vec![b'a'; usize::try_from(MAX_BYTES).unwrap() + 1]).unwrap();
        trim(&log).unwrap();
        writer.write_all(b"after\n").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"after\n");
        assert_eq!(len(&kept(&log, 1)), MAX_BYTES + 1);
    }
}
