// A pull's steps gathered into what is shown. Pure, so that tables can test it.
import type { PullStep } from "../bindings";

export interface Layer {
  readonly id: string;
  readonly status: string;
  readonly currentBytes: number;
  /** Unknown until its download begins. */
  readonly totalBytes: number | undefined;
  readonly done: boolean;
}

export interface PullState {
  readonly layers: readonly Layer[];
  /** The last line that concerned the whole image. */
  readonly headline: string;
}

export const EMPTY_PULL: PullState = { layers: [], headline: "" };

const DONE = /^(pull complete|already exists)/i;

export function advance(state: PullState, steps: readonly PullStep[]): PullState {
  const layers = new Map(state.layers.map((layer) => [layer.id, layer]));
  let { headline } = state;
  for (const step of steps) {
    // "Pulling from library/nginx" carries the tag in place of a layer's id.
    if (step.layer === "" || /^pulling from/i.test(step.status)) {
      headline = step.status;
      continue;
    }
    layers.set(step.layer, advanceLayer(layers.get(step.layer), step));
  }
  return { layers: [...layers.values()], headline };
}

function advanceLayer(before: Layer | undefined, step: PullStep): Layer {
  const done = DONE.test(step.status);
  const totalBytes = step.total_bytes ?? before?.totalBytes;
  const currentBytes = done ? (totalBytes ?? 0) : (step.current_bytes ?? before?.currentBytes ?? 0);
  return { id: step.layer, status: step.status, currentBytes, totalBytes, done };
}

export const doneLayers = (state: PullState): number => state.layers.filter((layer) => layer.done).length;
