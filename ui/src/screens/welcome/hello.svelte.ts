// The first container: the bundled image, run and read.
import { runOf } from "../../lib/format/docker-run";
import { t } from "../../lib/i18n/index.svelte";
import * as ipc from "../../lib/ipc";
import { containers } from "../../lib/stores/containers.svelte";
import { notices } from "../../lib/stores/notices.svelte";

const IMAGE = "coracle/hello";
const MOST_LINES = 200;

class Hello {
  state = $state<"idle" | "running" | "done">("idle");
  output = $state("");
  #logs: ipc.Stream | undefined;

  async run(): Promise<void> {
    this.leave();
    this.output = "";
    this.state = "running";
    const went = await notices.attempt(t("error.run", { name: IMAGE }), async () => {
      const id = await containers.run(runOf(IMAGE));
      this.#logs = ipc.containerLogs(id, MOST_LINES, (event) => {
        if (event.type === "output") this.output += event.pieces.map(({ text }) => text).join("");
      });
      await this.#logs.done;
    });
    this.state = went ? "done" : "idle";
  }

  /** Its output is not read on; the container runs to its end. */
  leave(): void {
    this.#logs?.close();
    this.#logs = undefined;
  }
}
export const hello = new Hello();
