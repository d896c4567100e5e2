// The containers that coracled lists.
import type { Container, RunRequest } from "../bindings";
import { clock } from "../clock.svelte";
import { parseStatus, type Status } from "../format/status";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

export interface ContainerRow extends Container {
  readonly parsed: Status;
}

export const isUp = (container: Container): boolean =>
  ["running", "paused", "restarting", "stopping"].includes(container.state);

class Containers {
  all = $state.raw<readonly ContainerRow[]>([]);
  loaded = $state(false);
  /** Ids with an action under way. */
  busy = $state<Record<string, boolean>>({});
  running = $derived(this.all.filter(isUp).length);

  readonly refresh = coalesced(() => this.load());

  async load(): Promise<void> {
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

  start(container: Container): Promise<boolean> {
    return this.#act(container, t("error.start", { name: container.name }), () => ipc.containerStart(container.id));
  }

  stop(container: Container): Promise<boolean> {
    return this.#act(container, t("error.stop", { name: container.name }), () => ipc.containerStop(container.id));
  }

  remove(container: Container): Promise<boolean> {
    const force = isUp(container);
    return this.#act(container, t("error.remove", { name: container.name }), () =>
      ipc.containerRemove(container.id, force),
    );
  }

  /** The id of the new container. Failures are the caller's to show. */
  async run(request: RunRequest): Promise<string> {
    const id = await ipc.containerRun(request);
    await this.load();
    return id;
  }

  async #act(container: Container, title: string, work: () => Promise<void>): Promise<boolean> {
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
