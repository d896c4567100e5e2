import { describe, expect, it } from "vitest";
import { splitWords } from "./command";
import { advance, doneLayers, EMPTY_PULL } from "./pull";
import { parseStatus } from "./status";
import { ago, bytes, seconds, shortId, span } from "./text";

describe("a command line", () => {
  it.each([
    ["", []],
    ["  ", []],
    ["sh -c 'echo a  b'", ["sh", "-c", "echo a  b"]],
    ['echo "a \\" b" c\\ d', ["echo", 'a " b', "c d"]],
    ["echo ''", ["echo", ""]],
    ["a'b'\"c\"", ["abc"]],
    ['"a\\nb"', ["a\\nb"]],
  ])("%j", (line, words) => expect(splitWords(line)).toEqual(words));

  it.each(["'", 'echo "a', "a 'b"])("%j is not closed", (line) => expect(splitWords(line)).toBeUndefined());
});

describe("docker's status text", () => {
  const now = 1_000_000_000;
  it.each([
    ["Up 3 minutes", { sinceMs: now - 180_000 }],
    ["Up Less than a second", { sinceMs: now }],
    ["Up About a minute", { sinceMs: now - 60_000 }],
    ["Up About an hour (Paused)", { sinceMs: now - 3_600_000 }],
    ["Exited (137) 2 hours ago", { exitCode: 137, sinceMs: now - 7_200_000 }],
    ["Exited (0) 1 second ago", { exitCode: 0, sinceMs: now - 1_000 }],
    ["Up 2 minutes (healthy)", { health: "healthy", sinceMs: now - 120_000 }],
    ["Up 3 seconds (health: starting)", { health: "starting", sinceMs: now - 3_000 }],
    ["Created", {}],
    ["", {}],
  ])("%j", (text, status) => expect(parseStatus(text, now)).toEqual(status));
});

describe("a pull", () => {
  const step = (layer: string, status: string, current: number | null = null, total: number | null = null) => ({
    layer,
    status,
    current_bytes: current,
    total_bytes: total,
  });

  it("gathers its layers in their order", () => {
    const state = advance(EMPTY_PULL, [
      step("latest", "Pulling from library/nginx"),
      step("aaa", "Pulling fs layer"),
      step("bbb", "Already exists"),
      step("aaa", "Downloading", 5, 10),
    ]);
    expect(state.headline).toBe("Pulling from library/nginx");
    expect(state.layers.map(({ id, currentBytes, done }) => [id, currentBytes, done])).toEqual([
      ["aaa", 5, false],
      ["bbb", 0, true],
    ]);
    const ended = advance(state, [step("aaa", "Pull complete"), step("", "Digest: sha256:00")]);
    expect(doneLayers(ended)).toBe(2);
    expect(ended.layers[0]?.currentBytes).toBe(10);
  });
});

describe("numbers", () => {
  it("are told in the reader's language", () => {
    expect(bytes(1_234_567, "en")).toBe("1.2 MB");
    expect(bytes(512, "en")).toBe("512 bytes");
    expect(seconds(4_123, "en")).toBe("4.1 sec");
    expect(ago(0, 185_000, "en")).toBe("3 minutes ago");
    expect(ago(0, 185_000, "zh-CN")).toBe("3分钟前");
    expect(span(0, 42_500, "en")).toBe("42 sec");
    expect(shortId("sha256:0123456789abcdef")).toBe("0123456789ab");
  });
});
