// A container's output as lines. Pure, so that tables can test it.
import type { LogPiece } from "../bindings";
import { PLAIN, styled, type Span, type Style } from "./ansi";

export interface Line {
  /** Counts from the first line of this reading; a stable key. */
  readonly number: number;
  /** When it was written, RFC 3339; empty when that was not told. */
  readonly stamp: string;
  /** Without control sequences. */
  readonly text: string;
  /** None when it is plain. */
  readonly spans: readonly Span[] | undefined;
  readonly error: boolean;
}

export interface Lines {
  readonly lines: readonly Line[];
  /** The last line as it came, while it may still grow. */
  readonly open: string | undefined;
  /** How each output goes on. */
  readonly styles: { readonly out: Style; readonly error: Style };
  /** How many old lines the last step let go. */
  readonly dropped: number;
}

/** Older ones are let go: a page is no archive. */
export const MOST_LINES = 100_000;
/** They go in heaps, so that a full page does not move them all at each line. */
const SLACK = 10_000;
export const NO_LINES: Lines = { lines: [], open: undefined, styles: { out: PLAIN, error: PLAIN }, dropped: 0 };

const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) /;

export function append(state: Lines, pieces: readonly LogPiece[]): Lines {
  const lines = state.lines.slice();
  let { open } = state;
  const styles = { ...state.styles };
  /** What the open line began with: it is drawn anew as it grows. */
  let before = open === undefined ? PLAIN : styles[lines.at(-1)?.error ? "error" : "out"];

  for (const { error, text: whole } of pieces) {
    // coracled puts the time before each piece, also before one that goes on with a line.
    const stamp = STAMP.exec(whole);
    const text = stamp ? whole.slice(stamp[0].length) : whole;
    const parts = text.split("\n");
    parts.forEach((part, index) => {
      const last = index === parts.length - 1;
      if (last && part === "") return;
      add(part, error, stamp?.[1] ?? "", !last);
    });
  }
  const dropped = lines.length > MOST_LINES + SLACK ? lines.length - MOST_LINES : 0;
  return { lines: dropped > 0 ? lines.slice(dropped) : lines, open, styles, dropped };

  function add(part: string, error: boolean, stamp: string, ends: boolean): void {
    const kind = error ? "error" : "out";
    const last = lines.at(-1);
    const grows = open !== undefined && last !== undefined && last.error === error;
    if (!grows) before = styles[kind];
    const raw = grows ? (open ?? "") + part : part;
    const { text, spans, style } = styled(raw, before);
    const line = { number: (last?.number ?? 0) + 1, stamp, text, spans, error };
    if (grows) lines[lines.length - 1] = { ...line, number: last.number, stamp: last.stamp };
    else lines.push(line);
    open = ends ? undefined : raw;
    if (ends) styles[kind] = style;
  }
}

/** What is looked for, whatever its case. None when nothing is. */
export function pattern(query: string): RegExp | undefined {
  return query === "" ? undefined : new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
}

/** The numbers of the lines in which it is found, from the line `after` on. */
export function hits(lines: readonly Line[], wanted: RegExp, after = 0): number[] {
  const first = lines[0]?.number ?? 1;
  const found: number[] = [];
  for (let at = Math.max(0, after + 1 - first); at < lines.length; at += 1) {
    const line = lines[at];
    wanted.lastIndex = 0;
    if (line && wanted.test(line.text)) found.push(line.number);
  }
  return found;
}

export interface Part extends Span {
  readonly hit: boolean;
}

/** A line's spans, divided where what is looked for begins and ends. */
export function parts(line: Line, wanted: RegExp | undefined): readonly Part[] {
  const spans = line.spans ?? [{ text: line.text, style: PLAIN }];
  if (!wanted) return spans.map((span) => ({ ...span, hit: false }));
  const edges: [from: number, to: number][] = [];
  for (const match of line.text.matchAll(wanted)) edges.push([match.index, match.index + match[0].length]);
  const divided: Part[] = [];
  let at = 0;
  for (const span of spans) {
    let from = at;
    const end = at + span.text.length;
    const add = (to: number, hit: boolean): void => {
      if (to > from) divided.push({ text: span.text.slice(from - at, to - at), style: span.style, hit });
      from = Math.max(from, to);
    };
    for (const [start, stop] of edges) {
      if (stop <= at || start >= end) continue;
      add(Math.min(start, end), false);
      add(Math.min(stop, end), true);
    }
    add(end, false);
    at = end;
  }
  return divided;
}
