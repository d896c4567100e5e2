//! Reads a container's log (Docker's json-file form) back as a stream: filtered, from a tail on, and followed
//! while the container runs, across rotation. Works for ended containers, too.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_proto::MAX_WRITE_BYTES;
use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use transport::Stream;

use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, container_key};
use crate::agent::table::Key;
use crate::clock::parse_rfc3339;
use crate::{paths, shim};

#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    log: std::borrow::Cow<'l, str>,
    stream: std::borrow::Cow<'l, str>,
    time: std::borrow::Cow<'l, str>,
}

/// A log that is about to be sent.
pub(crate) struct Reader {
    request: v1::Logs,
    file: PathBuf,
    tty: bool,
    /// While it runs: follow, and whom to ask whether it still does.
    following: Option<(Arc<Guest>, Key)>,
}

/// Finds the log that `request` asks for.
pub(crate) fn open(guest: &Arc<Guest>, request: v1::Logs) -> Result<Reader, Failure> {
    let key = container_key(&request.container_id)?;
    let file = paths::log_file(&key.container);
    let live = guest.table.is_live(&key);
    if !live && !file.exists() && !paths::data_dir(&key.container).exists() {
        return Err(Failure::not_found(&key.container));
    }
    if !file.exists() && live {
        return Err(Failure::new(Code::NotFound, "configured logging driver does not support reading"));
    }
    let tty = file.with_file_name("log.tty").exists();
    let following = (request.follow && live).then(|| (Arc::clone(guest), key));
    Ok(Reader { request, file, tty, following })
}

/// The rotated files that exist, oldest first, and the newest.
fn files(newest: &Path) -> Vec<PathBuf> {
    let mut files = VecDeque::from([newest.to_owned()]);
    for number in 1.. {
        let file = shim::log::rotated(newest, number);
        if !file.exists() {
            break;
        }
        files.push_front(file);
    }
    files.into()
}

/// Where the last `lines` lines of `file` begin, and how many there are.
fn tail(file: &File, lines: u64) -> io::Result<(u64, u64)> {
    let mut end = file.metadata()?.len();
    let mut found = 0;
    let mut block = vec![0; 64 * 1024];
    let mut last = true;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(part, start)?;
        for (at, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The newline at the very end closes the last line, it begins none.
            if !std::mem::take(&mut last) {
                found += 1;
                if found == lines {
                    return Ok((start + at as u64 + 1, found));
                }
            }
        }
        end = start;
    }
    Ok((0, found + u64::from(file.metadata()?.len() > 0)))
}

impl Reader {
    /// Sends the log and, when asked to, what is added to it while the container runs.
    pub(crate) async fn send(self, mut stream: Stream) -> anyhow::Result<()> {
        let inotify = match &self.following {
            Some(_) => {
                let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
                let dir = self.file.parent().unwrap_or(Path::new("/"));
                let wanted = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
                inotify.add_watch(dir, wanted)?;
                Some(crate::sys::watch(OwnedFd::from(inotify))?)
            }
            None => None,
        };
        let mut changes = self.following.as_ref().map(|(guest, _)| guest.table.watch());
        let mut open = None;
        for (file, offset) in self.beginning()? {
            let mut reader = BufReader::with_capacity(32 * 1024, file);
            reader.seek(SeekFrom::Start(offset))?;
            if !self.copy(&mut reader, &mut stream).await? {
                return Ok(());
            }
            open = Some(reader);
        }
        let (Some((guest, key)), Some(inotify), Some(changes)) = (&self.following, inotify, &mut changes)
        else {
            return finish(stream).await;
        };
        loop {
            // Asked before the file is read: what was written before the end is then surely seen.
            let live = guest.table.is_live(key);
            if let Some(reader) = &mut open
                && !self.copy(reader, &mut stream).await?
            {
                return Ok(());
            }
            if self.rotated(open.as_ref()) {
                open = File::open(&self.file).ok().map(|file| BufReader::with_capacity(32 * 1024, file));
                continue;
            }
            if !live {
                return finish(stream).await;
            }
            tokio::select! {
                ready = inotify.readable() => {
                    let mut ready = ready?;
                    let mut events = [0; 4096];
                    while ready.try_io(|fd| Ok(nix::unistd::read(fd, &mut events)?)).is_ok_and(|r| r.is_ok()) {}
                }
                _ = changes.changed() => {}
                gone = peer_gone(&mut stream) => if gone { return Ok(()) },
            }
        }
    }

    /// The files to read and where to begin in each.
    fn beginning(&self) -> io::Result<Vec<(File, u64)>> {
        let mut wanted = u64::try_from(self.request.tail).unwrap_or(u64::MAX);
        let mut all = Vec::new();
        for path in files(&self.file).into_iter().rev() {
            let Ok(file) = File::open(&path) else { continue };
            let offset = if wanted == 0 {
                file.metadata()?.len()
            } else {
                let (offset, found) = tail(&file, wanted)?;
                wanted -= found;
                offset
            };
            all.push((file, offset));
        }
        all.reverse();
        Ok(all)
    }

    /// Whether the newest file is another one than `open`.
    fn rotated(&self, open: Option<&BufReader<File>>) -> bool {
        let Ok(newest) = std::fs::metadata(&self.file) else { return false };
        open.and_then(|reader| reader.get_ref().metadata().ok()).is_none_or(|its| its.ino() != newest.ino())
    }

    /// Sends complete lines up to the end of the file. False when no more is wanted.
    async fn copy(&self, reader: &mut BufReader<File>, stream: &mut Stream) -> anyhow::Result<bool> {
        let mut out = Vec::with_capacity(MAX_WRITE_BYTES);
        let mut line = Vec::new();
        let mut more = true;
        while more {
            line.clear();
            let at = reader.stream_position()?;
            let length = reader.by_ref().take(1 << 20).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                // Half a line: its writer is still at it.
                if length > 0 {
                    reader.seek(SeekFrom::Start(at))?;
                }
                break;
            }
            if let Ok(text) = serde_json::from_slice::<Line<'_>>(&line) {
                more = self.render(&text, &mut out);
            }
            if out.len() >= MAX_WRITE_BYTES - 1024 {
                stream.write_all(&out).await?;
                out.clear();
            }
        }
        stream.write_all(&out).await?;
        stream.flush().await?;
        Ok(more)
    }

    /// Appends a line as the host wants it. False when it and all later ones are past the end.
    fn render(&self, line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let request = &self.request;
        let time = parse_rfc3339(&line.time).unwrap_or(0);
        if request.until_unix_ns > 0 && time > request.until_unix_ns {
            return false;
        }
        let stderr = line.stream == "stderr";
        let wanted = if stderr { request.stderr } else { request.stdout };
        if !wanted || time < request.since_unix_ns {
            return true;
        }
        let mut stamp = if request.timestamps { format!("{} ", line.time) } else { String::new() };
        stamp.push_str(&request.details);
        if !self.tty {
            out.extend_from_slice(&shim::mux::header(stderr, stamp.len() + line.log.len()));
        }
        out.extend_from_slice(stamp.as_bytes());
        out.extend_from_slice(line.log.as_bytes());
        true
    }
}

async fn finish(mut stream: Stream) -> anyhow::Result<()> {
    stream.flush().await?;
    Ok(stream.shutdown().await?)
}

/// Whether the host has closed the stream, on which it never sends.
async fn peer_gone(stream: &mut Stream) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut byte = [0; 1];
    !stream.read(&mut byte).await.is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn reader(request: v1::Logs) -> Reader {
        Reader { request, file: PathBuf::new(), tty: false, following: None }
    }

    #[test]
    fn the_tail_begins_at_a_line() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&file, 1).unwrap(), (8, 1));
        assert_eq!(tail(&file, 2).unwrap(), (4, 2));
        assert_eq!(tail(&file, 9).unwrap(), (0, 3));
        assert_eq!(tail(&tempfile::tempfile().unwrap(), 5).unwrap(), (0, 0));
    }

    #[test]
    fn lines_are_filtered_and_framed() {
        let line = |stream: &'static str, time: &'static str| Line {
            log: "x\n".into(),
            stream: stream.into(),
            time: time.into(),
        };
        let early = line("stdout", "2024-01-01T00:00:00Z");
        let late = line("stderr", "2024-01-03T00:00:00Z");
        let middle = parse_rfc3339("2024-01-02T00:00:00Z").unwrap();
        let all = v1::Logs { stdout: true, stderr: true, ..Default::default() };

        let mut out = Vec::new();
        assert!(reader(v1::Logs { since_unix_ns: middle, ..all.clone() }).render(&early, &mut out));
        assert!(out.is_empty());
        assert!(!reader(v1::Logs { until_unix_ns: middle, ..all.clone() }).render(&late, &mut out));
        assert!(reader(v1::Logs { stderr: false, ..all.clone() }).render(&late, &mut out));
        assert!(out.is_empty());
        assert!(reader(all.clone()).render(&late, &mut out));
        assert_eq!(out, b"\x02\0\0\0\0\0\0\x02x\n");
        out.clear();
        reader(v1::Logs { timestamps: true, ..all }).render(&early, &mut out);
        assert_eq!(&out[8..], b"2024-01-01T00:00:00Z x\n");
    }
}
