// The pulls, pushes, loads and saves that this page began.
import { EMPTY_PULL, gather, type PullState } from "../format/pull";
import type { ImageProgress } from "../bindings";
import * as ipc from "../ipc";
import { images } from "./images.svelte";

export type Outcome = { state: "running" } | { state: "done" } | { state: "failed"; message: string };
export type Work = "pull" | "push" | "load" | "save";

/** One of them. What is begun again takes its place. */
export class Pull {
  progress = $state.raw<PullState>(EMPTY_PULL);
  outcome = $state.raw<Outcome>({ state: "running" });
  #stream: ipc.Stream;

  constructor(
    readonly id: number,
    readonly work: Work,
    /** What it is about: a reference, or the path of an archive. */
    readonly reference: string,
    private readonly start: (receive: (progress: ImageProgress) => void) => ipc.Stream,
    private readonly leave: (pull: Pull) => void,
  ) {
    this.#stream = this.#begin();
  }

  #begin(): ipc.Stream {
    const stream = this.start((progress) => (this.progress = gather(this.progress, progress)));
    void this.#settle(stream);
    return stream;
  }

  async #settle(stream: ipc.Stream): Promise<void> {
    try {
      await stream.done;
      this.outcome = { state: "done" };
      await images.load();
    } catch (reason) {
      this.outcome = { state: "failed", message: ipc.failure(reason).message };
    }
  }

  again(): void {
    if (this.outcome.state === "running") return;
    this.progress = EMPTY_PULL;
    this.outcome = { state: "running" };
    this.#stream = this.#begin();
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

  begin(reference: string, options: ipc.PullOptions = {}): void {
    this.#add("pull", reference, (receive) => ipc.imagePull(reference, options, receive));
  }

  push(reference: string): void {
    this.#add("push", reference, (receive) => ipc.imagePush(reference, receive));
  }

  load(path: string): void {
    this.#add("load", path, (receive) => ipc.imagesLoad(path, receive));
  }

  save(references: string[], path: string): void {
    this.#add("save", path, (receive) => ipc.imagesSave(references, path, receive));
  }

  #add(work: Work, reference: string, start: (receive: (progress: ImageProgress) => void) => ipc.Stream): void {
    const same = (pull: Pull): boolean => pull.work === work && pull.reference === reference;
    if (this.all.some((pull) => same(pull) && pull.outcome.state === "running")) return;
    const pull = new Pull(this.#next++, work, reference, start, (left) => {
      this.all = this.all.filter((other) => other !== left);
    });
    this.all = [pull, ...this.all.filter((other) => !same(other))];
  }
}
export const pulls = new Pulls();
