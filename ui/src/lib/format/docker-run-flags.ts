// Every option of `docker run` (docker 29), and what becomes of it here.

/** Whether it takes a value, and whether a second one replaces the first. */
export type Kind = "switch" | "one" | "list";

/**
 * `field`: the form has a place for it. `further`: it is sent as it is. `client`: it concerns the terminal that docker
 * runs in. `refused`: there is nothing in Coracle that could do it.
 */
export type Role = "field" | "further" | "client" | "refused";

export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  readonly kind: Kind;
  readonly role: Role;
}

const field = (name: string, kind: Kind): Flag => ({ name, kind, role: "field" });
/** The example is for the shell's test, which reads this table and sends each of them. */
const further = (name: string, kind: Kind, _example: string): Flag => ({ name, kind, role: "further" });
const client = (name: string, kind: Kind): Flag => ({ name, kind, role: "client" });
const refused = (name: string, kind: Kind): Flag => ({ name, kind, role: "refused" });

const FLAGS: readonly Flag[] = [
  field("cpus", "one"),
  field("entrypoint", "one"),
  field("env", "list"),
  field("interactive", "switch"),
  field("memory", "one"),
  field("name", "one"),
  field("publish", "list"),
  field("restart", "one"),
  field("rm", "switch"),
  field("runtime", "one"),
  field("tty", "switch"),

  // The form has a field for their common form alone: see docker-run.ts.
  further("mount", "list", "type=bind,source=/a,target=/b,readonly"),
  further("network", "list", "name=backend,alias=db"),
  further("volume", "list", "data:/data:nocopy"),

  further("add-host", "list", "db=10.0.0.1"),
  further("annotation", "list", "a=b"),
  further("blkio-weight", "one", "500"),
  further("blkio-weight-device", "list", "/dev/sda:500"),
  further("cap-add", "list", "NET_ADMIN"),
  further("cap-drop", "list", "ALL"),
  further("cgroup-parent", "one", "/a"),
  further("cgroupns", "one", "private"),
  further("cpu-period", "one", "100000"),
  further("cpu-quota", "one", "50000"),
  further("cpu-shares", "one", "512"),
  further("cpuset-cpus", "one", "0-1"),
  further("cpuset-mems", "one", "0"),
  further("device", "list", "/dev/fuse:/dev/fuse:rwm"),
  further("device-cgroup-rule", "list", "c 1:3 r"),
  further("device-read-bps", "list", "/dev/sda:1mb"),
  further("device-read-iops", "list", "/dev/sda:100"),
  further("device-write-bps", "list", "/dev/sda:1mb"),
  further("device-write-iops", "list", "/dev/sda:100"),
  further("dns", "list", "1.1.1.1"),
  further("dns-option", "list", "ndots:1"),
  further("dns-search", "list", "example.org"),
  further("domainname", "one", "example.org"),
  further("env-file", "list", "/a/variables.env"),
  further("expose", "list", "8000-8010/udp"),
  further("group-add", "list", "audio"),
  further("health-cmd", "one", "curl -f localhost"),
  further("health-interval", "one", "30s"),
  further("health-retries", "one", "3"),
  further("health-start-interval", "one", "1s"),
  further("health-start-period", "one", "1m30s"),
  further("health-timeout", "one", "500ms"),
  further("hostname", "one", "web"),
  further("init", "switch", ""),
  further("ip", "one", "172.20.0.5"),
  further("ip6", "one", "fd00::5"),
  further("ipc", "one", "host"),
  further("isolation", "one", "default"),
  further("label", "list", "a=b"),
  further("label-file", "list", "/a/labels"),
  further("link", "list", "db:database"),
  further("link-local-ip", "list", "169.254.1.1"),
  further("log-driver", "one", "json-file"),
  further("log-opt", "list", "max-size=10m"),
  further("mac-address", "one", "02:42:ac:11:00:02"),
  further("memory-reservation", "one", "256m"),
  further("memory-swap", "one", "-1"),
  further("memory-swappiness", "one", "0"),
  further("network-alias", "list", "db"),
  further("no-healthcheck", "switch", ""),
  further("oom-kill-disable", "switch", ""),
  further("oom-score-adj", "one", "-500"),
  further("pid", "one", "host"),
  further("pids-limit", "one", "100"),
  further("platform", "one", "linux/amd64"),
  further("privileged", "switch", ""),
  further("publish-all", "switch", ""),
  further("read-only", "switch", ""),
  further("security-opt", "list", "no-new-privileges"),
  further("shm-size", "one", "64m"),
  further("stop-signal", "one", "SIGINT"),
  further("stop-timeout", "one", "30"),
  further("sysctl", "list", "net.core.somaxconn=1024"),
  further("tmpfs", "list", "/run:size=64m,mode=1777"),
  further("ulimit", "list", "nofile=1024:2048"),
  further("user", "one", "1000:1000"),
  further("userns", "one", "host"),
  further("uts", "one", "host"),
  further("volume-driver", "one", "local"),
  further("volumes-from", "list", "other:ro"),
  further("workdir", "one", "/app"),

  client("attach", "list"),
  client("cidfile", "one"),
  client("detach", "switch"),
  client("detach-keys", "one"),
  client("disable-content-trust", "switch"),
  client("pull", "one"),
  client("quiet", "switch"),
  client("sig-proxy", "switch"),

  refused("cpu-count", "one"),
  refused("cpu-percent", "one"),
  refused("cpu-rt-period", "one"),
  refused("cpu-rt-runtime", "one"),
  refused("gpus", "one"),
  refused("io-maxbandwidth", "one"),
  refused("io-maxiops", "one"),
  refused("kernel-memory", "one"),
  refused("storage-opt", "list"),
  refused("use-api-socket", "switch"),
];

const OTHER_NAMES: Record<string, string> = {
  "dns-opt": "dns-option",
  net: "network",
  "net-alias": "network-alias",
};

const LETTERS: Record<string, string> = {
  a: "attach",
  c: "cpu-shares",
  d: "detach",
  e: "env",
  h: "hostname",
  i: "interactive",
  l: "label",
  m: "memory",
  p: "publish",
  P: "publish-all",
  q: "quiet",
  t: "tty",
  u: "user",
  v: "volume",
  w: "workdir",
};

const byName = new Map(FLAGS.map((flag) => [flag.name, flag]));

export const longFlag = (name: string): Flag | undefined => byName.get(OTHER_NAMES[name] ?? name);
export const shortFlag = (letter: string): Flag | undefined => byName.get(LETTERS[letter] ?? "");
export const flagNames = (): string[] => [...byName.keys()];
