// The volumes that coracled lists, what they hold, and who mounts what.
import type { MountUse, Volume, VolumeRequest } from "../bindings";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

/** A backup that is written, or one that is restored. */
export class Copying {
  readonly volume: string;
  readonly kind: "backup" | "restore";
  readonly path: string;
  done = $state(0);
  /** Unknown of a backup, whose size only its end tells. */
  total = $state<number | undefined>();
  stream: ipc.Stream | undefined;

  constructor(kind: "backup" | "restore", volume: string, path: string) {
    this.kind = kind;
    this.volume = volume;
    this.path = path;
  }
}

class Volumes {
  all = $state.raw<readonly Volume[]>([]);
  uses = $state.raw<readonly MountUse[]>([]);
  /** By name; none where nobody can tell. */
  sizes = $state.raw<ReadonlyMap<string, number>>(new Map());
  loaded = $state(false);
  busy = $state<Record<string, boolean>>({});
  copying = $state.raw<readonly Copying[]>([]);

  readonly refresh = coalesced(() => this.load());
  // The guest counts every file for them.
  readonly #refreshSizes = coalesced(() => this.#loadSizes(), 1_000);

  async load(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      const [list, uses] = await Promise.all([ipc.volumesList(), ipc.mountsList()]);
      // Those with a name first: the others are seldom looked for.
      const order = (volume: Volume): number => (volume.anonymous ? 1 : 0);
      this.all = list.sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
      this.uses = uses;
      this.loaded = true;
    });
  }

  /** Keeps sizes up to date; only while someone looks. */
  look(): () => void {
    this.#looking += 1;
    void this.load();
    this.#refreshSizes();
    return () => void (this.#looking -= 1);
  }
  #looking = 0;

  changed(): void {
    this.refresh();
    if (this.#looking > 0) this.#refreshSizes();
  }

  async #loadSizes(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      const sizes = await ipc.volumeSizes();
      this.sizes = new Map(sizes.flatMap(({ name, bytes }) => (bytes === null ? [] : [[name, bytes] as const])));
    });
  }

  byName(name: string): Volume | undefined {
    return this.all.find((volume) => volume.name === name);
  }

  usersOf(name: string): readonly MountUse[] {
    return this.uses.filter(({ volume }) => volume === name);
  }

  /** Failures are the caller's to show. */
  async create(request: VolumeRequest): Promise<string> {
    const name = await ipc.volumeCreate(request);
    await this.load();
    return name;
  }

  async remove(name: string): Promise<boolean> {
    this.busy[name] = true;
    try {
      return await notices.attempt(t("error.remove", { name }), () => ipc.volumeRemove(name));
    } finally {
      await this.load();
      delete this.busy[name];
    }
  }

  backup(name: string, to: string): Promise<boolean> {
    const copying = new Copying("backup", name, to);
    return this.#copy(copying, t("error.backup", { name }), (told) => ipc.volumeBackup(name, to, told));
  }

  restore(name: string, from: string): Promise<boolean> {
    const copying = new Copying("restore", name, from);
    return this.#copy(copying, t("error.restore", { name }), (told) => ipc.volumeRestore(name, from, told));
  }

  cancel(copying: Copying): void {
    copying.stream?.close();
    this.copying = this.copying.filter((other) => other !== copying);
  }

  async #copy(
    copying: Copying,
    title: string,
    open: (told: (copied: { done: number; total: number | null }) => void) => ipc.Stream,
  ): Promise<boolean> {
    this.copying = [...this.copying, copying];
    copying.stream = open(({ done, total }) => {
      copying.done = done;
      copying.total = total ?? undefined;
    });
    const { done } = copying.stream;
    const copied = await notices.attempt(title, () => done);
    // One that was cancelled is off the list already.
    const whole = this.copying.includes(copying) && copied;
    this.copying = this.copying.filter((other) => other !== copying);
    if (this.#looking > 0) this.#refreshSizes();
    return whole;
  }
}
export const volumes = new Volumes();
onConnected(() => void volumes.load());
onChange("volume", () => volumes.changed());
onChange("container", () => volumes.refresh());
