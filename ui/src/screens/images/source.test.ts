import { beforeEach, describe, expect, it, vi } from "vitest";
import type { ImageEntry } from "../../lib/bindings";

const ipc = vi.hoisted(() => ({
  imageFile: vi.fn<(...args: unknown[]) => Promise<ArrayBuffer>>(),
  imageFiles: vi.fn<(...args: unknown[]) => Promise<unknown>>(),
}));
vi.mock("../../lib/ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { imageSource, nameIn, pathOf } from "./source";

const entry = (name: string, more: Partial<ImageEntry> = {}): ImageEntry => ({
  name,
  name_encoded: null,
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size_bytes: 3,
  modified_unix_s: 0,
  target: null,
  layer: 2,
  opaque: false,
  ...more,
});

beforeEach(() => {
  ipc.imageFile.mockReset();
  ipc.imageFiles.mockReset();
});

describe("paths", () => {
  it("are percent-encoded bytes", () => {
    expect(pathOf("/", entry("a b"))).toBe("/a%20b");
    expect(pathOf("/d%FF", entry("\ufffd", { name_encoded: "%FF" }))).toBe("/d%FF/%FF");
  });

  it("give a name to save as", () => {
    expect([nameIn("/x/%C3%A4.txt"), nameIn("/x/%FF")]).toEqual(["ä.txt", "%FF"]);
  });
});

describe("an image's files", () => {
  it("say which layer they come from, unless one alone is looked at", async () => {
    ipc.imageFiles.mockResolvedValue({ entries: [entry("a"), entry("d", { kind: "directory" })], next: "a" });
    const merged = await imageSource("sha256:1", undefined).list("/", undefined);
    expect(merged.entries.map(({ path, mark }) => [path, mark])).toEqual([
      ["/a", "layer 3"],
      ["/d", undefined],
    ]);
    expect(merged.next).toBe("a");
    const alone = await imageSource("sha256:1", 2).list("/d", "a");
    expect(alone.entries[0]?.mark).toBeUndefined();
    expect(ipc.imageFiles).toHaveBeenLastCalledWith("sha256:1", "/d", 2, "a");
  });

  it("are read a byte further than shown, to know whether there is more", async () => {
    const source = imageSource("sha256:1", undefined);
    ipc.imageFile.mockResolvedValue(new Uint8Array([1, 2, 3]).buffer);
    expect(await source.read("/a", 2)).toEqual({ bytes: new Uint8Array([1, 2]), truncated: true });
    expect(await source.read("/a", 3)).toEqual({ bytes: new Uint8Array([1, 2, 3]), truncated: false });
    expect(ipc.imageFile).toHaveBeenCalledWith("sha256:1", "/a", 3, undefined);
  });
});
