//! The container's log in Docker's json-file form: one JSON object a line, lines longer than 16 KiB in parts,
//! rotated by size. A log that cannot be written loses lines, never the container.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::ring::Ring;
use crate::clock::{rfc3339, unix_ns};
use crate::wire::Log;

/// Longest text of one entry, as Docker splits them.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// The `number`-th older file of a log.
pub(crate) fn rotated(newest: &Path, number: u32) -> PathBuf {
    let mut name = newest.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Splits one stream of bytes into lines.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Calls `each` with every finished line, its newline included, and with parts of overlong ones.
    fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.0.len();
            let window = &bytes[..bytes.len().min(room)];
            let (take, done) = match window.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (window.len(), window.len() == room),
            };
            if done && self.0.is_empty() {
                each(&bytes[..take]);
            } else {
                self.0.extend_from_slice(&bytes[..take]);
                if done {
                    each(&self.0);
                    self.0.clear();
                }
            }
            bytes = &bytes[take..];
        }
    }

    fn finish(&mut self, each: impl FnOnce(&[u8])) {
        if !self.0.is_empty() {
            each(&self.0);
            self.0.clear();
        }
    }
}

/// A log that is being written.
pub(crate) struct Writer {
    to: To,
    lines: [Lines; 2],
    pending: Vec<u8>,
}

/// Where entries go.
enum To {
    Files(Files),
    /// To a thread that will be started.
    Soon(Files),
    Ring(Ring),
    Nowhere,
}

/// The files of a log.
struct Files {
    log: Log,
    file: File,
    size_bytes: u64,
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// One entry.
fn entry(out: &mut Vec<u8>, line: &[u8], stderr: bool, time: &str) {
    out.extend_from_slice(b"{\"log\":");
    // Writing JSON into memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &String::from_utf8_lossy(line));
    let stream = if stderr { "stderr" } else { "stdout" };
    let _ = writeln!(out, ",\"stream\":\"{stream}\",\"time\":\"{time}\"}}");
}

impl Writer {
    /// Opens or goes on with a log.
    pub(crate) fn open(log: Log, tty: bool) -> io::Result<Self> {
        let mark = log.file.with_file_name("log.tty");
        if tty {
            File::create(mark)?;
        } else {
            let _ = fs::remove_file(mark);
        }
        let (file, size_bytes) = open(&log.file)?;
        let blocking = log.non_blocking_bytes == 0;
        let files = Files { log, file, size_bytes };
        let to = if blocking { To::Files(files) } else { To::Soon(files) };
        Ok(Self { to, lines: Default::default(), pending: Vec::new() })
    }

    /// Adds output.
    pub(crate) fn write(&mut self, bytes: &[u8], stderr: bool) {
        let time = rfc3339(unix_ns());
        let pending = &mut self.pending;
        self.lines[usize::from(stderr)].feed(bytes, |line| entry(pending, line, stderr, &time));
        self.flush();
    }

    /// Adds the unfinished lines and waits until all is written: the output has ended.
    pub(crate) fn finish(&mut self) {
        let time = rfc3339(unix_ns());
        for stderr in [false, true] {
            let pending = &mut self.pending;
            self.lines[usize::from(stderr)].finish(|line| entry(pending, line, stderr, &time));
        }
        self.flush();
        self.to = To::Nowhere;
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let To::Soon(_) = self.to {
            self.to = std::mem::replace(&mut self.to, To::Nowhere).started();
        }
        match &mut self.to {
            To::Files(files) => {
                files.add(&self.pending);
                self.pending.clear();
            }
            To::Ring(ring) => ring.add(std::mem::take(&mut self.pending)),
            To::Soon(_) | To::Nowhere => self.pending.clear(),
        }
    }
}

impl To {
    fn started(self) -> Self {
        let Self::Soon(mut files) = self else { return self };
        let started = Ring::start(files.log.non_blocking_bytes, move |entries| files.add(&entries));
        started.map_or(Self::Nowhere, Self::Ring)
    }
}

impl Files {
    fn add(&mut self, entries: &[u8]) {
        if self.log.max_size_bytes > 0 && self.size_bytes >= self.log.max_size_bytes {
            let _ = self.rotate();
        }
        if self.file.write_all(entries).is_ok() {
            self.size_bytes += entries.len() as u64;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let kept = self.log.max_files.max(1) - 1;
        if kept == 0 {
            self.file.set_len(0)?;
        } else {
            for number in (1..kept).rev() {
                let _ = fs::rename(rotated(&self.log.file, number), rotated(&self.log.file, number + 1));
            }
            fs::rename(&self.log.file, rotated(&self.log.file, 1))?;
        }
        (self.file, self.size_bytes) = open(&self.log.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut got) = (Lines::default(), Vec::new());
        for part in parts {
            lines.feed(part, |line| got.push(line.to_vec()));
        }
        lines.finish(|line| got.push(line.to_vec()));
        got
    }

    #[test]
    fn lines_are_whole_whatever_the_reads() {
        assert_eq!(split(&[b"a\nb", b"c\n", b"d"]), [b"a\n".to_vec(), b"bc\n".to_vec(), b"d".to_vec()]);
        assert_eq!(split(&[b"\n\n"]), [b"\n".to_vec(), b"\n".to_vec()]);
    }

    #[test]
    fn overlong_lines_come_in_parts_of_16_kib() {
        let long = vec![b'x'; 40_000];
        let got = split(&[&long, b"\n"]);
        let sizes: Vec<_> = got.iter().map(Vec::len).collect();
        assert_eq!(sizes, [16384, 16384, 40_000 - 32768 + 1]);
    }

    #[test]
    fn a_log_that_does_not_block_is_whole_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.json");
        let log = Log { file: file.clone(), non_blocking_bytes: 1 << 20, ..Log::default() };
        let mut writer = Writer::open(log, false).unwrap();
        for number in 0..50 {
            writer.write(format!("line {number}\nand").as_bytes(), false);
        }
        writer.finish();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 51);
    }

    #[test]
    fn rotation_keeps_so_many_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.json");
        let log = Log { file: file.clone(), max_size_bytes: 100, max_files: 3, non_blocking_bytes: 0 };
        let mut writer = Writer::open(log, false).unwrap();
        for number in 0..20 {
            writer.write(format!("line {number} of some length\n").as_bytes(), number % 2 == 1);
        }
        assert!(rotated(&file, 1).exists() && rotated(&file, 2).exists() && !rotated(&file, 3).exists());
        let text = fs::read_to_string(&file).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["log"], "line 19 of some length\n");
        assert_eq!(last["stream"], "stderr");
    }
}
