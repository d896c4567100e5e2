import { describe, expect, it } from "vitest";
import type { MountUse } from "../../lib/bindings";
import { beneath, sharing } from "./folders";
import { fileEntry } from "./source";

const use = (container: string, folder: string, volume: string | null = null): MountUse => ({
  volume,
  folder,
  target: "/x",
  read_only: false,
  container_id: container,
  container,
  running: true,
});

describe("approved folders", () => {
  it("hold what lies beneath them, and nothing that only begins alike", () => {
    expect([beneath("/home/me", "/home/me"), beneath("/home/me/a", "/home/me/"), beneath("/a", "/")]).toEqual([true, true, true]);
    expect([beneath("/home/men", "/home/me"), beneath("/home", "/home/me")]).toEqual([false, false]);
  });

  it("know their users, and those that have none", () => {
    const uses = [use("web", "/home/me/site"), use("db", "", "data"), use("old", "/srv/x"), use("all", "/home/me")];
    const { folders, outside } = sharing(["/home/me", "/home/me/site"], uses);
    expect(folders.map(({ users }) => users.map(({ container }) => container))).toEqual([["web", "all"], ["web"]]);
    expect(outside.map(({ container }) => container)).toEqual(["old"]);
  });
});

describe("a volume's files", () => {
  it("have whole paths and the browser's kinds", () => {
    const entry = { name: "a", kind: "link", size_bytes: 1, mode: 0o777, modified_unix_s: 5, target: "b" };
    expect(fileEntry("/", entry)).toMatchObject({ path: "/a", kind: "symlink", target: "b" });
    expect(fileEntry("/x/y", { ...entry, kind: "door", target: null })).toMatchObject({ path: "/x/y/a", kind: "unknown", target: undefined });
  });
});
