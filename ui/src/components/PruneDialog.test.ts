import { cleanup as unmount, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Cleanup } from "../lib/bindings";

const ipc = vi.hoisted(() => ({
  cleanup: vi.fn<() => Promise<unknown>>(),
  cleanupRun: vi.fn<(kind: string) => Promise<number>>(),
}));
vi.mock("../lib/ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { notices } from "../lib/stores/notices.svelte";
import VolumesPruneDialog from "../screens/volumes/PruneDialog.svelte";

const found = {
  anonymous_volumes: { count: 0, bytes: 0, names: [] },
  unused_volumes: { count: 2, bytes: 3000, names: ["data", "logs"] },
} as unknown as Cleanup;

beforeEach(() => {
  // jsdom has none.
  HTMLDialogElement.prototype.showModal = function show() {
    this.open = true;
  };
  Object.values(ipc).forEach((mock) => mock.mockReset());
  ipc.cleanup.mockResolvedValue(found);
  notices.all = [];
});
afterEach(unmount);

describe("a clean-up", () => {
  it("shows what each choice would remove, and removes only what was chosen", async () => {
    ipc.cleanupRun.mockResolvedValue(3000);
    const onclose = vi.fn();
    render(VolumesPruneDialog, { onclose });
    const preview = screen.getByTestId("volumes-prune-preview");
    const submit = screen.getByTestId<HTMLButtonElement>("volumes-prune-submit");
    await vi.waitFor(() => expect(preview.textContent).toContain("There is nothing to remove."));
    expect(submit.disabled).toBe(true);
    await fireEvent.click(screen.getByTestId("volumes-prune-all"));
    await vi.waitFor(() => expect(preview.textContent).toContain("logs"));
    expect(preview.textContent).toContain("2 volumes, 3 kB");
    await fireEvent.click(submit);
    await vi.waitFor(() => expect(onclose).toHaveBeenCalledTimes(1));
    expect(ipc.cleanupRun).toHaveBeenCalledExactlyOnceWith("unused_volumes");
    expect(notices.all[0]?.title).toBe("Volumes were removed: 3 kB freed");
  });

  it("stays open and says why it failed", async () => {
    ipc.cleanupRun.mockRejectedValue({ code: "other", message: "the VM is off" });
    const onclose = vi.fn();
    render(VolumesPruneDialog, { onclose });
    await fireEvent.click(screen.getByTestId("volumes-prune-all"));
    await vi.waitFor(() => expect(screen.getByTestId<HTMLButtonElement>("volumes-prune-submit").disabled).toBe(false));
    await fireEvent.click(screen.getByTestId("volumes-prune-submit"));
    await vi.waitFor(() => expect(screen.getByRole("alert").textContent).toBe("the VM is off"));
    expect(onclose).not.toHaveBeenCalled();
  });
});
