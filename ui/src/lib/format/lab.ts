// What the Lab's report says, in the form in which the page draws it.
import type { Namespace, Relation, Report, Side, Times, WorkRow } from "../lab-bindings";

/** A bar of the race. */
export interface Lane {
  readonly kind: "cold_vm" | "micro_vm" | "micro_vm_warm" | "container";
  readonly ms: number;
  readonly teardownMs: number | null;
  readonly rounds: readonly number[];
}

/** Who was measured, slowest first. */
export function lanes(report: Report): readonly Lane[] {
  const kinds = ["cold_vm", "micro_vm", "micro_vm_warm", "container"] as const;
  return kinds.flatMap((kind): Lane[] => {
    const times: Times = report.starts[kind];
    if (times.first_output_median_ms === null) return [];
    return [
      {
        kind,
        ms: times.first_output_median_ms,
        teardownMs: times.teardown_median_ms,
        rounds: times.rounds.map((round) => Math.round(round.first_output_ms)),
      },
    ];
  });
}

/** A bar's share of the longest; at least so much that it is seen. */
export const share = (value: number, longest: number): number =>
  longest > 0 ? Math.min(1, Math.max(0.004, value / longest)) : 0;

/** The longest of what one loop took, in times of the host. */
export const slowest = (rows: readonly WorkRow[]): number =>
  Math.max(1, ...rows.flatMap((row) => [row.container_times_slower ?? 0, row.micro_vm_times_slower ?? 0]));

/** Own, shared, or not there. */
export type Having = "own" | "shared" | "absent" | "unknown";

const HAVING: Record<Relation, Having> = { own: "own", same: "shared", absent: "absent", unknown: "unknown" };

/** The order in which they are explained. */
const NAMESPACES = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user", "time"] as const;
export type NamespaceKind = (typeof NAMESPACES)[number];

/** Each namespace of a side, whether it is the guest's too. */
export function namespaces(side: Side): readonly { kind: NamespaceKind; having: Having }[] {
  const found = new Map(side.isolation.namespaces.map((it: Namespace) => [it.kind, it.relation]));
  return NAMESPACES.map((kind) => ({ kind, having: HAVING[found.get(kind) ?? "unknown"] }));
}

/** The kernel is shared when a neighbour of the same kind runs on it. */
export const kernel = (side: Side): Having => (side.shares_kernel_with_neighbour ? "shared" : "own");
