import { describe, expect, it } from "vitest";
import type { Cleanup, CleanupKind, VmUsage } from "../bindings";
import { bytesOr, CLEANUP_KINDS, dataDiskBytes, effective, freed, percent, shares } from "./usage";

const preview = (parts: Partial<Record<CleanupKind, [number, number | null]>>): Cleanup =>
  Object.fromEntries(
    CLEANUP_KINDS.map((kind) => {
      const [count, bytes] = parts[kind] ?? [0, 0];
      return [kind, { count, bytes, names: [] }];
    }),
  ) as unknown as Cleanup;

describe("what the VM uses", () => {
  it("is a dash when it is not known, never nothing", () => {
    expect([bytesOr(null, "en"), bytesOr(0, "en"), percent(undefined, "en"), percent(0, "en")]).toEqual(["–", "0 bytes", "–", "0%"]);
    expect([percent(3.14, "en"), percent(99.6, "en")]).toEqual(["3.1%", "100%"]);
  });

  it("does not mix what the guest says of its disk with what the file takes", () => {
    const usage = (state: string, used: number | null): VmUsage =>
      ({ state, data_disk: { size_bytes: 9, allocated_bytes: 5, guest_used_bytes: used, guest_free_bytes: null } }) as VmUsage;
    expect([usage("off", null), usage("running", null), usage("running", 3)].map(dataDiskBytes)).toEqual([5, null, 3]);
  });

  it("is shared out over what is known", () => {
    const use = (images: number, containers: number | null) => ({
      images: { count: 1, bytes: images },
      containers: { count: 1, bytes: containers },
      volumes: { count: 0, bytes: 0 },
      build_cache: { count: 0, bytes: 0 },
    });
    expect(shares(use(3, 1))).toEqual({ images: 0.75, containers: 0.25, volumes: 0, build_cache: 0 });
    expect(shares(use(0, null)).images).toBe(0);
  });
});

describe("a clean-up", () => {
  it("counts nothing twice and runs nothing twice", () => {
    const all = preview({ stopped_containers: [1, 10], dangling_images: [1, 5], unused_images: [2, 25] });
    expect(freed(all, ["stopped_containers", "dangling_images"])).toBe(15);
    expect(freed(all, ["dangling_images", "unused_images"])).toBe(25);
    expect(effective(["unused_images", "dangling_images", "stopped_containers"])).toEqual(["stopped_containers", "unused_images"]);
  });

  it("promises no sum that it does not know", () => {
    expect(freed(preview({ stopped_containers: [1, null] }), ["stopped_containers"])).toBeUndefined();
    expect(freed(preview({ stopped_containers: [0, null] }), ["stopped_containers"])).toBe(0);
  });
});
