import { cleanup, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Account, Settings } from "../../lib/bindings";

const ipc = vi.hoisted(() => ({
  settingsChange: vi.fn<(change: object) => Promise<unknown>>(),
  registryLogin: vi.fn<(server: string, user: string, password: string) => Promise<void>>(),
  registryLogout: vi.fn<(server: string) => Promise<void>>(),
  registryAccounts: vi.fn<() => Promise<Account[]>>(),
  vmReprobe: vi.fn<() => Promise<object>>(),
  vmRestart: vi.fn<() => Promise<object>>(),
}));
vi.mock("../../lib/ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { notices } from "../../lib/stores/notices.svelte";
import { session } from "../../lib/stores/session.svelte";
import { settings } from "../../lib/stores/settings.svelte";
import Accounts from "./Accounts.svelte";
import Machine from "./Machine.svelte";
import Networking from "./Networking.svelte";

const field = { set: false, default: null, counts: "at_once", pending: false, running: null, overridden_by: null };
const NAMES = ["memory_mib", "cpus", "data_disk_gib", "accelerator", "proxy", "dns", "publish_on"];
const told = (values: object = {}): Settings =>
  ({
    values: {
      memory_mib: 2048,
      cpus: 2,
      data_disk_gib: 64,
      accelerator: "auto",
      proxy: { http: "http://proxy:3128", https: "", no_proxy: "" },
      dns: ["1.1.1.1"],
      publish_on: "localhost",
      ...values,
    },
    fields: Object.fromEntries(NAMES.map((name) => [name, field])),
    limits: { memory_mib_min: 128, memory_mib_host: 8192, cpus_host: 4, data_disk_gib_min: 64 },
  }) as unknown as Settings;

beforeEach(() => {
  Object.values(ipc).forEach((mock) => mock.mockReset());
  notices.all = [];
  settings.told = told();
});

afterEach(cleanup);

describe("the machine's settings", () => {
  it("send what was chosen in coracled's unit, within what is possible", async () => {
    ipc.settingsChange.mockImplementation((change) => Promise.resolve(told(change)));
    render(Machine);
    const memory = screen.getByTestId<HTMLInputElement>("setting-memory_mib-value");
    expect(memory.value).toBe("2");
    await fireEvent.input(memory, { target: { value: "3.5" } });
    expect(ipc.settingsChange).not.toHaveBeenCalled();
    await fireEvent.change(memory);
    expect(ipc.settingsChange).toHaveBeenLastCalledWith({ memory_mib: 3584 });
    const disk = screen.getByTestId("setting-data_disk_gib-value");
    await fireEvent.input(disk, { target: { value: "1" } });
    await fireEvent.change(disk);
    expect(ipc.settingsChange).toHaveBeenCalledTimes(1);
  });

  it("show what counts again after a refusal", async () => {
    ipc.settingsChange.mockRejectedValue({ code: "other", message: "cpus is 3, but this computer has 2" });
    render(Machine);
    const cpus = screen.getByTestId<HTMLInputElement>("setting-cpus-value");
    await fireEvent.input(cpus, { target: { value: "3" } });
    await fireEvent.change(cpus);
    await vi.waitFor(() => expect(cpus.value).toBe("2"));
    expect(notices.all.map(({ detail }) => detail)).toEqual(["cpus is 3, but this computer has 2"]);
  });
});

describe("the network's settings", () => {
  it("add to lists, take away, and forget an empty proxy", async () => {
    ipc.settingsChange.mockImplementation((change) => Promise.resolve(told(change)));
    render(Networking);
    await fireEvent.input(screen.getByTestId("dns-input"), { target: { value: " 9.9.9.9 " } });
    await fireEvent.submit(screen.getByTestId("dns-input"));
    expect(ipc.settingsChange).toHaveBeenLastCalledWith({ dns: ["1.1.1.1", "9.9.9.9"] });
    await vi.waitFor(() => expect(screen.getAllByTestId("dns-entry").length).toBe(2));
    await fireEvent.click(screen.getByLabelText("Remove 1.1.1.1"));
    expect(ipc.settingsChange).toHaveBeenLastCalledWith({ dns: ["9.9.9.9"] });
    await fireEvent.change(screen.getByTestId("proxy-http"), { target: { value: "" } });
    expect(ipc.settingsChange).toHaveBeenLastCalledWith({ proxy: null });
  });
});

describe("accelerators", () => {
  it("are tried again: at once when the VM runs, at its next start when not", async () => {
    ipc.vmReprobe.mockResolvedValue({});
    render(Machine);
    await fireEvent.click(screen.getByTestId("reprobe"));
    await vi.waitFor(() => expect(notices.all[0]?.title).toContain("next start"));
    expect(ipc.vmRestart).not.toHaveBeenCalled();
    cleanup();
    session.vm = { state: "running", boot_ms: null, accelerator: "tcg", transport: "vsock", halted: null };
    ipc.vmRestart.mockResolvedValue(session.vm);
    render(Machine);
    await fireEvent.click(screen.getByTestId("reprobe"));
    await vi.waitFor(() => expect(ipc.vmRestart).toHaveBeenCalledTimes(1));
  });
});

describe("accounts", () => {
  beforeEach(() => {
    ipc.registryAccounts.mockResolvedValue([]);
  });

  it("are listed with who keeps them, and left one by one", async () => {
    ipc.registryAccounts.mockResolvedValueOnce([
      { server: "docker.io", user: "me", helper: null },
      { server: "gcr.io", user: null, helper: "gcr" },
    ]);
    ipc.registryLogout.mockResolvedValue(undefined);
    render(Accounts);
    await vi.waitFor(() => expect(screen.getAllByTestId("account").length).toBe(2));
    const told = screen.getAllByTestId("account").map((row) => row.textContent.replace(/\s+/g, " ").trim());
    expect(told).toEqual(["docker.io me config.json", "gcr.io gcr"]);
    await fireEvent.click(screen.getByLabelText("Log out gcr.io"));
    expect(ipc.registryLogout).toHaveBeenCalledWith("gcr.io");
    await vi.waitFor(() => expect(screen.getByTestId("no-account").textContent).toBe("Logged in nowhere"));
  });

  it("say why they are not known", async () => {
    ipc.registryAccounts.mockRejectedValue({ code: "other", message: "docker-credential-x: locked" });
    render(Accounts);
    await vi.waitFor(() => expect(screen.getByTestId("no-account").textContent).toContain("locked"));
  });

  it("hand the password over once and keep it nowhere", async () => {
    ipc.registryLogin.mockRejectedValue({ code: "other", message: "unauthorized: incorrect username or password" });
    render(Accounts);
    const password = screen.getByTestId<HTMLInputElement>("login-password");
    await fireEvent.input(screen.getByTestId("login-server"), { target: { value: "nas:5000" } });
    await fireEvent.input(screen.getByTestId("login-user"), { target: { value: "me" } });
    await fireEvent.input(password, { target: { value: "secret" } });
    await fireEvent.submit(password);
    expect(ipc.registryLogin).toHaveBeenCalledWith("nas:5000", "me", "secret");
    await vi.waitFor(() => expect(password.value).toBe(""));
    expect(notices.all[0]).toMatchObject({ title: "Not logged in at nas:5000", detail: "unauthorized: incorrect username or password" });
  });
});
