// What fences a container off, as facts in three boxes and on the two borders between them. Pure, so that tables can
// test it.
import type { IsolationMap, IsolationNamespace } from "../bindings";

/** Whose it is: the box's alone, or also what is around it, or a way through the border. */
export type Standing = "own" | "shared" | "crosses";

export interface Fact {
  /** Its texts are `isolation.<key>` and `isolation.<key>.what`. */
  readonly key: string;
  readonly standing: Standing;
  readonly values: Readonly<Record<string, string | number>>;
}

export interface Boxes {
  readonly host: readonly Fact[];
  /** Between the computer and the VM. */
  readonly outer: readonly Fact[];
  readonly vm: readonly Fact[];
  /** Between the VM and the container. */
  readonly inner: readonly Fact[];
  readonly container: readonly Fact[];
}

type Format = (bytes: number) => string;

const fact = (key: string, standing: Standing, values: Fact["values"] = {}): Fact => ({ key, standing, values });
const known = (facts: readonly (Fact | false | null)[]): Fact[] => facts.filter((it): it is Fact => Boolean(it));
const names = (all: readonly IsolationNamespace[], own: boolean): string =>
  all.filter((one) => one.own === own).map((one) => one.kind).join(", ");

export function boxes(map: IsolationMap, ports: readonly string[], bytes: Format): Boxes {
  const { vm_process: process } = map;
  return {
    host: known([
      map.vm_pid !== null && fact("process", "own", { pid: map.vm_pid }),
      process && (process.uid === 0 ? fact("user.root", "shared") : fact("user", "own", { uid: process.uid })),
      process && fact("resident", "own", { bytes: bytes(process.resident_bytes) }),
      process && fact(process.seccomp ? "fence" : "fence.none", process.seccomp ? "own" : "shared"),
      process && names(process.namespaces, true) !== "" && fact("vmNamespaces", "own", { names: names(process.namespaces, true) }),
      process && names(process.namespaces, false) !== "" && fact("vmNamespaces.shared", "shared", { names: names(process.namespaces, false) }),
    ]),
    outer: known([
      map.accelerator !== null && fact(map.accelerator === "tcg" ? "emulated" : "accelerated", "crosses", { name: map.accelerator }),
      map.transport !== null && fact("transport", "crosses", { name: map.transport }),
      process && fact("devices", "crosses", { count: process.devices.length }),
      map.shared_folders.length > 0 && fact("folders", "crosses", { paths: map.shared_folders.join(", ") }),
      ports.length > 0 && fact("ports", "crosses", { ports: ports.join(", ") }),
    ]),
    vm: known([
      map.own_vm ? fact("kernel.own", "own", { release: map.kernel }) : fact("kernel", "shared", { release: map.kernel }),
      fact("size", map.own_vm ? "own" : "shared", { cpus: map.vm_cpus, memory: bytes(map.vm_memory_mib * 1024 * 1024) }),
    ]),
    inner: known([
      map.seccomp
        ? map.calls_allowed === null
          ? fact("calls.filtered", "crosses")
          : fact("calls", "crosses", { count: map.calls_allowed })
        : fact("calls.all", "crosses"),
      map.device_rules === null ? fact("nodes.all", "crosses") : fact("nodes", "crosses", { count: map.devices }),
    ]),
    container: known([
      ...map.namespaces.map(({ kind, own }) =>
        own ? fact(`ns.${kind}`, "own", own ? insideOf(map, kind) : {}) : fact(`ns.${kind}.shared`, "shared"),
      ),
      map.memory_max_bytes === null
        ? fact("memory.free", "shared", { used: bytes(map.memory_bytes) })
        : fact("memory", "own", { used: bytes(map.memory_bytes), most: bytes(map.memory_max_bytes) }),
      map.cpus_max === null ? fact("cpus.free", "shared") : fact("cpus", "own", { most: Math.round(map.cpus_max * 100) / 100 }),
      map.pids_max === null ? fact("pids.free", "shared", { count: map.pids }) : fact("pids", "own", { count: map.pids, most: map.pids_max }),
      map.capabilities.length === 0
        ? fact("capabilities.none", "own")
        : map.capabilities_dropped === 0
          ? fact("capabilities.all", "shared", { count: map.capabilities.length })
          : fact("capabilities", "own", { count: map.capabilities.length, dropped: map.capabilities_dropped }),
      map.no_new_privileges && fact("noNew", "own"),
      map.covered_paths > 0 && fact("covered", "own", { count: map.covered_paths }),
      map.user_in_guest === map.user_inside
        ? fact(map.user_in_guest === 0 ? "root" : "uid", map.user_in_guest === 0 ? "shared" : "own", { uid: map.user_in_guest })
        : fact("mapped", "own", { inside: map.user_inside ?? "–", outside: map.user_in_guest }),
    ]),
  };
}

function insideOf(map: IsolationMap, kind: string): Fact["values"] {
  if (kind === "pid") return { inside: map.pid_inside, outside: map.pid_in_guest };
  return kind === "uts" ? { name: map.hostname } : {};
}
