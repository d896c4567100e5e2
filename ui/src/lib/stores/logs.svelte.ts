// The logs of the one container that is looked at.
import type { Container, LogPiece } from "../bindings";
import { append, MOST_LINES, NO_LINES, type Lines } from "../format/logs";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";

class Logs {
  /** Whose logs are shown. */
  container = $state.raw<Container | undefined>();
  content = $state.raw<Lines>(NO_LINES);
  following = $state(false);

  #stream: ipc.Stream | undefined;
  #waiting: LogPiece[] = [];

  show(container: Container): void {
    this.#leave();
    this.container = container;
    this.content = NO_LINES;
    this.#read(container);
  }

  hide(): void {
    this.#leave();
    this.container = undefined;
  }

  /** Output of a new start is appended to nothing: its log begins anew, or goes on, as coracled keeps it. */
  restarted(id: string): void {
    if (this.container?.id === id && !this.following) this.show(this.container);
  }

  /** coracled is back. */
  reopen(): void {
    if (this.container) this.show(this.container);
  }

  #leave(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.#waiting = [];
    this.following = false;
  }

  #read(container: Container): void {
    this.following = true;
    const stream = ipc.containerLogs(container.id, MOST_LINES, (event) => {
      if (this.#stream !== stream) return;
      if (event.type === "output") this.#gather(event.pieces);
      else this.following = false;
    });
    this.#stream = stream;
    stream.done.catch((reason: unknown) => {
      if (this.#stream !== stream) return;
      this.following = false;
      const { code, message } = ipc.failure(reason);
      // One that removed itself took its log along; what was read stays on the page.
      // And that coracled is gone is told at the top of the page.
      if (code !== "not_found" && code !== "unreachable") notices.add(t("error.logs", { name: container.name }), message);
    });
  }

  /** However much comes, the page is drawn once a frame. */
  #gather(pieces: readonly LogPiece[]): void {
    if (this.#waiting.length === 0) {
      requestAnimationFrame(() => {
        this.content = append(this.content, this.#waiting);
        this.#waiting = [];
      });
    }
    this.#waiting.push(...pieces);
  }
}
export const logs = new Logs();
onConnected(() => logs.reopen());
onChange("container", ({ action, id }) => {
  if (action === "start") logs.restarted(id);
});
