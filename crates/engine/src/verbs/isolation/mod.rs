//! What fences a running container off: the agent's facts, and beside them the host's about the VM. Nothing is run
//! inside, nothing changes.

use std::time::Duration;

use agent_proto::v1;

pub use lab::isolation::{
    Capabilities, ControlGroup, CoveredPath, DeviceNode, DeviceRule, FirstProcess, IdRange, Isolation,
    Kernel, Mount, Namespace, Relation, Runtime, Seccomp, SeccompMode, SeccompProfile, Users, VmDevice,
    VmProcess, VmSide,
};

use crate::agent::{QUICK, call};
use crate::engine::Engine;
use crate::error::{Error, StateConflict};
use crate::record::Record;
use crate::spec::capability_names;
use crate::state::State;

/// For the host's own /proc, which may wait for a busy QEMU.
const HOST: Duration = Duration::from_secs(5);

impl Engine {
    /// What fences a running container off.
    ///
    /// # Errors
    /// [`Error`]: there is no such container, it does not run, the agent does not answer.
    pub async fn isolation(&self, name: &str) -> Result<Isolation, Error> {
        let view = self.find(name)?.now();
        let record = &view.record;
        match &record.state {
            State::Running(_) | State::Paused(_) => {}
            State::Restarting(_) => return Err(StateConflict::Restarting(record.id.to_string()).into()),
            _ => return Err(StateConflict::NotRunning(record.id.to_string()).into()),
        }
        let doing = "tell what isolates the container";
        let agent = self.shared().agent_of(record, doing).await?;
        let request = v1::IsolationRequest { container_id: record.id.to_string() };
        let mut grpc = agent.grpc();
        let asked = call(QUICK, grpc.isolation(request));
        let (told, vm) = tokio::join!(asked, self.vm_side(record));
        Ok(of(record, told.map_err(|error| error.into_error(doing))?, vm))
    }

    async fn vm_side(&self, record: &Record) -> VmSide {
        let (memory_mib, cpus) = self.shared().own_vms.size_around(record);
        let none = VmSide { accelerator: None, transport: None, memory_mib, cpus, pid: None, process: None };
        let Some(vmm::Status::Running { accelerator, transport, pid, .. }) =
            self.shared().machine_of(record).status()
        else {
            return none;
        };
        let read = tokio::task::spawn_blocking(move || vmm::Confinement::of(pid));
        let process = tokio::time::timeout(HOST, read).await.ok().and_then(Result::ok).flatten();
        VmSide {
            accelerator: Some(accelerator.to_string()),
            transport: Some(transport.to_string()),
            pid: Some(pid),
            process: process.map(process_of),
            ..none
        }
    }
}

fn namespace(kind: impl Into<String>, inode: u64, outer_inode: u64) -> Namespace {
    let relation = match (inode, outer_inode) {
        (0, _) => Relation::Absent,
        (its, outer) if its == outer => Relation::Same,
        _ => Relation::Own,
    };
    Namespace { kind: kind.into(), inode, outer_inode, relation }
}

fn mode(number: u32) -> SeccompMode {
    match number {
        0 => SeccompMode::Off,
        1 => SeccompMode::Strict,
        _ => SeccompMode::Filter,
    }
}

fn process_of(seen: vmm::Confinement) -> VmProcess {
    VmProcess {
        uid: seen.uid,
        gid: seen.gid,
        capabilities: capability_names(seen.capabilities, seen.last_capability),
        no_new_privs: seen.no_new_privs,
        seccomp: mode(seen.seccomp_mode),
        seccomp_filters: seen.seccomp_filters,
        cgroup: seen.cgroup,
        resident_bytes: seen.resident_bytes,
        namespaces: seen.namespaces.into_iter().map(|(kind, its, ours)| namespace(kind, its, ours)).collect(),
        devices: seen.devices.into_iter().map(|(driver, id)| VmDevice { driver, id }).collect(),
    }
}

fn capabilities(told: &v1::Privileges) -> Capabilities {
    let names = |bits| capability_names(bits, told.last_capability);
    Capabilities {
        effective: names(told.effective),
        permitted: names(told.permitted),
        inheritable: names(told.inheritable),
        ambient: names(told.ambient),
        bounding: names(told.bounding),
        dropped: names(!told.bounding),
    }
}

fn group(told: v1::ControlGroup) -> ControlGroup {
    ControlGroup {
        path: told.path,
        memory_max_bytes: told.memory_max_bytes,
        memory_high_bytes: told.memory_high_bytes,
        memory_current_bytes: told.memory_current_bytes,
        cpu_quota_us: told.cpu_quota_us,
        cpu_period_us: told.cpu_period_us,
        cpuset: told.cpuset,
        pids_max: told.pids_max,
        pids_current: told.pids_current,
        io_max: told.io_max,
    }
}

/// The id inside that `outside` is.
fn inside(map: &[v1::IdRange], outside: u32) -> Option<u32> {
    let range =
        map.iter().find(|range| outside.checked_sub(range.outside).is_some_and(|n| n < range.count))?;
    range.inside.checked_add(outside - range.outside)
}

fn users(told: &v1::Users) -> Users {
    let ranges = |map: &[v1::IdRange]| {
        let one = |range: &v1::IdRange| IdRange {
            inside: range.inside,
            outside: range.outside,
            count: range.count,
        };
        map.iter().map(one).collect()
    };
    Users {
        uid_inside: inside(&told.uid_map, told.uid),
        uid_outside: told.uid,
        gid_inside: inside(&told.gid_map, told.gid),
        gid_outside: told.gid,
        groups_outside: told.groups.clone(),
        uid_map: ranges(&told.uid_map),
        gid_map: ranges(&told.gid_map),
    }
}

fn covered(paths: Vec<v1::HiddenPath>) -> Vec<CoveredPath> {
    paths.into_iter().map(|path| CoveredPath { path: path.path, in_effect: path.in_effect }).collect()
}

fn mount(told: v1::MountInfo) -> Mount {
    let v1::MountInfo { target, fs_type, source, options, fs_options } = told;
    Mount { target, fs_type, source, options, fs_options }
}

fn device(told: v1::DeviceNode) -> DeviceNode {
    let v1::DeviceNode { path, block, major, minor, mode, uid, gid } = told;
    DeviceNode { path, block, major, minor, mode, uid, gid }
}

fn rules(told: Vec<v1::DeviceRule>) -> Vec<DeviceRule> {
    told.into_iter().map(|told| DeviceRule { allow: told.allow, rule: told.rule }).collect()
}

/// The agent's words in ours.
fn of(record: &Record, told: v1::IsolationReply, vm: VmSide) -> Isolation {
    let privileges = told.privileges.unwrap_or_default();
    let profile = told.filter.map(|filter| SeccompProfile {
        default_action: filter.default_action,
        allowed: filter.allowed,
        conditional: filter.conditional,
        refused: filter.refused,
    });
    Isolation {
        id: record.id.to_string(),
        name: record.name.clone(),
        runtime: if record.has_own_vm() { Runtime::Vm } else { Runtime::Container },
        kernel: Kernel { release: told.kernel_release, boot_id: told.boot_id },
        hostname: told.hostname,
        process: FirstProcess {
            pid_in_guest: told.pids.first().copied().unwrap_or(0),
            pid_inside: told.pids.last().copied().unwrap_or(0),
        },
        namespaces: told
            .namespaces
            .into_iter()
            .map(|ns| namespace(ns.kind, ns.inode, ns.init_inode))
            .collect(),
        cgroup: group(told.cgroup.unwrap_or_default()),
        capabilities: capabilities(&privileges),
        no_new_privs: privileges.no_new_privs,
        seccomp: Seccomp {
            mode: mode(privileges.seccomp_mode),
            filters: privileges.seccomp_filters,
            profile,
        },
        mounts: told.mounts.into_iter().map(mount).collect(),
        mounts_total: told.mounts_total,
        devices: told.devices.into_iter().map(device).collect(),
        devices_total: told.devices_total,
        device_rules: (!told.all_devices_allowed).then(|| rules(told.device_rules)),
        masked_paths: covered(told.masked_paths),
        read_only_paths: covered(told.read_only_paths),
        users: users(&told.users.unwrap_or_default()),
        security_label: Some(told.security_label).filter(|label| !label.is_empty()),
        vm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_inwards() {
        let range = |inside, outside, count| v1::IdRange { inside, outside, count };
        let map = [range(0, 100_000, 1000), range(1000, 5, 1)];
        assert_eq!(inside(&map, 100_999), Some(999));
        assert_eq!(inside(&map, 5), Some(1000));
        assert_eq!(inside(&map, 101_000), None);
        assert_eq!(inside(&map, 4), None);
        assert_eq!(inside(&[range(0, 0, u32::MAX)], 1000), Some(1000));
    }

    #[test]
    fn namespaces_are_compared() {
        for (its, outer, relation) in
            [(0, 0, Relation::Absent), (7, 7, Relation::Same), (8, 7, Relation::Own)]
        {
            assert_eq!(namespace("net", its, outer).relation, relation);
        }
    }

    #[test]
    fn what_is_not_in_the_bounding_set_is_dropped() {
        let told = v1::Privileges { bounding: !(1 << 21), last_capability: 40, ..Default::default() };
        let found = capabilities(&told);
        assert_eq!((found.bounding.len(), found.dropped), (40, vec!["CAP_SYS_ADMIN".to_owned()]));
        assert!(found.effective.is_empty());
    }
}
