// The one container that is looked at closely.
import type { ContainerDetails } from "../bindings";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { coalesced } from "./refresh";

export class Inspected {
  details = $state.raw<ContainerDetails | undefined>();
  /** Why there are none. */
  problem = $state.raw<string | undefined>();
  /** Removed, by whomever. What was known stays on the page. */
  gone = $state(false);

  readonly #leave: (() => void)[];
  readonly #refresh = coalesced(() => this.load());

  constructor(readonly id: string) {
    this.#leave = [
      onConnected(() => this.#refresh()),
      onChange("container", (change) => {
        if (change.id === id) this.#refresh();
      }),
    ];
    void this.load();
  }

  close(): void {
    this.#leave.forEach((leave) => leave());
  }

  async load(): Promise<void> {
    try {
      this.details = await ipc.containerDetails(this.id);
      this.problem = undefined;
      this.gone = false;
    } catch (reason) {
      const { code, message } = ipc.failure(reason);
      this.gone = code === "not_found";
      this.problem = message;
    }
  }
}
