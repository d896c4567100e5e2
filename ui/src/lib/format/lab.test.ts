import { describe, expect, it } from "vitest";
import type { Report, Side } from "../lab-bindings";
import { advance } from "../stores/lab.svelte";
import { kernel, lanes, namespaces, share } from "./lab";

describe("the Lab's report", () => {
  it("has a lane for what was measured", () => {
    const times = (ms: number | null): Report["starts"]["container"] => ({
      rounds: ms === null ? [] : [{ first_output_ms: ms + 0.4, teardown_ms: 1, how: "shared" }],
      first_output_median_ms: ms,
      teardown_median_ms: ms,
    });
    const starts = { cold_vm: times(2000), micro_vm: times(900), micro_vm_warm: times(null), container: times(120) };
    const found = lanes({ starts } as Report);
    expect(found.map(({ kind, ms, rounds }) => [kind, ms, rounds])).toEqual([
      ["cold_vm", 2000, [2000]],
      ["micro_vm", 900, [900]],
      ["container", 120, [120]],
    ]);
    expect([share(1000, 2000), share(0, 2000), share(1, 0)]).toEqual([0.5, 0.004, 0]);
  });

  it("tells own from shared, and what it does not know", () => {
    const of = (kind: string, relation: "same" | "own"): object => ({ kind, relation, inode: 1, outer_inode: 2 });
    const side = {
      shares_kernel_with_neighbour: true,
      isolation: { namespaces: [of("net", "own"), of("user", "same")] },
    } as unknown as Side;
    const having = Object.fromEntries(namespaces(side).map((it) => [it.kind, it.having]));
    expect([having["net"], having["user"], having["pid"]]).toEqual(["own", "shared", "unknown"]);
    expect(kernel(side)).toBe("shared");
  });
});

describe("a run of the Lab", () => {
  it("goes from stage to stage", () => {
    let stages = advance([], { event: "began", stage: "container", at_ms: 5 });
    stages = advance(stages, { event: "step", stage: "container", number: 2, of: 3, at_ms: 9 });
    expect(stages).toEqual([
      { stage: "container", state: "running", number: 2, of: 3, beganMs: 5, tookMs: undefined },
    ]);
    stages = advance(stages, { event: "ended", stage: "container", at_ms: 15, took_ms: 10 });
    expect(stages[0]).toMatchObject({ state: "done", tookMs: 10 });
    expect(advance(stages, { event: "failed", message: "x" })).toBe(stages);
  });
});
