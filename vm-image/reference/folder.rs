//! What `cargo xtask bench` does with a folder of the host, inside a container: for each line `WORK FOLDER` on standard
//! input, the time that it took in microseconds, measured here. The guest's caches are dropped before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// What is written in one piece, as `dd bs=1M` and copying programs do.
const PIECES: usize = 256;
const FILES: usize = 1_000;
const FILES_PER_FOLDER: usize = 10;

fn main() {
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line.expect("lines are text");
        let (work, folder) = line.split_once(' ').expect("WORK FOLDER");
        match run(work, Path::new(folder)) {
            Ok(time) => println!("microseconds {}", time.as_micros()),
            Err(error) => println!("{work} in {folder}: {error}"),
        }
    }
}

fn run(work: &str, folder: &Path) -> io::Result<Duration> {
    // What an earlier round wrote must not be written during this one.
    File::open(folder)?.sync_all()?;
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    match work {
        "write" => write(&folder.join("large")),
        "read" => read(&folder.join("large")),
        "files" => files(&folder.join("modules")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no such work")),
    }
}

/// A new file, until the host has all of it.
fn write(path: &Path) -> io::Result<Duration> {
    let piece: Vec<u8> = (0..MIB).map(|at| (at * 7 % 251) as u8).collect();
    drop(fs::remove_file(path));
    let since = Instant::now();
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    for _ in 0..PIECES {
        file.write_all(&piece)?;
    }
    drop(file);
    Ok(since.elapsed())
}

fn read(path: &Path) -> io::Result<Duration> {
    let mut piece = vec![0; MIB];
    let mut all = 0;
    let since = Instant::now();
    let mut file = File::open(path)?;
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => all += read,
        }
    }
    let time = since.elapsed();
    if all == PIECES * MIB { Ok(time) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// As `npm ci` leaves them: folder by folder, each file made, written and closed, sizes from some bytes to some KiB.
fn files(top: &Path) -> io::Result<Duration> {
    let body: Vec<u8> = (0..64 * 1024).map(|at| (at * 7 % 251) as u8).collect();
    let since = Instant::now();
    fs::create_dir(top)?;
    let mut folder = top.to_owned();
    for number in 0..FILES {
        if number % FILES_PER_FOLDER == 0 {
            folder = top.join(format!("package{}", number / FILES_PER_FOLDER));
            fs::create_dir(&folder)?;
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(folder.join(format!("file{number}.js")))?;
        file.write_all(&body[..size(number)])?;
    }
    Ok(since.elapsed())
}

/// Half below 1 KiB, a mean of 4.
fn size(number: usize) -> usize {
    match number % 10 {
        small @ 0..=4 => 100 + 200 * small,
        middle @ 5..=8 => 1_000 + 1_000 * (middle - 4),
        _ => 20_000,
    }
}
