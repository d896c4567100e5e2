// The networks that coracled lists, and the containers on them.
import type { JoinRequest, Network, NetworkRequest, NetworkUse } from "../bindings";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

class Networks {
  all = $state.raw<readonly Network[]>([]);
  uses = $state.raw<readonly NetworkUse[]>([]);
  loaded = $state(false);
  busy = $state<Record<string, boolean>>({});

  readonly refresh = coalesced(() => this.load());

  async load(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      const [list, uses] = await Promise.all([ipc.networksList(), ipc.networkUses()]);
      // Those that are always there last.
      const order = (network: Network): number => (network.built_in ? 1 : 0);
      this.all = list.sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
      this.uses = uses;
      this.loaded = true;
    });
  }

  byId(id: string): Network | undefined {
    return this.all.find((network) => network.id === id);
  }

  /** A container that was never started knows its network by name alone. */
  usersOf(network: Network): readonly NetworkUse[] {
    return this.uses.filter((use) => (use.network_id ? use.network_id === network.id : use.network === network.name));
  }

  /** Failures of these two are the caller's to show. */
  async create(request: NetworkRequest): Promise<string> {
    const id = await ipc.networkCreate(request);
    await this.load();
    return id;
  }

  async connect(request: JoinRequest): Promise<void> {
    await ipc.networkConnect(request);
    await this.load();
  }

  disconnect(network: Network, use: NetworkUse): Promise<boolean> {
    const title = t("error.disconnect", { name: use.container, network: network.name });
    return this.#act(network.id, title, () => ipc.networkDisconnect(network.id, use.container_id));
  }

  remove(network: Network): Promise<boolean> {
    return this.#act(network.id, t("error.remove", { name: network.name }), () => ipc.networkRemove(network.id));
  }

  async #act(id: string, title: string, work: () => Promise<void>): Promise<boolean> {
    this.busy[id] = true;
    try {
      return await notices.attempt(title, work);
    } finally {
      await this.load();
      delete this.busy[id];
    }
  }
}
export const networks = new Networks();
onConnected(() => void networks.load());
onChange("network", () => networks.refresh());
onChange("container", () => networks.refresh());
