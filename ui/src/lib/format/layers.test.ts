import { describe, expect, it } from "vitest";
import type { ImageInstruction, ImageLayer } from "../bindings";
import { hiddenShare, instruction, pieces, told, verdict } from "./layers";

const layer = (index: number, content_bytes: number, wasted_bytes = 0): ImageLayer => ({
  index,
  diff_id: `sha256:${index}`,
  digest: `sha256:${index}`,
  created_by: null,
  size_bytes: content_bytes,
  compressed_bytes: content_bytes,
  disk_bytes: content_bytes,
  content_bytes,
  wasted_bytes,
  files: 1,
  directories: 0,
  symlinks: 0,
  whiteouts: 0,
});

describe("an instruction", () => {
  it.each([
    ["/bin/sh -c #(nop)  CMD [\"nginx\" \"-g\"]", "CMD", "[\"nginx\" \"-g\"]"],
    ["/bin/sh -c #(nop) ADD file:abc in / ", "ADD", "file:abc in /"],
    ["/bin/sh -c apt-get update", "RUN", "apt-get update"],
    ["RUN /bin/sh -c apk add curl # buildkit", "RUN", "apk add curl"],
    ["RUN |1 VERSION=2 /bin/sh -c make # buildkit", "RUN", "make"],
    ["|1 VERSION=2 /bin/sh -c make", "RUN", "make"],
    ["COPY . /app # buildkit", "COPY", ". /app"],
    ["crane append", "", "crane append"],
    ["", "", ""],
  ])("%j", (createdBy, word, text) => expect(instruction(createdBy)).toEqual({ word, text }));
});

describe("the bar of layers", () => {
  it("is filled, in proportion", () => {
    const bar = pieces([layer(0, 300), layer(1, 100)]);
    expect(bar.map(({ start, width }) => [start, width])).toEqual([
      [0, 0.75],
      [0.75, 0.25],
    ]);
  });

  it("shows layers of nothing, and still ends at its end", () => {
    const bar = pieces([layer(0, 1_000_000), layer(1, 0), layer(2, 1_000_000)]);
    expect(bar[1]?.width).toBeGreaterThan(0.005);
    const last = bar[2] as (typeof bar)[number];
    expect(last.start + last.width).toBeCloseTo(1);
    expect(pieces([layer(0, 0), layer(1, 0)]).map(({ width }) => width)).toEqual([0.5, 0.5]);
    expect(pieces([])).toEqual([]);
  });

  it("says how much of a layer is hidden later", () => {
    expect(hiddenShare(layer(0, 200, 50))).toBe(0.25);
    expect(hiddenShare(layer(0, 0, 0))).toBe(0);
    expect(pieces([layer(0, 100, 100)])[0]?.hidden).toBe(1);
  });
});

describe("waste", () => {
  it.each([
    [1, 0, "good"],
    [0.5, 999_999, "good"],
    [0.95, 5_000_000, "fair"],
    [0.89, 5_000_000, "poor"],
  ])("of %d and %d bytes is %s", (efficiency, wasted_bytes, wanted) =>
    expect(verdict({ efficiency, wasted_bytes })).toBe(wanted),
  );
});

describe("a history", () => {
  it("reads from its beginning, and numbers the layers", () => {
    const step = (created_by: string, size_bytes: number): ImageInstruction => ({
      created_by,
      size_bytes,
      comment: "",
      created_unix_s: 0,
      tags: [],
    });
    const steps = told([step("CMD x", 0), step("RUN y", 50), step("ADD z", 200)]);
    expect(steps.map(({ created_by, layer, share }) => [created_by, layer, share])).toEqual([
      ["ADD z", 0, 1],
      ["RUN y", 1, 0.25],
      ["CMD x", undefined, 0],
    ]);
  });
});
