//! `/proc/PID/status` and the maps of ids (`proc(5)`, `user_namespaces(7)`).

use agent_proto::v1;

/// Supplementary groups that are told; the kernel allows 65,536.
const MAX_GROUPS: usize = 64;
/// Lines of a map; the kernel allows as many.
const MAX_RANGES: usize = 340;

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim).unwrap_or_default()
}

fn number(status: &str, name: &str) -> u32 {
    field(status, name).parse().unwrap_or(0)
}

fn bits(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).unwrap_or(0)
}

/// `NSpid`: the process's numbers, from the namespace of whoever looks to its own.
pub(super) fn pids(status: &str) -> Vec<u32> {
    field(status, "NSpid").split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// All but the kernel's last capability.
pub(super) fn privileges(status: &str) -> v1::Privileges {
    v1::Privileges {
        inheritable: bits(status, "CapInh"),
        permitted: bits(status, "CapPrm"),
        effective: bits(status, "CapEff"),
        bounding: bits(status, "CapBnd"),
        ambient: bits(status, "CapAmb"),
        last_capability: 0,
        no_new_privs: number(status, "NoNewPrivs") == 1,
        seccomp_mode: number(status, "Seccomp"),
        seccomp_filters: number(status, "Seccomp_filters"),
    }
}

/// All but the maps.
pub(super) fn users(status: &str) -> v1::Users {
    let effective = |name| field(status, name).split_whitespace().nth(1)?.parse::<u32>().ok();
    let groups = field(status, "Groups").split_whitespace().filter_map(|id| id.parse().ok());
    v1::Users {
        uid: effective("Uid").unwrap_or(0),
        gid: effective("Gid").unwrap_or(0),
        groups: groups.take(MAX_GROUPS).collect(),
        ..v1::Users::default()
    }
}

/// `inside outside count` lines.
pub(super) fn id_map(text: &str) -> Vec<v1::IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        Some(v1::IdRange { inside: next()?, outside: next()?, count: next()? })
    };
    text.lines().filter_map(range).take(MAX_RANGES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tNSpid:\t9\nPid:\t812\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\n\
        Groups:\t10 20 \nNSpid:\t812\t40\t1\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n\
        CapEff:\t00000000a80425fa\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000001\nNoNewPrivs:\t1\n\
        Seccomp:\t2\nSeccomp_filters:\t3\n";

    #[test]
    fn numbers_of_a_process_run_from_the_outside_in() {
        assert_eq!(pids(STATUS), [812, 40, 1]);
        assert!(pids("Pid:\t812\n").is_empty());
    }

    #[test]
    fn privileges_are_read() {
        let found = privileges(STATUS);
        assert_eq!((found.permitted, found.effective), (0xa804_25fb, 0xa804_25fa));
        assert_eq!((found.bounding, found.ambient, found.inheritable), (0x1ff_ffff_ffff, 1, 0));
        assert_eq!((found.no_new_privs, found.seccomp_mode, found.seccomp_filters), (true, 2, 3));
        assert_eq!(privileges(""), v1::Privileges::default());
    }

    #[test]
    fn users_and_maps_are_read() {
        let found = users(STATUS);
        assert_eq!((found.uid, found.gid, found.groups), (1001, 6, vec![10, 20]));
        let map = id_map("         0          0 4294967295\n 5 100000 1\nbad\n1 2\n");
        let range = |inside, outside, count| v1::IdRange { inside, outside, count };
        assert_eq!(map, [range(0, 0, u32::MAX), range(5, 100_000, 1)]);
    }
}
