// What two images differ in, counted and chosen from. Pure, so that tables can test it.
import type { ImageDifference } from "../bindings";

/** `touched`: nothing but its time is another, as of every folder that something was written into. */
export type Change = "added" | "removed" | "changed" | "touched";
export const CHANGES: readonly Change[] = ["added", "removed", "changed", "touched"];

export function changeOf({ before, after, fields }: ImageDifference): Change {
  if (before === null) return "added";
  if (after === null) return "removed";
  return fields.length === 1 && fields[0] === "time" ? "touched" : "changed";
}

const sizeOf = (entry: ImageDifference["before"]): number => (entry?.kind === "file" ? entry.size_bytes : 0);

/** How many bytes more the second image has at this path. */
export const growth = ({ before, after }: ImageDifference): number => sizeOf(after) - sizeOf(before);

export interface Counts {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly touched: number;
  readonly growthBytes: number;
}

export const NO_COUNTS: Counts = { added: 0, removed: 0, changed: 0, touched: 0, growthBytes: 0 };

export function counted(before: Counts, lines: readonly ImageDifference[]): Counts {
  return lines.reduce((counts, line) => {
    const change = changeOf(line);
    return { ...counts, [change]: counts[change] + 1, growthBytes: counts.growthBytes + growth(line) };
  }, before);
}

/** Those of these kinds whose path holds the text. */
export function chosen(
  lines: readonly ImageDifference[],
  kinds: ReadonlySet<Change>,
  query: string,
): readonly ImageDifference[] {
  const wanted = query.trim().toLowerCase();
  return lines.filter((line) => kinds.has(changeOf(line)) && line.path.toLowerCase().includes(wanted));
}
