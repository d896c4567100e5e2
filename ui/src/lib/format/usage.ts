// What the VM uses, as people read it and as charts draw it.
import type { Cleanup, CleanupKind, DiskUse, VmUsage } from "../bindings";
import { bytes } from "./text";

/** What is not known. */
export const UNKNOWN = "–";

export const bytesOr = (count: number | null | undefined, language: string): string =>
  count === null || count === undefined ? UNKNOWN : bytes(count, language);

/** Of a hundred; without decimals above ten. */
export function percent(value: number | null | undefined, language: string): string {
  if (value === null || value === undefined) return UNKNOWN;
  return new Intl.NumberFormat(language, {
    style: "percent",
    maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value / 100);
}

export interface Series {
  /** Seconds since 1970. */
  readonly moments: number[];
  readonly values: (number | null)[];
}

export function series(history: readonly VmUsage[], pick: (usage: VmUsage) => number | null): Series {
  return { moments: history.map(({ at_unix_ms }) => at_unix_ms / 1_000), values: history.map(pick) };
}

/** What the data disk holds: the guest knows it while it runs; otherwise what its file takes here. */
export const dataDiskBytes = ({ state, data_disk }: VmUsage): number | null =>
  state === "running" ? data_disk.guest_used_bytes : data_disk.allocated_bytes;

export type DiskKind = keyof DiskUse;
export const DISK_KINDS: readonly DiskKind[] = ["images", "containers", "volumes", "build_cache"];

/** Each kind's part of all that is known, from 0 to 1. */
export function shares(use: DiskUse): Record<DiskKind, number> {
  const total = DISK_KINDS.reduce((sum, kind) => sum + (use[kind].bytes ?? 0), 0);
  const share = (kind: DiskKind): number => (total === 0 ? 0 : (use[kind].bytes ?? 0) / total);
  return { images: share("images"), containers: share("containers"), volumes: share("volumes"), build_cache: share("build_cache") };
}

/** In the order in which they are run: what ends containers frees images and volumes. */
export const CLEANUP_KINDS: readonly CleanupKind[] = [
  "stopped_containers",
  "dangling_images",
  "unused_images",
  "unused_networks",
  "anonymous_volumes",
  "unused_volumes",
  "build_cache",
];

/** What `docker system prune` takes: nothing that somebody named. */
export const SAFE_KINDS: readonly CleanupKind[] = [
  "stopped_containers",
  "dangling_images",
  "unused_networks",
  "build_cache",
];

/** The kind that takes all of another and more. */
export const WIDER: Partial<Record<CleanupKind, CleanupKind>> = {
  dangling_images: "unused_images",
  anonymous_volumes: "unused_volumes",
};

/** What is to be run: nothing that a wider kind takes anyway. */
export const effective = (chosen: readonly CleanupKind[]): CleanupKind[] =>
  CLEANUP_KINDS.filter((kind) => {
    const wider = WIDER[kind];
    return chosen.includes(kind) && !(wider && chosen.includes(wider));
  });

/** What the chosen kinds free; nothing when a part of it is not known. */
export function freed(preview: Cleanup, chosen: readonly CleanupKind[]): number | undefined {
  let sum = 0;
  for (const kind of effective(chosen)) {
    const { bytes: part, count } = preview[kind];
    if (part === null && count > 0) return undefined;
    sum += part ?? 0;
  }
  return sum;
}
