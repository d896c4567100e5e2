import { describe, expect, it } from "vitest";
import type { Image } from "../bindings";
import { archiveName, matching, nextOrder, parted, removal, rows, sorted, type Column, type ImageRow } from "./images";

const image = (id: string, references: string[], more: Partial<Image> = {}): Image => ({
  id,
  references,
  size_bytes: 100,
  shared_bytes: 0,
  created_unix_s: 1,
  platform: "linux/amd64",
  foreign: false,
  users: [],
  ...more,
});
const user = (name: string, running = false) => ({ id: `id-${name}`, name, running });
const row = (of: Image): ImageRow => rows([of])[0] as ImageRow;

describe("a reference", () => {
  it.each([
    ["nginx:1.27", "nginx", "1.27"],
    ["localhost:5000/a/b", "localhost:5000/a/b", ""],
    ["localhost:5000/a/b:1", "localhost:5000/a/b", "1"],
  ])("%s", (reference, name, tag) => expect(parted(reference)).toEqual({ name, tag }));
});

describe("the list", () => {
  const all = rows([
    image("sha256:9", ["web:10", "web:9"], { size_bytes: 5, created_unix_s: 30, users: [user("shop")] }),
    image("sha256:1", []),
    image("sha256:2", ["api:1"], { size_bytes: 900, shared_bytes: null, created_unix_s: 20, platform: "linux/arm64" }),
  ]);
  const keys = (list: readonly ImageRow[]) => list.map(({ reference }) => reference);

  it("is by name, tags as numbers, nameless ones last", () => {
    expect(keys(all)).toEqual(["api:1", "web:9", "web:10", "sha256:1"]);
    expect(keys(sorted(all, { by: "name", falling: true }))).toEqual(["web:10", "web:9", "api:1", "sha256:1"]);
  });

  it.each([
    ["size", ["api:1", "sha256:1", "web:9", "web:10"]],
    // What is not known is less than nothing.
    ["shared", ["sha256:1", "web:9", "web:10", "api:1"]],
    ["users", ["web:9", "web:10", "sha256:1", "api:1"]],
    ["created", ["web:9", "web:10", "api:1", "sha256:1"]],
  ] as [Column, string[]][])("by %s, the most first", (by, wanted) => {
    expect(keys(sorted(all, { by, falling: true }))).toEqual(wanted);
  });

  it("turns a column round, and begins with the most", () => {
    expect(nextOrder({ by: "name", falling: false }, "size")).toEqual({ by: "size", falling: true });
    expect(nextOrder({ by: "size", falling: true }, "size")).toEqual({ by: "size", falling: false });
    expect(nextOrder({ by: "size", falling: true }, "name")).toEqual({ by: "name", falling: false });
  });

  it.each([
    ["", 4],
    ["WEB sha256:9", 2],
    ["web:10", 1],
    ["arm64", 1],
    ["shop", 2],
    ["sha256:1", 1],
    ["web api", 0],
  ])("searched for %j has %i", (query, count) => expect(matching(all, query)).toHaveLength(count));
});

describe("a removal", () => {
  it("takes one of several names off", () => {
    expect(removal(row(image("i", ["a:1", "b:1"], { users: [user("x", true)] })))).toEqual({ kind: "untag", others: 1 });
  });

  it("needs force when containers use it", () => {
    expect(removal(row(image("i", ["a:1"], { users: [user("x")] })))).toEqual({ kind: "force", users: ["x"] });
    expect(removal(row(image("i", ["a:1"], { users: [user("x", true)] })))).toEqual({ kind: "force", users: ["x"] });
    expect(removal(row(image("i", [], { users: [user("x")] })))).toEqual({ kind: "force", users: ["x"] });
  });

  it("cannot be when it has no name and runs", () => {
    const users = [user("x"), user("y", true)];
    expect(removal(row(image("i", [], { users })))).toEqual({ kind: "never", users: ["x", "y"] });
  });

  it("frees what no other image shares, if that is known", () => {
    expect(removal(row(image("i", ["a:1"], { shared_bytes: 30 })))).toEqual({ kind: "delete", freedBytes: 70 });
    expect(removal(row(image("i", ["a:1"], { shared_bytes: null })))).toEqual({ kind: "delete", freedBytes: undefined });
  });
});

describe("an archive's name", () => {
  it.each([
    [{ name: "localhost:5000/team/app", tag: "1.0" }, "app-1.0.tar"],
    [{ name: "nginx", tag: "" }, "nginx.tar"],
    [{ name: undefined, tag: "0123456789ab" }, "0123456789ab.tar"],
    [{ name: "a b", tag: "" }, "a-b.tar"],
  ])("%j", (of, name) => expect(archiveName(of)).toBe(name));
});
