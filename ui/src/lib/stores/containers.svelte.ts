// The containers that coracled lists, and what is done to them.
import type { Container, ContainerAction, RunRequest } from "../bindings";
import { clock } from "../clock.svelte";
import { isUp } from "../format/containers";
import { parseStatus, type Status } from "../format/status";
import { t, type Key } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

export { isUp };

export interface ContainerRow extends Container {
  readonly parsed: Status;
}

const FAILED: Record<ContainerAction, Key> = {
  start: "error.start",
  stop: "error.stop",
  restart: "error.restart",
  pause: "error.pause",
  unpause: "error.unpause",
  kill: "error.kill",
};

class Containers {
  all = $state.raw<readonly ContainerRow[]>([]);
  loaded = $state(false);
  /** Ids with an action under way. */
  busy = $state<Record<string, boolean>>({});
  running = $derived(this.all.filter(isUp).length);

  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  readonly refresh = coalesced(() => this.load());

  /** What is on its way may be older than the question: one more reading serves all who ask meanwhile. */
  load(): Promise<void> {
    if (!this.#reading) {
      this.#reading = this.#read().finally(() => (this.#reading = undefined));
      return this.#reading;
    }
    this.#next ??= this.#reading.then(() => {
      this.#next = undefined;
      return this.load();
    });
    return this.#next;
  }

  async #read(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      const list = await ipc.containersList();
      const now = clock.tick();
      this.all = list.map((container) => ({ ...container, parsed: parseStatus(container.status, now) }));
      this.loaded = true;
    });
  }

  byId(id: string): ContainerRow | undefined {
    return this.all.find((container) => container.id === id);
  }

  act(container: Container, action: ContainerAction): Promise<boolean> {
    const title = t(FAILED[action], { name: container.name });
    return this.#attempt(container, title, () => ipc.containerAct(container.id, action));
  }

  start(container: Container): Promise<boolean> {
    return this.act(container, "start");
  }

  stop(container: Container): Promise<boolean> {
    return this.act(container, "stop");
  }

  remove(container: Container): Promise<boolean> {
    const force = isUp(container);
    return this.#attempt(container, t("error.remove", { name: container.name }), () =>
      ipc.containerRemove(container.id, force),
    );
  }

  /** Failures are the caller's to show. */
  async rename(container: Container, name: string): Promise<void> {
    await ipc.containerRename(container.id, name);
    await this.load();
  }

  /** The id of the new container. Failures are the caller's to show. */
  async run(request: RunRequest): Promise<string> {
    const { id } = await ipc.containerRun(request);
    await this.load();
    return id;
  }

  async #attempt(container: Container, title: string, work: () => Promise<void>): Promise<boolean> {
    this.busy[container.id] = true;
    try {
      return await notices.attempt(title, work);
    } finally {
      await this.load();
      delete this.busy[container.id];
    }
  }
}
export const containers = new Containers();
onConnected(() => void containers.load());
onChange("container", () => containers.refresh());
