//! The probes: each is tried for real, in a way that does no harm where it succeeds.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::time::Duration;

use super::PORT;
use super::sys::Call;
use crate::verdict::{Attempt, Cover, Probe, Targets};

/// Whoever is there answers sooner, under emulation too.
const PATIENCE: Duration = Duration::from_secs(2);
/// A setting of the whole kernel, of no namespace.
const SYSCTL: &str = "/proc/sys/vm/swappiness";
/// What the kernel takes for no module, after it has looked at it.
const NO_MODULE: [u8; 128] = [0; 128];

/// Capabilities by number (`capability.h`).
const SYS_MODULE: (u32, &str) = (16, "CAP_SYS_MODULE");
const SYS_RAWIO: (u32, &str) = (17, "CAP_SYS_RAWIO");
const SYS_ADMIN: (u32, &str) = (21, "CAP_SYS_ADMIN");

/// All of them but the crash itself.
pub(super) fn all(targets: &Targets) -> Vec<Attempt> {
    let host = |address| SocketAddr::new(address, targets.host_port);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    vec![
        mount(),
        ptrace(targets),
        kcore(),
        module(),
        sysctl(),
        connect(Probe::HostLoopback, host(loopback), &targets.host_word),
        connect(Probe::HostGateway, host(targets.host_gateway), &targets.host_word),
        connect(Probe::OtherContainer, SocketAddr::new(targets.neighbour, PORT), &targets.neighbour_word),
        sysrq(),
    ]
}

fn missing((number, name): (u32, &str)) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    (effective >> number & 1 == 0).then(|| name.to_owned())
}

fn allowed(probe: Probe, detail: impl Into<String>) -> Attempt {
    Attempt { probe, succeeded: true, detail: detail.into(), ..Attempt::default() }
}

/// `call` failed with `error`: what is known of the reason.
fn refused(probe: Probe, call: Option<&Call<'_>>, error: &io::Error, what: &str) -> Attempt {
    // Where no filter of our own can be set, none is known of.
    let filtered = call.is_some_and(|call| call.is_filtered().unwrap_or(false));
    let detail = format!("{what}: {error}");
    Attempt { probe, errno: error.raw_os_error(), filtered, detail, ..Attempt::default() }
}

fn mount() -> Attempt {
    let call = Call::mount_tmpfs(c"/proc");
    match call.make() {
        Ok(_) => {
            let undone = Call::unmount(c"/proc").make();
            let left = undone.err().map(|error| format!(", and it stays: {error}")).unwrap_or_default();
            allowed(Probe::Mount, format!("mount of a tmpfs on /proc: done{left}"))
        }
        Err(error) => Attempt {
            missing_capability: missing(SYS_ADMIN),
            ..refused(Probe::Mount, Some(&call), &error, "mount of a tmpfs on /proc")
        },
    }
}

/// The process whose command line holds `word`, as this one counts.
fn seek(word: &str) -> Option<u32> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|&pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pid != own && line.split(|&byte| byte == 0).any(|argument| argument == word.as_bytes())
    })
}

fn ptrace(targets: &Targets) -> Attempt {
    let probe = Probe::PtraceForeign;
    let found = seek(&targets.neighbour_word);
    let pid = found.unwrap_or(targets.neighbour_pid);
    if found.is_none() && fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
        // Not to be touched: it is somebody else.
        let detail = format!("ptrace: the other container's process is not there; {pid} is another one here");
        return Attempt { probe, nobody_there: true, detail, ..Attempt::default() };
    }
    let call = Call::seize(pid);
    match call.make() {
        // It is let go when this program ends.
        Ok(_) => allowed(probe, format!("ptrace of process {pid}: done")),
        Err(error) => Attempt {
            nobody_there: found.is_none(),
            ..refused(probe, Some(&call), &error, &format!("ptrace of process {pid}"))
        },
    }
}

fn kcore() -> Attempt {
    let (probe, missing_capability) = (Probe::ReadKcore, missing(SYS_RAWIO));
    let call = Call::open(c"/proc/kcore", libc::O_RDONLY);
    let mut file = match call.make_fd() {
        Ok(fd) => File::from(fd),
        Err(error) => {
            return Attempt {
                missing_capability,
                ..refused(probe, Some(&call), &error, "open of /proc/kcore")
            };
        }
    };
    let mut head = [0; 4096];
    let read = file.read(&mut head);
    let is_device = file.metadata().is_ok_and(|it| it.file_type().is_char_device());
    match read {
        Ok(bytes) if bytes > 0 => {
            allowed(probe, format!("read of /proc/kcore: {bytes} bytes of kernel memory's image"))
        }
        Ok(_) if is_device => {
            let number = file.metadata().map_or(0, |it| it.rdev());
            let device = format!("{}:{}", libc::major(number), libc::minor(number));
            let detail = format!("read of /proc/kcore: empty, the device {device} (/dev/null) lies upon it");
            Attempt { probe, cover: Some(Cover::Masked), missing_capability, detail, ..Attempt::default() }
        }
        Ok(_) => {
            let detail = "read of /proc/kcore: empty".to_owned();
            Attempt { probe, missing_capability, detail, ..Attempt::default() }
        }
        Err(error) => Attempt { missing_capability, ..refused(probe, None, &error, "read of /proc/kcore") },
    }
}

fn module() -> Attempt {
    let (probe, what) = (Probe::LoadModule, "init_module of 128 zero bytes");
    let call = Call::init_module(&NO_MODULE);
    match call.make() {
        Ok(_) => allowed(probe, format!("{what}: done")),
        // Rights are checked first: the kernel has looked at it.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            allowed(probe, format!("{what}: the kernel looked at them and found no module ({error})"))
        }
        Err(error) => {
            Attempt { missing_capability: missing(SYS_MODULE), ..refused(probe, Some(&call), &error, what) }
        }
    }
}

fn read_only(error: &io::Error) -> Option<Cover> {
    (error.raw_os_error() == Some(libc::EROFS)).then_some(Cover::ReadOnly)
}

/// Writes what is there already.
fn sysctl() -> Attempt {
    let what = format!("write to {SYSCTL}");
    let written =
        fs::read(SYSCTL).and_then(|value| File::options().write(true).open(SYSCTL)?.write_all(&value));
    match written {
        Ok(()) => allowed(Probe::WriteSysctl, format!("{what}: done, the value that was there")),
        Err(error) => {
            let cover = read_only(&error);
            Attempt { cover, ..refused(Probe::WriteSysctl, None, &error, &what) }
        }
    }
}

fn sysrq() -> Attempt {
    let what = "open of /proc/sysrq-trigger for writing";
    let call = Call::open(c"/proc/sysrq-trigger", libc::O_WRONLY);
    match call.make_fd() {
        Ok(_) => allowed(Probe::KernelPanic, format!("{what}: done, nothing written")),
        Err(error) => {
            let cover = read_only(&error);
            Attempt { cover, ..refused(Probe::KernelPanic, Some(&call), &error, what) }
        }
    }
}

/// Crashes the kernel. Whoever reads this program's output never sees its end.
pub(super) fn panic() -> io::Result<()> {
    let mut trigger = File::options().write(true).open("/proc/sysrq-trigger")?;
    trigger.write_all(b"c")
}

/// Reaches whoever answers with `word`.
fn connect(probe: Probe, address: SocketAddr, word: &str) -> Attempt {
    let what = format!("connection to {address}");
    match heard(address) {
        Ok(said) if said == word => {
            allowed(probe, format!("{what}: made, and answered by whom it was meant for"))
        }
        Ok(_) => {
            let detail = format!("{what}: somebody else answers");
            Attempt { probe, nobody_there: true, detail, ..Attempt::default() }
        }
        Err(error) => Attempt { nobody_there: true, ..refused(probe, None, &error, &what) },
    }
}

fn heard(address: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(256)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_the_right_answer_counts() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                writeln!(listener.accept().unwrap().0, "word").unwrap();
            }
        });
        assert!(connect(Probe::HostLoopback, address, "word").succeeded);
        let other = connect(Probe::HostLoopback, address, "another");
        assert!(!other.succeeded && other.nobody_there);
        answering.join().unwrap();
        let gone = connect(Probe::HostLoopback, address, "word");
        assert_eq!((gone.nobody_there, gone.errno), (true, Some(libc::ECONNREFUSED)));
    }

    #[test]
    fn a_process_is_found_by_its_word() {
        let word = format!("coracle-lab-test-{}", std::process::id());
        assert_eq!(seek(&word), None);
        // Waits for its input.
        let mut waiting = std::process::Command::new("cat");
        let mut child = waiting.args(["-", &word]).stdin(std::process::Stdio::piped()).spawn().unwrap();
        // When spawn answers, exec is past its return, but the words may not be in /proc yet.
        let look = |_| {
            seek(&word).or_else(|| {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
                None
            })
        };
        let (pid, found) = (child.id(), (0..1_000).find_map(look));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some(pid));
    }
}
