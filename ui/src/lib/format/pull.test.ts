import { describe, expect, it } from "vitest";
import type { ImageStep } from "../bindings";
import { advance, amount, doneLayers, EMPTY_PULL, gather } from "./pull";

const step = (layer: string, status: string, current_bytes: number | null = null, total_bytes: number | null = null): ImageStep => ({
  layer,
  status,
  current_bytes,
  total_bytes,
});

describe("a push", () => {
  it("is done with layers that are there, mounted or pushed", () => {
    const state = advance(EMPTY_PULL, [
      step("", "The push refers to repository [r/a]"),
      step("a", "Preparing"),
      step("b", "Layer already exists"),
      step("c", "Mounted from team/base"),
      step("a", "Pushing", 5, 10),
    ]);
    expect(state.headline).toBe("The push refers to repository [r/a]");
    expect(doneLayers(state)).toBe(2);
    expect(doneLayers(advance(state, [step("a", "Pushed")]))).toBe(3);
  });
});

describe("amounts", () => {
  it("are those of the layers whose size is known", () => {
    expect(amount(EMPTY_PULL)).toBeUndefined();
    const state = advance(EMPTY_PULL, [
      step("a", "Downloading", 5, 10),
      step("b", "Waiting"),
      // Unpacking counts otherwise; no layer is more than done.
      step("c", "Extracting", 30, 20),
    ]);
    expect(amount(state)).toEqual({ doneBytes: 25, totalBytes: 30 });
  });

  it("of an archive are its own, whatever the layers say", () => {
    const first = gather(EMPTY_PULL, { steps: [], done_bytes: 1, total_bytes: null });
    expect(amount(first)).toEqual({ doneBytes: 1, totalBytes: undefined });
    const next = gather(first, { steps: [step("a", "Loading layer", 1, 2)], done_bytes: 7, total_bytes: 9 });
    expect(amount(next)).toEqual({ doneBytes: 7, totalBytes: 9 });
    expect(next.layers).toHaveLength(1);
    // A message without bytes keeps those of before.
    expect(amount(gather(next, { steps: [step("", "Loaded image: a")], done_bytes: null, total_bytes: null }))).toEqual({
      doneBytes: 7,
      totalBytes: 9,
    });
  });
});
