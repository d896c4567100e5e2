// A comparison of two images as it comes in.
import { counted, NO_COUNTS, type Counts } from "../format/diff";
import type { ImageDifference } from "../bindings";
import * as ipc from "../ipc";

export class ImageComparison {
  lines = $state.raw<readonly ImageDifference[]>([]);
  counts = $state.raw<Counts>(NO_COUNTS);
  /** Whether there are more than were sent. */
  cut = $state(false);
  state = $state<"running" | "done" | "failed">("running");
  problem = $state("");
  readonly #stream: ipc.Stream;

  constructor(before: string, after: string) {
    this.#stream = ipc.imageDiff(before, after, ({ lines, cut }) => {
      this.lines = [...this.lines, ...lines];
      this.counts = counted(this.counts, lines);
      this.cut = cut;
    });
    this.#stream.done.then(
      () => (this.state = "done"),
      (reason) => {
        this.state = "failed";
        this.problem = ipc.failure(reason).message;
      },
    );
  }

  close(): void {
    if (this.state === "running") this.#stream.close();
  }
}
