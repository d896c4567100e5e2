import { describe, expect, it } from "vitest";
import type { IsolationMap } from "../bindings";
import en from "../i18n/en";
import { boxes, type Boxes, type Fact } from "./isolation";

const map = (more: Partial<IsolationMap> = {}): IsolationMap => ({
  own_vm: false,
  kernel: "6.12",
  hostname: "c1",
  pid_inside: 1,
  pid_in_guest: 200,
  namespaces: [
    { kind: "pid", own: true },
    { kind: "user", own: false },
  ],
  memory_max_bytes: null,
  memory_bytes: 1,
  cpus_max: null,
  pids_max: null,
  pids: 2,
  capabilities: ["CAP_CHOWN"],
  capabilities_dropped: 27,
  no_new_privileges: false,
  seccomp: true,
  calls_allowed: 350,
  covered_paths: 12,
  device_rules: 9,
  devices: 15,
  user_in_guest: 0,
  user_inside: 0,
  shared_folders: [],
  accelerator: "tcg",
  transport: "vsock",
  vm_memory_mib: 2048,
  vm_cpus: 2,
  vm_pid: 42,
  vm_process: null,
  ...more,
});
const drawn = (more: Partial<IsolationMap> = {}, ports: string[] = []): Boxes => boxes(map(more), ports, String);
const keys = (facts: readonly Fact[]): string[] => facts.map(({ key, standing }) => `${key}:${standing}`);
const WIDE: Partial<IsolationMap> = {
  own_vm: true,
  namespaces: ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].map((kind) => ({ kind, own: false })),
  memory_max_bytes: 1,
  cpus_max: 0.5,
  pids_max: 9,
  capabilities_dropped: 0,
  no_new_privileges: true,
  seccomp: false,
  device_rules: null,
  user_in_guest: 1000,
  user_inside: 1000,
  shared_folders: ["/src"],
  accelerator: "kvm",
  vm_process: {
    uid: 1000,
    capabilities: 0,
    seccomp: true,
    resident_bytes: 5,
    namespaces: [
      { kind: "net", own: true },
      { kind: "mnt", own: false },
    ],
    devices: ["virtio-blk"],
  },
};

describe("the boxes", () => {
  it("say what is a container's own, what it shares, and what crosses", () => {
    const found = drawn({}, ["8080:80"]);
    expect(keys(found.host)).toEqual(["process:own"]);
    expect(keys(found.outer)).toEqual(["emulated:crosses", "transport:crosses", "ports:crosses"]);
    expect(keys(found.vm)).toEqual(["kernel:shared", "size:shared"]);
    expect(keys(found.inner)).toEqual(["calls:crosses", "nodes:crosses"]);
    expect(keys(found.container)).toEqual([
      "ns.pid:own",
      "ns.user.shared:shared",
      "memory.free:shared",
      "cpus.free:shared",
      "pids.free:shared",
      "capabilities:own",
      "covered:own",
      "root:shared",
    ]);
  });

  it("tell a privileged container in a VM of its own otherwise", () => {
    const found = drawn(WIDE);
    expect(keys(found.vm)).toEqual(["kernel.own:own", "size:own"]);
    expect(keys(found.inner)).toEqual(["calls.all:crosses", "nodes.all:crosses"]);
    expect(keys(found.container)).toContain("capabilities.all:shared");
    expect(keys(found.container)).toContain("uid:own");
    expect(keys(found.host)).toContain("fence:own");
  });

  it("have a title and a sentence for each fact", () => {
    const root = WIDE.vm_process && { ...WIDE.vm_process, uid: 0, seccomp: false };
    const all = [drawn({}, ["1:1"]), drawn(WIDE), drawn({ vm_process: root ?? null }), drawn({ calls_allowed: null, capabilities: [], user_inside: 5 })];
    const facts = all.flatMap((found) => Object.values(found).flat()) as Fact[];
    const own = WIDE.namespaces?.map(({ kind }) => ({ key: `ns.${kind}` })) ?? [];
    for (const { key } of [...facts, ...own]) {
      expect(en, key).toHaveProperty([`isolation.${key}`]);
      expect(en, key).toHaveProperty([`isolation.${key}.what`]);
    }
  });
});
