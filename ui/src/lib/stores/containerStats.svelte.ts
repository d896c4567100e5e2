// What running containers use: one stream for all, and only while somebody looks.
import { SvelteMap } from "svelte/reactivity";
import { advanceUse, type History, type Use } from "../format/stats";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";

class ContainerStats {
  /** By the container's id. */
  readonly histories = new SvelteMap<string, History>();
  #stream: ipc.Stream | undefined;
  #watchers = 0;

  /** Measures until the answer is called. */
  watch(): () => void {
    this.#watchers += 1;
    if (this.#watchers === 1) this.#open();
    let watching = true;
    return () => {
      if (!watching) return;
      watching = false;
      this.#watchers -= 1;
      if (this.#watchers === 0) this.#close();
    };
  }

  uses(id: string): readonly Use[] {
    return this.histories.get(id)?.uses ?? [];
  }

  /** The last that was known, also of one that has ended since. */
  latest(id: string): Use | undefined {
    return this.histories.get(id)?.uses.at(-1);
  }

  forget(id: string): void {
    this.histories.delete(id);
  }

  /** coracled is back. */
  reopen(): void {
    if (this.#watchers === 0) return;
    this.#close();
    this.#open();
  }

  #open(): void {
    const stream = ipc.containersStats(({ samples }) => {
      if (this.#stream !== stream) return;
      for (const sample of samples) {
        this.histories.set(sample.id, advanceUse(this.histories.get(sample.id), sample));
      }
    });
    this.#stream = stream;
    // That coracled is gone is told at the top of the page, and its return opens the stream anew.
    stream.done.catch(() => {});
  }

  #close(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }
}
export const containerStats = new ContainerStats();
onConnected(() => containerStats.reopen());
onChange("container", ({ action, id }) => {
  if (action === "destroy") containerStats.forget(id);
});
