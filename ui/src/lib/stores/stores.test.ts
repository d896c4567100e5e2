import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Container, Image, Vm } from "../bindings";

const ipc = vi.hoisted(() => ({
  containersList: vi.fn<() => Promise<unknown[]>>(),
  containerAct: vi.fn<(id: string, action: string) => Promise<void>>(),
  imagesList: vi.fn<() => Promise<unknown[]>>(),
}));
vi.mock("../ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { containers } from "./containers.svelte";
import { rows } from "./images.svelte";
import { notices } from "./notices.svelte";
import { session } from "./session.svelte";

const container: Container = {
  id: "c1",
  name: "clock",
  image: "coracle/hello",
  command: "sh",
  state: "running",
  status: "Up 5 seconds",
  created_unix_s: 1,
  ports: [],
  project: null,
  service: null,
};

beforeEach(() => {
  vi.useFakeTimers();
  ipc.containersList.mockReset().mockResolvedValue([container]);
  ipc.imagesList.mockReset().mockResolvedValue([]);
  ipc.containerAct.mockReset();
  notices.all = [];
});

describe("the session", () => {
  it("loads the lists on connecting, and one list once for many events", async () => {
    session.receive({ type: "connected" });
    await vi.runOnlyPendingTimersAsync();
    expect(ipc.containersList).toHaveBeenCalledTimes(1);
    expect(ipc.imagesList).toHaveBeenCalledTimes(1);
    for (const action of ["create", "start", "die"]) {
      session.receive({ type: "changed", subject: "container", action, id: "c1" });
    }
    await vi.advanceTimersByTimeAsync(500);
    expect(ipc.containersList).toHaveBeenCalledTimes(2);
    // Once more: who uses an image is in its row.
    expect(ipc.imagesList).toHaveBeenCalledTimes(2);
    expect(containers.running).toBe(1);
  });

  it("says that nothing is known once coracled is gone", () => {
    const vm: Vm = { state: "off" };
    session.receive({ type: "vm", vm });
    expect(session.vm).toEqual(vm);
    session.receive({ type: "unreachable", message: "gone" });
    expect(session.vm.state).toBe("unknown");
    // Trying again is no news.
    session.receive({ type: "connecting" });
    expect(session.link).toEqual({ state: "unreachable", message: "gone" });
  });

  it("counts a boot from where coracled began", () => {
    session.receive({ type: "vm", vm: { state: "booting", stage: "kernel", since_unix_ms: 42 } });
    expect(session.bootBeganMs).toBe(42);
  });
});

describe("an action that fails", () => {
  it("is told once in coracled's words, and the list is read again", async () => {
    ipc.containerAct.mockRejectedValue({ code: "not_found", message: "No such container: c1" });
    expect(await containers.stop(container)).toBe(false);
    expect(await containers.stop(container)).toBe(false);
    expect(notices.all.map((notice) => notice.detail)).toEqual(["No such container: c1"]);
    expect(containers.busy).toEqual({});
    expect(ipc.containersList).toHaveBeenCalled();
  });
});

describe("images", () => {
  it("have a row per name, and one if they have none", () => {
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
    const found = rows([
      image("sha256:ffffffffffffffff", []),
      image("sha256:1", ["localhost:5000/b:1", "a:2"]),
    ]);
    expect(found.map(({ name, tag }) => [name, tag])).toEqual([
      ["a", "2"],
      ["localhost:5000/b", "1"],
      [undefined, "ffffffffffff"],
    ]);
  });
});
