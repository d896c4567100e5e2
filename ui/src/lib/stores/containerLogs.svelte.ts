// The reading of one container's output, and the search in it.
import type { Container, LogEvent, LogPiece } from "../bindings";
import { append, hits, MOST_LINES, NO_LINES, pattern, type Lines } from "../format/logs";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";

const DRAWN_EVERY_MS = 100;

export class LogReading {
  content = $state.raw<Lines>(NO_LINES);
  /** Whether more may come. */
  live = $state(false);
  query = $state.raw("");
  /** Numbers of the lines in which the query is found. */
  found = $state.raw<readonly number[]>([]);
  /** Which of them is looked at. */
  present = $state.raw<number | undefined>();
  readonly pattern = $derived(pattern(this.query));

  #stream: ipc.Stream | undefined;
  #waiting: LogPiece[] = [];
  #later: ReturnType<typeof setTimeout> | undefined;
  #drawn = 0;
  readonly #leave: (() => void)[];

  constructor(readonly container: Pick<Container, "id" | "name">) {
    // Who begins to listen may be told of a connection that is there already; the reading below is of that one.
    let begun = false;
    setTimeout(() => (begun = true));
    this.#leave = [
      onConnected(() => {
        if (begun) this.#read();
      }),
      // A new start goes on with the log; coracled tells it from its beginning.
      onChange("container", ({ action, id }) => {
        if (action === "start" && id === container.id && !this.live) this.#read();
      }),
    ];
    this.#read();
  }

  close(): void {
    this.#hangUp();
    this.#leave.forEach((leave) => leave());
  }

  /** Looks for lines; the last one found is the nearest to what is read. */
  search(query: string): void {
    this.query = query;
    const wanted = pattern(query);
    this.found = wanted ? hits(this.content.lines, wanted) : [];
    this.present = this.found.at(-1);
  }

  /** To the next one found, or back; round at the ends. */
  step(by: 1 | -1): void {
    const { found } = this;
    const at = this.present === undefined ? -1 : found.indexOf(this.present);
    this.present = found[(at + by + found.length) % found.length];
  }

  #hangUp(): void {
    this.#stream?.close();
    this.#stream = undefined;
    clearTimeout(this.#later);
    this.#later = undefined;
    this.#waiting = [];
    this.live = false;
  }

  #read(): void {
    this.#hangUp();
    this.live = true;
    let fresh = true;
    const receive = (event: LogEvent): void => {
      if (this.#stream !== stream) return;
      // What was read before stays until the first word of the new reading.
      if (fresh) this.#show(NO_LINES);
      fresh = false;
      if (event.type === "output") this.#gather(event.pieces);
      else this.live = false;
    };
    const stream = ipc.containerLogs(this.container.id, MOST_LINES, receive, true);
    this.#stream = stream;
    stream.done.catch((reason: unknown) => {
      if (this.#stream !== stream) return;
      this.live = false;
      const { code, message } = ipc.failure(reason);
      // One that removed itself took its log along; what was read stays on the page.
      // And that coracled is gone is told at the top of the page.
      const { name } = this.container;
      if (code !== "not_found" && code !== "unreachable") notices.add(t("error.logs", { name }), message);
    });
  }

  /** However much comes, nobody reads a page that is drawn more often than this. The first word shows at once. */
  #gather(pieces: readonly LogPiece[]): void {
    for (const piece of pieces) this.#waiting.push(piece);
    this.#later ??= setTimeout(
      () => {
        this.#later = undefined;
        this.#drawn = Date.now();
        const waiting = this.#waiting;
        this.#waiting = [];
        this.#show(append(this.content, waiting));
      },
      Math.max(0, this.#drawn + DRAWN_EVERY_MS - Date.now()),
    );
  }

  #show(content: Lines): void {
    const last = this.content.open === undefined ? 0 : 1;
    // Only what is new is looked through, and the line that may have grown.
    const seen = (this.content.lines.at(-1)?.number ?? 0) - last;
    this.content = content;
    const wanted = this.pattern;
    if (!wanted) return;
    const first = content.lines[0]?.number ?? Infinity;
    const kept = this.found.filter((number) => number >= first && number <= seen);
    this.found = [...kept, ...hits(content.lines, wanted, kept.length === 0 && seen === 0 ? 0 : seen)];
    if (this.present !== undefined && this.present < first) this.present = this.found[0];
  }
}
