//! The last moments before the power goes: the data disk and volumes' disks are left as clean file systems.
//!
//! What keeps it busy goes first: shims that hold logs open, then the containers' mounts, of which overlays write
//! to it. Folders of the host stay mounted: their server may be gone, and then nothing would answer.

use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sync};

use crate::paths;

/// Processes that were just killed let go of their mounts a little later.
const PATIENCE: Duration = Duration::from_millis(800);
const LOOK: Duration = Duration::from_millis(10);

/// Mount points of containers' own, volumes' disks, and the data disk.
fn is_ours(target: &str) -> bool {
    let below = |folder: &str| target.strip_prefix(paths::RUN).is_some_and(|rest| rest.starts_with(folder));
    target == paths::DATA || ["/c/", "/d/", "/m/", "/v/"].into_iter().any(below)
}

/// The targets in a process's mountinfo (proc(5)), last mounted first.
fn targets(mountinfo: &str) -> Vec<&str> {
    let all = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let mut ours: Vec<&str> = all.filter(|target| is_ours(target)).collect();
    ours.reverse();
    ours
}

/// Ends everything but this process and unmounts the data disk.
pub(crate) fn leave_disks() {
    sync();
    // Everything: nothing that runs now has a purpose any more.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    let begin = Instant::now();
    loop {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let left = targets(&mountinfo);
        if left.is_empty() {
            return sync();
        }
        for target in left {
            let _ = umount2(target, MntFlags::empty());
        }
        if begin.elapsed() > PATIENCE {
            break;
        }
        std::thread::park_timeout(LOOK);
    }
    tracing::warn!("the data disk is busy");
    let _ = umount2(paths::DATA, MntFlags::MNT_DETACH);
    sync();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_down_and_in_which_order() {
        let mountinfo = "29 24 0:25 / /run rw - tmpfs tmpfs rw
34 29 254:0 / /run/coracle/root ro - erofs /dev/vda ro
36 24 254:32 / /var/lib/coracle/data rw - ext4 /dev/vdc rw
37 29 253:0 / /run/coracle/layers/aa rw - erofs /dev/dm-0 ro
38 29 0:40 / /run/coracle/shares/home rw - virtiofs home rw
42 29 0:29 / /run/coracle/c/ab/rootfs rw - overlay overlay rw
43 29 0:30 / /run/coracle/m/ab/0 rw - ext4 /dev/vdc rw
";
        let wanted = ["/run/coracle/m/ab/0", "/run/coracle/c/ab/rootfs", "/var/lib/coracle/data"];
        assert_eq!(targets(mountinfo), wanted);
    }
}
