// Running an image: pulled first if it is not there.
import type { RunRequest } from "../../lib/bindings";
import { amount, doneLayers, EMPTY_PULL, gather } from "../../lib/format/pull";
import { t } from "../../lib/i18n/index.svelte";
import * as ipc from "../../lib/ipc";
import { containers } from "../../lib/stores/containers.svelte";
import { images } from "../../lib/stores/images.svelte";

export class Running {
  busy = $state(false);
  pull = $state.raw(EMPTY_PULL);
  pulling = $state(false);
  #stream: ipc.Stream | undefined;
  #cancelled = false;

  readonly amount = $derived(amount(this.pull));
  readonly layers = $derived({ done: doneLayers(this.pull), total: this.pull.layers.length });

  /** The id of the container. As docker does it: coracled says whether the image is there. */
  async run(request: RunRequest): Promise<string> {
    this.busy = true;
    try {
      return await containers.run(request);
    } catch (reason) {
      const { code, message } = ipc.failure(reason);
      if (code !== "not_found" || !/no such image/i.test(message)) throw reason;
      await this.#pull(request);
      return await containers.run(request);
    } finally {
      this.busy = false;
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#stream?.close();
  }

  async #pull({ image, further }: RunRequest): Promise<void> {
    this.pulling = true;
    this.pull = EMPTY_PULL;
    this.#cancelled = false;
    try {
      const platform = further.find(({ flag }) => flag === "--platform")?.value;
      this.#stream = ipc.imagePull(image, { platform }, (progress) => (this.pull = gather(this.pull, progress)));
      await this.#stream.done;
      await images.load();
    } finally {
      this.pulling = false;
    }
    if (this.#cancelled) throw new Error(t("run.pull.cancelled"));
  }
}
