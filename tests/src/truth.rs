//! What really is in the guest, seen by a privileged container in the VM's own namespaces, and whether it is what
//! the database says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Host;

/// One look at everything; `$@` are the pids whose addresses are asked for.
const LOOK: &str = r##"
cd /proc/1/root/run/coracle
for folder in c r s x v m; do echo "# $folder"; ls -1 $folder 2>/dev/null; done
echo '# mounts'; awk '{print $5}' /proc/1/mountinfo
cd /proc/1/root/sys/fs/cgroup/coracle; echo '# cgroups'; ls -1d */
echo '# members'; grep . */cgroup.procs
cd /sys/class/net; echo '# links'; ls -1
echo '# ports'; for port in v*; do [ -e $port ] && echo $port $(readlink $port/master); done
cd /proc; echo '# spaces'; ls -l [0-9]*/ns/net 2>/dev/null
for pid in "$@"; do echo "# addresses $pid"; nsenter -t $pid -n ip -4 -o addr show; done
"##;

/// One container, as the API tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Docker's word for its state.
    pub status: String,
    /// Of its first process, in the guest; 0 when there is none.
    pub pid: i64,
    /// The code of its last end.
    pub exit_code: i64,
    /// How often its policy has started it.
    pub restarts: i64,
    host_network: bool,
    /// Address and id of each of its networks.
    networks: Vec<(String, String)>,
}

impl Told {
    fn of(inspected: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = &inspected["State"];
        let networks = inspected["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        let networks = networks.map(|(_, its)| (text(&its["IPAddress"]), text(&its["NetworkID"])));
        Self {
            id: text(&inspected["Id"]),
            name: text(&inspected["Name"]).trim_start_matches('/').to_owned(),
            status: text(&state["Status"]),
            pid: state["Pid"].as_i64().unwrap_or(0),
            exit_code: state["ExitCode"].as_i64().unwrap_or(-1),
            restarts: inspected["RestartCount"].as_i64().unwrap_or(-1),
            host_network: inspected["HostConfig"]["NetworkMode"] == "host",
            networks: networks.filter(|(address, _)| !address.is_empty()).collect(),
        }
    }

    /// Whether the guest has a process of it.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }
}

/// All containers, by name, as the API tells of them. `docker ps` must tell the same.
pub async fn told(host: &Host) -> BTreeMap<String, Told> {
    let listed = host.docker("ps -a --no-trunc --format {{.ID}}").ok().await;
    if listed.is_empty() {
        return BTreeMap::new();
    }
    let inspected = host.docker_args(["inspect"].into_iter().chain(listed.lines())).ok().await;
    let inspected: Vec<Value> = serde_json::from_str(&inspected).unwrap();
    inspected.iter().map(Told::of).map(|told| (told.name.clone(), told)).collect()
}

/// Looks, through the running container `witness`, until guest and database agree in everything; what the database
/// says then. Restarts may go on meanwhile: a look between two of which none happened is enough. Panics with the
/// differences that are left after `deadline`.
pub async fn agree(host: &Host, witness: &str, deadline: Duration) -> BTreeMap<String, Told> {
    let begin = Instant::now();
    loop {
        let before = told(host).await;
        let pids: Vec<String> =
            before.values().filter(|its| its.pid != 0).map(|its| its.pid.to_string()).collect();
        let script = ["exec", witness, "sh", "-c", LOOK, "look"];
        let look = host.docker_args(script.into_iter().chain(pids.iter().map(String::as_str))).finish().await;
        let bridges = host.docker("network ls --no-trunc -qf driver=bridge").ok().await;
        let listed = host.docker("ps -a --format {{.Names}}={{.State}}").ok().await;
        let after = told(host).await;
        let mut differences = Guest::read(&look.stdout).differences(&after, &bridges);
        let states: BTreeSet<String> =
            after.values().map(|its| format!("{}={}", its.name, its.status)).collect();
        if listed.lines().map(str::to_owned).collect::<BTreeSet<_>>() != states {
            differences.push(format!("ps tells {listed}, inspect {states:?}"));
        }
        if before == after && differences.is_empty() {
            return after;
        }
        assert!(begin.elapsed() < deadline, "after {deadline:?} still: {differences:#?}\n{}", look.stderr);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sections of a look, by their headings.
struct Guest<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Guest<'a> {
    fn read(text: &'a str) -> Self {
        let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut now = "";
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(heading) => {
                    now = heading;
                    sections.entry(now).or_default();
                }
                None => sections.entry(now).or_default().push(line),
            }
        }
        Self(sections)
    }

    fn lines(&self, section: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(section).into_iter().flatten().copied()
    }

    fn differences(&self, told: &BTreeMap<String, Told>, bridges: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut same = |what: &str, has: BTreeSet<String>, wanted: &BTreeSet<String>| {
            for its in has.difference(wanted) {
                wrong.push(format!("{what}: {its} is in the guest alone"));
            }
            for its in wanted.difference(&has) {
                wrong.push(format!("{what}: {its} is not in the guest"));
            }
        };
        let running: Vec<&Told> = told.values().filter(|its| its.runs()).collect();
        let ids: BTreeSet<String> = running.iter().map(|its| its.id.clone()).collect();
        let set = |lines: &mut dyn Iterator<Item = &str>| lines.map(str::to_owned).collect::<BTreeSet<_>>();

        same("run folder", set(&mut self.lines("c")), &ids);
        same("runtime's state", set(&mut self.lines("r")), &ids);
        let execs: BTreeSet<&str> = self.lines("x").collect();
        same("shim", set(&mut self.lines("s").filter(|its| !execs.contains(its))), &ids);
        same("volume in memory", set(&mut self.lines("v")), &BTreeSet::new());
        same("pinned mount", set(&mut self.lines("m")), &BTreeSet::new());
        let root = |line: &'a str| line.strip_prefix("/run/coracle/c/")?.strip_suffix("/rootfs");
        same("root file system", set(&mut self.lines("mounts").filter_map(root)), &ids);
        let others = |line: &&str| line.starts_with("/run/coracle/c/") && !line.ends_with("/rootfs");
        same("other mount", set(&mut self.lines("mounts").filter(others)), &BTreeSet::new());

        same("cgroup", set(&mut self.lines("cgroups").map(|its| its.trim_end_matches('/'))), &ids);
        let members = self.lines("members").filter_map(|line| line.split_once("/cgroup.procs:"));
        let members: BTreeSet<(&str, &str)> = members.collect();
        let firsts = running.iter().map(|its| format!("{} in {}", its.pid, its.id)).collect();
        let is_first = |(id, pid): &&(&str, &str)| {
            running.iter().any(|its| its.id == *id && its.pid.to_string() == *pid)
        };
        same(
            "first process",
            members.iter().filter(is_first).map(|(id, pid)| format!("{pid} in {id}")).collect(),
            &firsts,
        );

        let mut ports = BTreeSet::new();
        for its in &running {
            for (address, network) in &its.networks {
                let bridge = self.bridge(network);
                ports.insert(format!("v{}{} {bridge}", &its.id[..7], &network[..7]));
                let heading = format!("addresses {}", its.pid);
                if !self.lines(&heading).any(|line| line.contains(&format!(" {address}/"))) {
                    wrong_address(&mut same, &its.name, address);
                }
            }
        }
        let master = |line: &'a str| {
            let (port, master) = line.split_once(' ').unwrap_or((line, ""));
            format!("{port} {}", master.rsplit('/').next().unwrap_or_default())
        };
        same("veth", self.lines("ports").map(master).collect(), &ports);
        let wanted = bridges.lines().map(|id| self.bridge(id)).collect();
        let is_bridge = |name: &&str| *name == "docker0" || name.starts_with("br-");
        same("bridge", set(&mut self.lines("links").filter(is_bridge)), &wanted);

        self.namespaces(&mut same, &running);
        wrong
    }

    /// `docker0` is the default network's, whose id is not known here: it is the one without a bridge of its id.
    fn bridge(&self, network: &str) -> String {
        let own = format!("br-{}", &network[..12]);
        if self.lines("links").any(|link| link == own) { own } else { "docker0".to_owned() }
    }

    /// Each container has one of its own, but those in the VM's. One more is the next container's, made ahead.
    fn namespaces(
        &self,
        same: &mut impl FnMut(&str, BTreeSet<String>, &BTreeSet<String>),
        running: &[&Told],
    ) {
        let mut of: BTreeMap<&str, &str> = BTreeMap::new();
        for line in self.lines("spaces") {
            let mut words = line.split_whitespace().rev();
            let (Some(space), Some(_), Some(path)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            of.insert(path.split('/').next().unwrap_or_default(), space);
        }
        let vm = of.get("1").copied().unwrap_or_default();
        let mut seen = BTreeSet::from([vm]);
        let mut shared = BTreeSet::new();
        for its in running {
            let space = of.get(its.pid.to_string().as_str()).copied().unwrap_or_default();
            if its.host_network != (space == vm) || (!its.host_network && !seen.insert(space)) {
                shared.insert(format!("{} in {space}", its.name));
            }
        }
        same("network namespace", shared, &BTreeSet::new());
        let left: BTreeSet<String> =
            of.values().filter(|its| !seen.contains(*its)).map(|its| (*its).to_owned()).collect();
        if left.len() > 1 {
            same("network namespace of nobody", left, &BTreeSet::new());
        }
    }
}

fn wrong_address(
    same: &mut impl FnMut(&str, BTreeSet<String>, &BTreeSet<String>),
    name: &str,
    address: &str,
) {
    same("address", BTreeSet::new(), &BTreeSet::from([format!("{address} of {name}")]));
}
