// A container's output as lines. Pure, so that tables can test it.
import type { LogPiece } from "../bindings";

export interface Line {
  /** Counts from the first line of this reading; a stable key. */
  readonly number: number;
  readonly text: string;
  readonly error: boolean;
}

export interface Lines {
  readonly lines: readonly Line[];
  /** Whether the last line may still grow. */
  readonly open: boolean;
}

/** Older ones are let go: a page is no archive. */
export const MOST_LINES = 5_000;
export const NO_LINES: Lines = { lines: [], open: false };

// Colours and cursor moves (ECMA-48 control sequences, OSC strings): this view has no use for them.
// eslint-disable-next-line no-control-regex
const CONTROL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\^_])/g;

/** What a terminal would still show of a line in which a carriage return went back to its start. */
function visible(text: string): string {
  const plain = text.replace(CONTROL, "").replace(/\r+$/, "");
  return plain.slice(plain.lastIndexOf("\r") + 1);
}

export function append(state: Lines, pieces: readonly LogPiece[]): Lines {
  const lines = [...state.lines];
  let { open } = state;
  for (const piece of pieces) {
    const parts = piece.text.split("\n");
    const rest = parts.pop() ?? "";
    for (const part of parts) {
      add(part, piece.error);
      open = false;
    }
    if (rest !== "") {
      add(rest, piece.error);
      open = true;
    }
  }
  return { lines: lines.length > MOST_LINES ? lines.slice(-MOST_LINES) : lines, open };

  function add(part: string, error: boolean): void {
    const last = lines.at(-1);
    if (open && last && last.error === error) {
      lines[lines.length - 1] = { ...last, text: visible(last.text + part) };
    } else {
      lines.push({ number: (last?.number ?? 0) + 1, text: visible(part), error });
    }
  }
}
