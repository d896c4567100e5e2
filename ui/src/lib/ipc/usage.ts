import type { Cleanup, CleanupKind, DiskUse, VmUsage } from "../bindings";
import { invoke, stream, type Stream } from "./core";

/** What the VM uses, once a second. */
export const vmUsage = (receive: (usage: VmUsage) => void): Stream => stream("vm_usage", {}, receive);
export const diskUse = (): Promise<DiskUse> => invoke("disk_use");
/** What could be cleaned up. */
export const cleanup = (): Promise<Cleanup> => invoke("cleanup");
/** Cleans up one kind of things; the answer is the freed bytes. */
export const cleanupRun = (kind: CleanupKind): Promise<number> => invoke("cleanup_run", { kind });
