//! The workload: short loops, the same machine code on the host, in a container and in a VM. What they cost is told as
//! rounds a second; each loop runs a few slices of time and the best one counts, so that a busy moment does not.

use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::report::{Loop, Work};

const SLICE: Duration = Duration::from_millis(100);
const SLICES: usize = 5;
/// Steps between two looks at the clock, where a step is short.
const BATCH: u32 = 4096;
const FILE_BYTES: usize = 1024;

/// Runs each loop.
///
/// # Errors
/// A loop failed that works here, or no folder can be written to.
pub fn work() -> io::Result<Work> {
    let folder = Folder::make()?;
    let file = folder.0.join("f");
    Ok(Work {
        integer: Some(timed(|| Ok(integers()))?),
        getpid: system::getpid()?,
        fork: system::fork()?,
        files: Some(timed(|| make_file(&file).map(|()| 1))?),
        folder: folder.0.parent().unwrap_or(&folder.0).to_string_lossy().into_owned(),
    })
}

/// `step` answers how many rounds it did.
fn timed(mut step: impl FnMut() -> io::Result<u32>) -> io::Result<Loop> {
    let mut slices_per_s = Vec::with_capacity(SLICES);
    for _ in 0..SLICES {
        let (began, mut rounds) = (Instant::now(), 0u64);
        let elapsed = loop {
            rounds += u64::from(step()?);
            let elapsed = began.elapsed();
            if elapsed >= SLICE {
                break elapsed;
            }
        };
        slices_per_s.push(rounds as f64 / elapsed.as_secs_f64());
    }
    let per_s = slices_per_s.iter().copied().fold(0.0, f64::max);
    Ok(Loop { per_s, slices_per_s })
}

/// Dependent integer operations that no compiler can foresee (xorshift and a multiplication).
fn integers() -> u32 {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..BATCH {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state = state.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    }
    black_box(state);
    BATCH
}

fn make_file(path: &Path) -> io::Result<()> {
    let mut file = fs::File::options().write(true).create_new(true).open(path)?;
    file.write_all(&[7; FILE_BYTES])?;
    drop(file);
    fs::remove_file(path)
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use super::{BATCH, Loop, timed};
    use crate::inside::sys;

    pub(super) fn getpid() -> io::Result<Option<Loop>> {
        let batch = || {
            for _ in 0..BATCH {
                sys::getpid();
            }
            Ok(BATCH)
        };
        timed(batch).map(Some)
    }

    pub(super) fn fork() -> io::Result<Option<Loop>> {
        timed(|| sys::fork_and_wait().map(|()| 1)).map(Some)
    }
}

/// Other systems have other system calls: there is nothing to compare.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use super::Loop;

    pub(super) fn getpid() -> io::Result<Option<Loop>> {
        Ok(None)
    }

    pub(super) fn fork() -> io::Result<Option<Loop>> {
        Ok(None)
    }
}

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    /// In the first place that can be written to: an image may lack any of them.
    fn make() -> io::Result<Self> {
        let places = [std::env::temp_dir(), PathBuf::from("/"), PathBuf::from("/dev/shm")];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            let folder = place.join(format!("coracle-lab-{}", std::process::id()));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) => last = error,
            }
        }
        Err(io::Error::new(last.kind(), format!("no folder can be made to put files in: {last}")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_turns_and_leaves_nothing() {
        let done = work().unwrap();
        let integer = done.integer.unwrap();
        assert_eq!(integer.slices_per_s.len(), SLICES);
        assert!(integer.per_s > 1e5 && done.files.unwrap().per_s > 10.0);
        assert_eq!(done.getpid.is_some(), cfg!(target_os = "linux"));
        assert_eq!(done.fork.is_some(), cfg!(target_os = "linux"));
        let own = format!("coracle-lab-{}", std::process::id());
        assert!(!Path::new(&done.folder).join(own).exists());
    }
}
