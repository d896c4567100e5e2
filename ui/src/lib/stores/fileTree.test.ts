import { describe, expect, it, vi } from "vitest";
import type { FileEntry, FilePage, FileSource } from "../files";
import { FileTree } from "./fileTree.svelte";

const entry = (path: string, kind: FileEntry["kind"] = "file"): FileEntry => ({
  name: path.slice(path.lastIndexOf("/") + 1),
  path,
  kind,
  sizeBytes: 1,
  mode: 0o644,
  modifiedUnixS: 0,
});

function source(folders: Record<string, FilePage | FilePage[]>) {
  const list = vi.fn<FileSource["list"]>(async (path, after) => {
    const found = folders[path];
    const page = Array.isArray(found) ? found[after === undefined ? 0 : Number(after)] : found;
    if (!page) throw new Error(`no ${path}`);
    return page;
  });
  return { key: "k", list, read: () => Promise.reject(new Error("not read")) } satisfies FileSource;
}

const kinds = (tree: FileTree) => tree.rows.map((row) => (row.type === "entry" ? row.shown : row.type));

describe("a file tree", () => {
  it("lists folders first, opens and closes them, and asks once", async () => {
    const files = source({
      "/": { entries: [entry("/a"), entry("/etc", "directory")] },
      "/etc": { entries: [entry("/etc/hosts")] },
    });
    const tree = new FileTree(files);
    await Promise.all([tree.load("/"), tree.load("/")]);
    expect(kinds(tree)).toEqual(["/etc", "/a"]);
    await tree.open("/etc");
    expect(kinds(tree)).toEqual(["/etc", "/etc/hosts", "/a"]);
    expect(tree.rows[1]).toMatchObject({ depth: 1, folder: "/etc" });
    tree.close("/etc");
    await tree.open("/etc");
    expect(files.list).toHaveBeenCalledTimes(2);
  });

  it("takes a long folder page by page, in the source's order", async () => {
    const tree = new FileTree(
      source({ "/": [{ entries: [entry("/a")], next: "1" }, { entries: [entry("/b", "directory")] }] }),
    );
    await tree.load("/");
    expect(kinds(tree)).toEqual(["/a", "more"]);
    await tree.load("/");
    expect(kinds(tree)).toEqual(["/a", "/b"]);
  });

  it("finds a path on later pages, and says when there is none", async () => {
    const files = source({
      "/": [{ entries: [entry("/a")], next: "1" }, { entries: [entry("/z", "directory")] }],
      "/z": { entries: [entry("/z/deep")] },
    });
    const tree = new FileTree(files);
    expect((await tree.reveal("/z/deep"))?.path).toBe("/z/deep");
    expect(tree.isOpen("/z")).toBe(true);
    expect(await tree.reveal("/z/missing")).toBeUndefined();
    expect(await tree.reveal("/a/b")).toBeUndefined();
  });

  it("says why a folder cannot be listed, in its place", async () => {
    const tree = new FileTree(source({ "/": { entries: [entry("/x", "directory")] } }));
    await tree.load("/");
    await tree.open("/x");
    expect(tree.rows[1]).toMatchObject({ type: "problem", message: "no /x", depth: 1 });
  });

  it("keeps folders open when it is loaded again", async () => {
    const folders = { "/": { entries: [entry("/d", "directory")] }, "/d": { entries: [entry("/d/old")] } };
    const tree = new FileTree(source(folders));
    await tree.load("/");
    await tree.open("/d");
    folders["/d"] = { entries: [entry("/d/new")] };
    await tree.refresh();
    expect(kinds(tree)).toEqual(["/d", "/d/new"]);
  });
});
