import { describe, expect, it } from "vitest";
import { RowSlots } from "./rowSlots";

const ROWS = Array.from({ length: 100 }, (_, at) => `row ${at}`);

/** The keys of one drawing. */
const draw = (slots: RowSlots, from: number, to: number, rows = ROWS): number[] =>
  rows.slice(from, to).map((row, at) => slots.key(row, from + at));

const distinct = (keys: number[]): number => new Set(keys).size;

describe("rows' slots", () => {
  it("pass from what scrolls out to what scrolls in, down and up and far", () => {
    const slots = new RowSlots();
    const first = draw(slots, 0, 20);
    expect(distinct(first)).toBe(20);
    const second = draw(slots, 5, 25);
    expect(second.slice(0, 15)).toEqual(first.slice(5));
    expect([...second].sort()).toEqual([...first].sort());
    const up = draw(slots, 2, 22);
    expect(up.slice(3)).toEqual(second.slice(0, 17));
    // One row's room is left, because a drawing may be longer than the last one.
    expect(up.filter((key) => !second.includes(key)).length).toBeLessThanOrEqual(1);
    expect(distinct([...draw(slots, 60, 80), ...first])).toBeLessThanOrEqual(21);
  });

  it("are never two rows' at once, however the list and its length change", () => {
    const slots = new RowSlots();
    let rows = ROWS;
    for (let turn = 0; turn < 400; turn += 1) {
      const from = (turn * 37) % 80;
      const keys = draw(slots, from, from + 1 + ((turn * 13) % 20), rows);
      expect(distinct(keys)).toBe(keys.length);
      if (turn % 3 === 0) rows = [...rows.slice((turn * 7) % 100), ...rows.slice(0, (turn * 7) % 100)];
    }
  });

  it("stay with rows that a new one moves", () => {
    const slots = new RowSlots();
    const before = draw(slots, 0, 20);
    const after = draw(slots, 0, 20, ["new", ...ROWS]);
    expect(after.slice(1)).toEqual(before.slice(0, 19));
  });
});
