import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Image, ImageProgress } from "../bindings";

const ipc = vi.hoisted(() => ({
  imagesList: vi.fn<() => Promise<unknown[]>>(),
  imageRemove: vi.fn<(reference: string, force: boolean) => Promise<void>>(),
  imagePull: vi.fn<(reference: string, options: unknown, receive: unknown) => unknown>(),
  imageDiff: vi.fn<(before: string, after: string, receive: unknown) => unknown>(),
}));
vi.mock("../ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { changed } from "./changes";
import { ImageComparison } from "./imageComparison.svelte";
import { images, type ImageRow } from "./images.svelte";
import { notices } from "./notices.svelte";
import { pulls, type Pull } from "./pulls.svelte";

const image = (id: string, references: string[]): Image => ({
  id,
  references,
  size_bytes: 1,
  shared_bytes: 0,
  created_unix_s: 1,
  platform: null,
  foreign: false,
  users: [],
});

/** A command whose channel and end the test holds. */
function command<Event>() {
  let receive: (event: Event) => void = () => {};
  let end: { resolve: () => void; reject: (reason: unknown) => void } | undefined;
  const close = vi.fn();
  const begin = (...args: unknown[]) => {
    receive = args.at(-1) as typeof receive;
    const done = new Promise<void>((resolve, reject) => (end = { resolve, reject }));
    return { done, close };
  };
  return {
    begin,
    close,
    tell: (event: Event) => receive(event),
    ends: () => end?.resolve(),
    fails: (message: string) => end?.reject({ code: "other", message }),
  };
}

beforeEach(() => {
  for (const call of Object.values(ipc)) call.mockReset();
  ipc.imagesList.mockResolvedValue([image("sha256:1", ["a:1", "b:1"])]);
  notices.all = [];
  pulls.all = [];
  images.query = "";
});

describe("a removal", () => {
  it("that Docker refuses says why, for force to be asked; what force cannot do is a notice", async () => {
    await images.load();
    const row = images.of("sha256:1")[0] as ImageRow;
    ipc.imageRemove.mockRejectedValue({ code: "conflict", message: "conflict: must force" });
    expect(await images.remove(row)).toBe("conflict: must force");
    expect(notices.all).toEqual([]);
    expect(await images.remove(row, true)).toBeUndefined();
    expect(notices.all.map(({ detail }) => detail)).toEqual(["conflict: must force"]);
    expect(images.busy).toEqual({});
    expect(ipc.imageRemove.mock.calls).toEqual([
      ["a:1", false],
      ["a:1", true],
    ]);
  });
});

describe("the list", () => {
  it("is read again when who uses an image may have changed, not at every sign of life", async () => {
    vi.useFakeTimers();
    changed({ subject: "container", action: "health_status: healthy", id: "c" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ipc.imagesList).not.toHaveBeenCalled();
    changed({ subject: "container", action: "create", id: "c" });
    changed({ subject: "container", action: "destroy", id: "c" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ipc.imagesList).toHaveBeenCalledTimes(1);
    vi.useRealTimers();
  });

  it("shows what is searched for, in the chosen order", async () => {
    await images.load();
    expect(images.count).toBe(1);
    images.query = "b:";
    expect(images.shown.map(({ reference }) => reference)).toEqual(["b:1"]);
    images.query = "";
    images.sort("name");
    expect(images.shown.map(({ reference }) => reference)).toEqual(["b:1", "a:1"]);
    images.sort("name");
  });
});

describe("a pull", () => {
  const progress: ImageProgress = {
    steps: [{ layer: "l", status: "Downloading", current_bytes: 1, total_bytes: 2 }],
    done_bytes: null,
    total_bytes: null,
  };
  const only = (): Pull => {
    expect(pulls.all).toHaveLength(1);
    return pulls.all[0] as Pull;
  };

  it("runs once, shows its layers, and ends with the list read again", async () => {
    const pull = command<ImageProgress>();
    ipc.imagePull.mockImplementation(pull.begin);
    pulls.begin("nginx");
    pulls.begin("nginx");
    expect(ipc.imagePull).toHaveBeenCalledTimes(1);
    pull.tell(progress);
    expect(only().progress.layers).toHaveLength(1);
    pull.ends();
    await vi.waitFor(() => expect(only().outcome.state).toBe("done"));
    expect(ipc.imagesList).toHaveBeenCalled();
  });

  it("that fails says why, and begins anew when asked", async () => {
    const pull = command<ImageProgress>();
    ipc.imagePull.mockImplementation(pull.begin);
    pulls.begin("nginx");
    pull.tell(progress);
    pull.fails("manifest unknown");
    await vi.waitFor(() => expect(only().outcome).toEqual({ state: "failed", message: "manifest unknown" }));
    only().again();
    expect(only().outcome.state).toBe("running");
    expect(only().progress.layers).toEqual([]);
    expect(ipc.imagePull).toHaveBeenCalledTimes(2);
  });

  it("is cancelled by its cross, and one that has ended is only put away", async () => {
    const pull = command<ImageProgress>();
    ipc.imagePull.mockImplementation(pull.begin);
    pulls.begin("nginx");
    only().close();
    expect(pull.close).toHaveBeenCalledTimes(1);
    expect(pulls.all).toEqual([]);
    pulls.begin("nginx");
    pull.ends();
    await vi.waitFor(() => expect(only().outcome.state).toBe("done"));
    only().close();
    expect(pull.close).toHaveBeenCalledTimes(1);
    expect(pulls.all).toEqual([]);
  });
});

describe("a comparison", () => {
  const line = (path: string) => ({ path, before: null, after: null, fields: [] });

  it("grows as it comes in, and says how it ended", async () => {
    const diff = command<unknown>();
    ipc.imageDiff.mockImplementation(diff.begin);
    const comparison = new ImageComparison("a", "b");
    diff.tell({ lines: [line("/a")], cut: false });
    diff.tell({ lines: [line("/b")], cut: true });
    expect(comparison.lines.map(({ path }) => path)).toEqual(["/a", "/b"]);
    expect([comparison.counts.added, comparison.cut, comparison.state]).toEqual([2, true, "running"]);
    diff.fails("the layer disk cannot be read");
    await vi.waitFor(() => expect(comparison.state).toBe("failed"));
    expect(comparison.problem).toBe("the layer disk cannot be read");
    comparison.close();
    expect(diff.close).not.toHaveBeenCalled();
  });
});
