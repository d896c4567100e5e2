// What a container uses, from what it has used so far. Pure, so that tables can test it.
import type { Sample } from "../bindings";
import { numberFormat } from "./text";

/** At a moment; null where it is not known. */
export interface Use {
  /** Seconds since 1970. */
  readonly moment: number;
  /** Processors' worth of time. */
  readonly cpus: number | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
  /** Bytes a second, as are the next. */
  readonly received: number | null;
  readonly sent: number | null;
  readonly read: number | null;
  readonly written: number | null;
  readonly pids: number | null;
}

export interface History {
  readonly last: Sample;
  readonly uses: readonly Use[];
}

/** A quarter of an hour. */
export const MOST_USES = 900;
/** As many make a spark. */
export const SPARK_USES = 60;
/** After a longer pause nothing is said about what was between. */
const GAP_S = 10;

export function advanceUse(before: History | undefined, sample: Sample): History {
  const moment = Date.parse(sample.taken) / 1000;
  const passed = before ? moment - Date.parse(before.last.taken) / 1000 : 0;
  // The same measurement twice, or a clock that was set back.
  if (before && passed <= 0) return { last: sample, uses: before.uses };
  const rate = (pick: (sample: Sample) => number | null, unit = 1): number | null => {
    const [now, then] = [pick(sample), before ? pick(before.last) : null];
    // Counters begin anew with each start.
    return now === null || then === null || now < then || passed > GAP_S ? null : (now - then) / passed / unit;
  };
  const use: Use = {
    moment,
    cpus: rate(({ cpu_ns }) => cpu_ns, 1e9),
    memoryBytes: sample.memory_bytes,
    memoryLimitBytes: sample.memory_limit_bytes,
    received: rate(({ received_bytes }) => received_bytes),
    sent: rate(({ sent_bytes }) => sent_bytes),
    read: rate(({ read_bytes }) => read_bytes),
    written: rate(({ written_bytes }) => written_bytes),
    pids: sample.pids,
  };
  const gap = before && passed > GAP_S ? [{ ...NOTHING, moment: moment - 1 }] : [];
  return { last: sample, uses: [...(before?.uses ?? []), ...gap, use].slice(-MOST_USES) };
}

const NOTHING: Use = {
  moment: 0,
  cpus: null,
  memoryBytes: null,
  memoryLimitBytes: null,
  received: null,
  sent: null,
  read: null,
  written: null,
  pids: null,
};

/** The points of a line in a box, y downwards; pieces where something is unknown. */
export function sparkPath(values: readonly (number | null)[], width: number, height: number, atLeast: number): string {
  const most = Math.max(atLeast, ...values.map((value) => value ?? 0));
  const step = values.length > 1 ? width / (SPARK_USES - 1) : 0;
  const begin = width - step * (values.length - 1);
  let path = "";
  let drawing = false;
  values.forEach((value, index) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const x = (begin + index * step).toFixed(1);
    const y = (height - (value / most) * height).toFixed(1);
    path += `${drawing ? "L" : "M"}${x} ${y}`;
    drawing = true;
  });
  return path;
}

/** Processors' worth of time, 1 being all of one. */
export function percent(cpus: number, language: string): string {
  const digits = cpus < 0.0995 ? 1 : 0;
  return numberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(cpus);
}
