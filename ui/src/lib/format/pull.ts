// The steps of a pull, push, load or save gathered into what is shown. Pure, so that tables can test it.
import type { ImageProgress, ImageStep } from "../bindings";

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
  /** Of an archive, what has been read or written. */
  readonly archive: { readonly doneBytes: number; readonly totalBytes: number | undefined } | undefined;
}

export const EMPTY_PULL: PullState = { layers: [], headline: "", archive: undefined };

const DONE = /^(pull complete|already exists|layer already exists|pushed|mounted from)/i;

export function gather(state: PullState, { steps, done_bytes, total_bytes }: ImageProgress): PullState {
  const next = steps.length > 0 ? advance(state, steps) : state;
  if (done_bytes === null) return next;
  return { ...next, archive: { doneBytes: done_bytes, totalBytes: total_bytes ?? undefined } };
}

export function advance(state: PullState, steps: readonly ImageStep[]): PullState {
  const layers = new Map(state.layers.map((layer) => [layer.id, layer]));
  let { headline } = state;
  for (const step of steps) {
    // "Pulling from library/nginx" carries the tag in place of a layer's id.
    if (step.layer === "" || /^pulling from/i.test(step.status)) {
      headline = step.status || headline;
      continue;
    }
    layers.set(step.layer, advanceLayer(layers.get(step.layer), step));
  }
  return { ...state, layers: [...layers.values()], headline };
}

function advanceLayer(before: Layer | undefined, step: ImageStep): Layer {
  const done = DONE.test(step.status);
  const totalBytes = step.total_bytes ?? before?.totalBytes;
  const currentBytes = done ? (totalBytes ?? 0) : (step.current_bytes ?? before?.currentBytes ?? 0);
  return { id: step.layer, status: step.status, currentBytes, totalBytes, done };
}

export const doneLayers = (state: PullState): number => state.layers.filter((layer) => layer.done).length;

/** Bytes of all layers whose size is known, and of the archive; none while nothing is known. */
export function amount({ layers, archive }: PullState): { doneBytes: number; totalBytes: number | undefined } | undefined {
  if (archive) return archive;
  const sized = layers.filter((layer) => layer.totalBytes !== undefined);
  if (sized.length === 0) return undefined;
  const sum = (bytes: (layer: Layer) => number): number => sized.reduce((total, layer) => total + bytes(layer), 0);
  return {
    doneBytes: sum((layer) => Math.min(layer.currentBytes, layer.totalBytes ?? 0)),
    totalBytes: sum((layer) => layer.totalBytes ?? 0),
  };
}
