//! The log: `log/coracled.log`, rotated by size, and stderr when that is a terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// A file is closed at this size.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// So many closed ones are kept.
const KEEP: u32 = 3;

/// What is logged; it can change.
#[derive(Debug, Clone)]
pub(crate) struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// With the layer that it governs.
    pub(crate) fn new(text: &str) -> anyhow::Result<(Self, reload::Layer<EnvFilter, Registry>)> {
        let (layer, handle) = reload::Layer::new(parse(text)?);
        Ok((Self(handle), layer))
    }

    pub(crate) fn set(&self, text: &str) -> anyhow::Result<()> {
        Ok(self.0.reload(parse(text)?)?)
    }
}

fn parse(text: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(text).with_context(|| format!("log filter {text:?}"))
}

/// Starts logging, panics included.
pub(crate) fn start(path: &Path, filter: &str) -> anyhow::Result<Filter> {
    let (handle, filter) = Filter::new(filter)?;
    let file = Rotating::open(path, MAX_BYTES, KEEP).with_context(|| format!("log {}", path.display()))?;
    let to_file = fmt::layer().with_ansi(false).with_writer(Mutex::new(file));
    let terminal = io::stderr().is_terminal();
    let to_terminal = terminal.then(|| fmt::layer().with_writer(io::stderr));
    tracing_subscriber::registry().with(filter).with(to_file).with(to_terminal).init();

    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!("{panic}\n{backtrace}");
        default(panic);
    }));
    Ok(handle)
}

/// A file that is renamed to `name.1` when it is full, which becomes `name.2`, ….
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    keep: u32,
}

impl Rotating {
    fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, max_bytes, keep })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let name = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        for n in (1..self.keep).rev() {
            match std::fs::rename(name(n), name(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, name(1))?;
        *self = Self::open(&self.path, self.max_bytes, self.keep)?;
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Between records alone: one record is one write. A log that cannot be rotated grows on.
        if self.bytes >= self.max_bytes && self.rotate().is_err() {
            self.bytes = 0;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_move_on_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = Rotating::open(&path, 4, 2).unwrap();
        for record in ["aaaa", "bbbb", "cccc", "dddd"] {
            log.write_all(record.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("x.log"), "dddd");
        assert_eq!(read("x.log.1"), "cccc");
        assert_eq!(read("x.log.2"), "bbbb");
        assert!(!dir.path().join("x.log.3").exists());
    }
}
