// The Lab: the last report, and the run that is under way.
import type { Event, Report, Stage } from "../lab-bindings";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { nowAndOnConnected } from "./changes";
import { notices } from "./notices.svelte";

/** A part of the run, as far as it is. */
export interface StageState {
  readonly stage: Stage;
  readonly state: "running" | "done";
  /** Of `of` steps; 0 of 0 when the stage counts none. */
  readonly number: number;
  readonly of: number;
  /** Since the run began. */
  readonly beganMs: number;
  readonly tookMs: number | undefined;
}

/** The stages after one more event. */
export function advance(stages: readonly StageState[], event: Event): readonly StageState[] {
  switch (event.event) {
    case "began":
      return [
        ...stages,
        { stage: event.stage, state: "running", number: 0, of: 0, beganMs: event.at_ms, tookMs: undefined },
      ];
    case "step":
      return stages.map((it) =>
        it.stage === event.stage && it.state === "running" ? { ...it, number: event.number, of: event.of } : it,
      );
    case "ended":
      return stages.map((it) =>
        it.stage === event.stage && it.state === "running" ? { ...it, state: "done", tookMs: event.took_ms } : it,
      );
    default:
      return stages;
  }
}

class Lab {
  report = $state.raw<Report | undefined>();
  loaded = $state(false);
  running = $state(false);
  beganMs = $state(0);
  stages = $state.raw<readonly StageState[]>([]);
  problem = $state("");
  #stream: ipc.Stream | undefined;

  async load(): Promise<void> {
    await notices.attempt(t("lab.error.load"), async () => {
      this.report = (await ipc.labReport()) ?? undefined;
      this.loaded = true;
    });
  }

  async run(image: string | null, rounds: number): Promise<void> {
    this.running = true;
    this.problem = "";
    this.stages = [];
    this.beganMs = Date.now();
    const stream = ipc.labRun(image, rounds, (event) => this.#receive(event));
    this.#stream = stream;
    try {
      await stream.done;
    } catch (reason) {
      if (this.#stream === stream) this.problem = ipc.failure(reason).message;
    } finally {
      if (this.#stream === stream) {
        this.#stream = undefined;
        this.running = false;
      }
    }
  }

  /** Ends the run; what it started is removed by coracled. */
  cancel(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.running = false;
  }

  #receive(event: Event): void {
    if (event.event === "report") this.report = event.report;
    else if (event.event === "failed") this.problem = event.message;
    else this.stages = advance(this.stages, event);
  }
}
export const lab = new Lab();
nowAndOnConnected(() => void lab.load());
