// The pulls that this page began.
import { advance, EMPTY_PULL, type PullState } from "../format/pull";
import * as ipc from "../ipc";
import { images } from "./images.svelte";

export type Outcome = { state: "running" } | { state: "done" } | { state: "failed"; message: string };

export class Pull {
  progress = $state.raw<PullState>(EMPTY_PULL);
  outcome = $state.raw<Outcome>({ state: "running" });
  #stream: ipc.Stream;

  constructor(
    readonly id: number,
    readonly reference: string,
    private readonly leave: (pull: Pull) => void,
  ) {
    this.#stream = ipc.imagePull(reference, ({ steps }) => (this.progress = advance(this.progress, steps)));
    void this.#settle();
  }

  async #settle(): Promise<void> {
    try {
      await this.#stream.done;
      this.outcome = { state: "done" };
      await images.load();
    } catch (reason) {
      this.outcome = { state: "failed", message: ipc.failure(reason).message };
    }
  }

  /** Cancels it if it still runs, and takes it off the page. */
  close(): void {
    if (this.outcome.state === "running") this.#stream.close();
    this.leave(this);
  }
}

class Pulls {
  all = $state.raw<readonly Pull[]>([]);
  #next = 1;

  begin(reference: string): void {
    const running = this.all.find((pull) => pull.reference === reference && pull.outcome.state === "running");
    if (running) return;
    const pull = new Pull(this.#next++, reference, (left) => (this.all = this.all.filter((other) => other !== left)));
    this.all = [pull, ...this.all.filter((other) => other.reference !== reference)];
  }
}
export const pulls = new Pulls();
