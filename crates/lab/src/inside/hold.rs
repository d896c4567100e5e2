//! A process that is there to be looked at.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use super::{PORT, say};
use crate::report::Inside;

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

/// The second of real, effective, saved and file system's.
fn effective(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn view() -> Inside {
    let status = text("/proc/self/status");
    Inside {
        pid: std::process::id(),
        uid: effective(&status, "Uid:"),
        gid: effective(&status, "Gid:"),
        kernel_release: text("/proc/sys/kernel/osrelease"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        hostname: text("/proc/sys/kernel/hostname"),
    }
}

/// Whoever connects is told the word. Ends by being killed.
pub(super) fn hold(word: &str) -> io::Result<()> {
    say(&view())?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    answer(&listener, word)?;
    Ok(())
}

fn answer(listener: &TcpListener, word: &str) -> io::Result<Infallible> {
    loop {
        let (mut stream, _) = listener.accept()?;
        // Whoever asked may be gone.
        drop(writeln!(stream, "{word}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_ids_are_the_second_ones() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!((effective(status, "Uid:"), effective(status, "Gid:")), (Some(2), Some(6)));
        assert_eq!(effective(status, "Pid:"), None);
    }
}
