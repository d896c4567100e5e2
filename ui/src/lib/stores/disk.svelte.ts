// What takes the disk, and what a clean-up frees.
import type { Cleanup, CleanupKind, DiskUse } from "../bindings";
import { effective } from "../format/usage";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

class Disk {
  use = $state.raw<DiskUse | undefined>();
  /** None while it is being looked for. */
  preview = $state.raw<Cleanup | undefined>();
  cleaning = $state(false);
  #looking = 0;

  // Sizes of containers are asked of the guest: not at each of many events.
  readonly refresh = coalesced(() => this.load(), 1_000);

  /** Keeps it fresh until the answer is called. */
  look(): () => void {
    this.#looking += 1;
    void this.load();
    return () => void (this.#looking -= 1);
  }

  async load(): Promise<void> {
    if (this.#looking === 0) return;
    await notices.attempt(t("error.disk"), async () => {
      this.use = await ipc.diskUse();
    });
  }

  async loadPreview(): Promise<boolean> {
    this.preview = undefined;
    return notices.attempt(t("error.cleanup"), async () => {
      this.preview = await ipc.cleanup();
    });
  }

  /** The bytes that were freed; nothing if a part of it failed, which is told. */
  async clean(chosen: readonly CleanupKind[]): Promise<number | undefined> {
    this.cleaning = true;
    let bytes = 0;
    const done = await notices.attempt(t("error.cleanup"), async () => {
      for (const kind of effective(chosen)) bytes += await ipc.cleanupRun(kind);
    });
    this.cleaning = false;
    void this.load();
    return done ? bytes : undefined;
  }
}
export const disk = new Disk();
onConnected(() => disk.refresh());
onChange("container", () => disk.refresh());
onChange("image", () => disk.refresh());
onChange("volume", () => disk.refresh());
