import { describe, expect, it } from "vitest";
import type { ImageDifference, ImageEntry } from "../bindings";
import { changeOf, chosen, counted, growth, NO_COUNTS } from "./diff";

const file = (size_bytes: number, kind: ImageEntry["kind"] = "file"): ImageEntry => ({
  name: "f",
  name_encoded: null,
  kind,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size_bytes,
  modified_unix_s: 0,
  target: null,
  layer: 0,
  opaque: false,
});
const line = (path: string, before: ImageEntry | null, after: ImageEntry | null): ImageDifference => ({
  path,
  before,
  after,
  fields: [],
});
const lines = [
  line("/a", null, file(10)),
  line("/B", file(30), null),
  line("/c", file(5), file(7)),
  line("/d", file(4096, "directory"), file(8, "symlink")),
  { ...line("/e", file(0, "directory"), file(0, "directory")), fields: ["time"] },
  { ...line("/f", file(1), file(1)), fields: ["mode", "time"] },
];

describe("a comparison", () => {
  it("knows added, removed, changed, and touched by time alone", () => {
    expect(lines.map(changeOf)).toEqual(["added", "removed", "changed", "changed", "touched", "changed"]);
  });

  it("counts files' bytes alone, over many messages", () => {
    expect(lines.map(growth)).toEqual([10, -30, 2, 0, 0, 0]);
    const first = counted(NO_COUNTS, lines.slice(0, 2));
    expect(counted(first, lines.slice(2))).toEqual({ added: 1, removed: 1, changed: 3, touched: 1, growthBytes: -18 });
  });

  it("is chosen from by kind and by path", () => {
    const paths = (...args: Parameters<typeof chosen>) => chosen(...args).map(({ path }) => path);
    expect(paths(lines, new Set(["added", "removed"]), "")).toEqual(["/a", "/B"]);
    expect(paths(lines, new Set(["added", "removed", "changed"]), " b ")).toEqual(["/B"]);
    expect(paths(lines, new Set(), "")).toEqual([]);
  });
});
