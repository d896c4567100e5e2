import { render, screen } from "@testing-library/svelte";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Cleanup, Container, Preferences, Settings, VmUsage } from "../lib/bindings";

const ipc = vi.hoisted(() => ({
  preferences: vi.fn<() => Promise<unknown>>(),
  preferencesChange: vi.fn<(change: object) => Promise<unknown>>(),
  languageChosen: vi.fn<(language: string) => Promise<void>>(),
  settings: vi.fn<() => Promise<unknown>>(),
  settingsChange: vi.fn<(change: object) => Promise<unknown>>(),
  vmUsage: vi.fn<(receive: (usage: unknown) => void) => unknown>(),
  vmStop: vi.fn<() => Promise<unknown>>(),
  cleanup: vi.fn<() => Promise<unknown>>(),
  cleanupRun: vi.fn<(kind: string) => Promise<number>>(),
  diskUse: vi.fn<() => Promise<unknown>>(),
  saveFile: vi.fn<(title: string, name: string) => Promise<string | null>>(),
  supportBundle: vi.fn<(path: string) => Promise<void>>(),
}));
vi.mock("../lib/ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { best } from "../lib/format/fuzzy";
import { language } from "../lib/i18n/index.svelte";
import { actions } from "../lib/stores/actions.svelte";
import { connected, disconnected, nowAndOnConnected } from "../lib/stores/changes";
import { containers } from "../lib/stores/containers.svelte";
import { disk } from "../lib/stores/disk.svelte";
import { notices } from "../lib/stores/notices.svelte";
import { preferences } from "../lib/stores/preferences.svelte";
import { session } from "../lib/stores/session.svelte";
import { settings } from "../lib/stores/settings.svelte";
import { bundleName, saveSupportBundle } from "../lib/stores/support";
import { view } from "../lib/stores/view.svelte";
import { vm } from "../lib/stores/vm.svelte";
import { registerAlways, registerVm } from "./actions";
import { entries } from "./palette";
import VmCard from "./VmCard.svelte";

const container = (name: string, state: string): Container =>
  ({ id: `id-${name}`, name, image: "nginx", command: "", state, status: "", created_unix_s: 1, ports: [], project: null, service: null });
const running = [{ ...container("web", "running"), parsed: {} }];
const RUNNING = { state: "running", boot_ms: 1, accelerator: "kvm", transport: "vsock", halted: null } as const;

beforeEach(() => {
  Object.values(ipc).forEach((mock) => mock.mockReset());
  ipc.languageChosen.mockResolvedValue();
  notices.all = [];
  containers.all = [];
  session.link = { state: "connected" };
  session.vm = { state: "off" };
  view.close();
});

describe("shortcuts", () => {
  it("do the last registered action, once, and end with their screen", () => {
    const [first, second] = [vi.fn(), vi.fn()];
    const press = (): KeyboardEvent => new KeyboardEvent("keydown", { key: "y", ctrlKey: true, cancelable: true });
    const leave = [first, second].map((run, at) => actions.register({ id: `a${at}`, title: () => "", shortcut: "Mod+Y", run }));
    const event = press();
    actions.key(event);
    expect([first.mock.calls.length, second.mock.calls.length, event.defaultPrevented]).toEqual([0, 1, true]);
    // What somebody else has dealt with is no shortcut.
    actions.key(event);
    leave[1]?.();
    actions.key(press());
    expect([first.mock.calls.length, second.mock.calls.length]).toEqual([1, 1]);
    leave[0]?.();
    expect(actions.all).toEqual([]);
  });
});

describe("a store that comes late", () => {
  it("hears that coracled is there, and that it is there again", async () => {
    const [early, late, apart] = [vi.fn(), vi.fn(), vi.fn()];
    disconnected();
    const leave = [nowAndOnConnected(early)];
    connected();
    leave.push(nowAndOnConnected(late));
    await Promise.resolve();
    expect([early.mock.calls.length, late.mock.calls.length]).toEqual([1, 1]);
    disconnected();
    leave.push(nowAndOnConnected(apart));
    await Promise.resolve();
    expect(apart).not.toHaveBeenCalled();
    leave.forEach((go) => go());
  });
});

describe("the palette", () => {
  const find = (query: string): string[] => best(query, entries(), ({ words }) => words, 5).map(({ title }) => title);

  it("offers sections, things with what can be done to them, settings and commands", () => {
    registerAlways();
    containers.all = [...running, { ...container("old", "exited"), parsed: {} }];
    expect(find("conta")[0]).toBe("Containers");
    expect(find("stop web")).toEqual(["Stop web"]);
    expect(find("start old")[0]).toBe("Start old");
    expect(find("restart")).toEqual(["Restart web"]);
    expect(find("logs old")).toEqual(["Logs of old"]);
    expect(find("dns")).toEqual(["DNS servers"]);
    expect(find("save supp")[0]).toBe("Save a support bundle…");
    expect(find("dark")).toEqual(["Change the theme"]);
    best("dns", entries(), ({ words }) => words, 1)[0]?.run();
    expect(view.place).toMatchObject({ section: "settings", tab: "network" });
  });

  it("offers nothing to do to things while coracled is gone", () => {
    containers.all = running;
    session.link = { state: "unreachable", message: "gone" };
    expect(find("stop web")).toEqual([]);
  });

  it("offers what the VM's state allows", () => {
    session.vm = RUNNING;
    let leave = registerVm();
    expect(find("virtual machine restart")[0]).toBe("Restart the virtual machine");
    leave();
    session.vm = { state: "off" };
    leave = registerVm();
    expect(find("machine start")[0]).toBe("Start the virtual machine");
    expect(actions.all.some(({ id }) => id === "vm-stop")).toBe(false);
    leave();
  });
});

describe("the virtual machine", () => {
  const usage = (at_unix_ms: number, state = "running"): VmUsage => ({ at_unix_ms, state }) as VmUsage;

  it("is measured once for all who look, and not at all when nobody does", () => {
    const close = vi.fn();
    let receive: (usage: unknown) => void = () => {};
    ipc.vmUsage.mockImplementation((listener) => {
      receive = listener;
      return { done: new Promise(() => {}), close };
    });
    const away = [vm.look(), vm.look()];
    expect(ipc.vmUsage).toHaveBeenCalledTimes(1);
    for (let second = 0; second < 200; second += 1) receive(usage(second * 1_000));
    expect(vm.history.length).toBe(121);
    // Another state is another story.
    receive(usage(200_000, "off"));
    expect(vm.history.map(({ state }) => state)).toEqual(["off"]);
    vm.reconnected();
    expect(ipc.vmUsage).toHaveBeenCalledTimes(2);
    away.forEach((leave) => leave());
    expect([close.mock.calls.length, vm.history.length]).toEqual([2, 0]);
  });

  it("says why it stands still, and not that it runs", () => {
    session.vm = { ...RUNNING, halted: "this computer's disk is full" };
    render(VmCard);
    expect(screen.getByTestId("vm-state").textContent).toBe("Halted");
    expect(screen.getByTestId("vm-halted").textContent).toBe("this computer's disk is full");
  });

  it("is stopped at once, but not from under containers without asking", () => {
    ipc.vmStop.mockResolvedValue({ state: "off" });
    vm.askToStop();
    expect(ipc.vmStop).toHaveBeenCalledTimes(1);
    containers.all = running;
    vm.askToStop();
    expect(ipc.vmStop).toHaveBeenCalledTimes(1);
    expect(view.dialog?.props["body"]).toBe("1 running container will be stopped.");
  });
});

describe("settings", () => {
  const told = (pending: boolean): Settings =>
    ({ fields: { memory_mib: { pending }, dns: { pending: false } }, vm_restart_needed: pending }) as unknown as Settings;

  it("show what coracled took, and say what it refused", async () => {
    ipc.settings.mockResolvedValue(told(false));
    await settings.load();
    ipc.settingsChange.mockResolvedValueOnce(told(true));
    expect(await settings.change({ memory_mib: 4096 })).toBe(true);
    expect(settings.pending).toEqual(["memory_mib"]);
    ipc.settingsChange.mockRejectedValueOnce({ code: "other", message: "memory_mib is 1, the least is 128" });
    const before = settings.refusals;
    expect(await settings.change({ memory_mib: 1 })).toBe(false);
    expect([settings.refusals - before, settings.busy, settings.pending.length]).toEqual([1, 0, 1]);
    expect(notices.all.map(({ detail }) => detail)).toEqual(["memory_mib is 1, the least is 128"]);
  });
});

describe("preferences", () => {
  it("are the system's theme until one is chosen, and say it to the page", () => {
    let listen: (event: { matches: boolean }) => void = () => {};
    vi.stubGlobal("matchMedia", () => ({
      matches: true,
      addEventListener: (_: string, listener: typeof listen) => (listen = listener),
    }));
    localStorage.clear();
    preferences.restore();
    const shown = (): string | undefined => document.documentElement.dataset["theme"];
    expect([preferences.theme, shown()]).toEqual(["system", "dark"]);
    listen({ matches: false });
    expect(shown()).toBe("light");
    preferences.chooseTheme("dark");
    listen({ matches: false });
    expect([shown(), localStorage.getItem("theme")]).toEqual(["dark", "dark"]);
  });

  it("tell tray and notifications the language", () => {
    preferences.chooseLanguage("zh-CN");
    expect([language(), ipc.languageChosen.mock.calls]).toEqual(["zh-CN", [["zh-CN"]]]);
    preferences.chooseLanguage("en");
  });

  it("show what the shell kept, and not what it did not", async () => {
    const kept: Preferences = { keep_running: true, notifications: true, welcomed: false, start_at_login: null, has_tray: false };
    ipc.preferences.mockResolvedValue(kept);
    await preferences.load();
    ipc.preferencesChange.mockRejectedValue({ code: "other", message: "disk full" });
    await preferences.change({ welcomed: true });
    expect([preferences.kept?.welcomed, notices.all.at(-1)?.detail]).toEqual([false, "disk full"]);
  });
});

describe("a clean-up", () => {
  it("runs what was chosen in order, and stops where one fails", async () => {
    ipc.diskUse.mockResolvedValue({});
    ipc.cleanupRun.mockResolvedValue(7);
    expect(await disk.clean(["build_cache", "stopped_containers", "dangling_images", "unused_images"])).toBe(21);
    expect(ipc.cleanupRun.mock.calls.flat()).toEqual(["stopped_containers", "unused_images", "build_cache"]);
    ipc.cleanupRun.mockReset().mockRejectedValue({ code: "conflict", message: "a prune operation is already running" });
    expect(await disk.clean(["stopped_containers", "build_cache"])).toBeUndefined();
    expect([ipc.cleanupRun.mock.calls.length, notices.all.at(-1)?.detail]).toEqual([1, "a prune operation is already running"]);
  });

  it("previews what is there now", async () => {
    const preview = { build_cache: { count: 0, bytes: 0, names: [] } } as unknown as Cleanup;
    ipc.cleanup.mockResolvedValue(preview);
    expect([await disk.loadPreview(), disk.preview]).toEqual([true, preview]);
  });
});

describe("the support bundle", () => {
  it("is written where the person wants it, or not at all", async () => {
    expect(bundleName(new Date("2026-11-26T01:30:00Z"))).toBe("coracle-support-20261126-013000.tar.gz");
    ipc.saveFile.mockResolvedValueOnce(null);
    await saveSupportBundle();
    expect(ipc.supportBundle).not.toHaveBeenCalled();
    ipc.saveFile.mockResolvedValueOnce("/home/me/x.tar.gz");
    ipc.supportBundle.mockResolvedValueOnce();
    await saveSupportBundle();
    expect(notices.all.map(({ kind, detail }) => [kind, detail])).toEqual([["done", "/home/me/x.tar.gz"]]);
  });
});
