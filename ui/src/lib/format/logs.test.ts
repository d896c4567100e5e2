import { describe, expect, it } from "vitest";
import { PLAIN, styled } from "./ansi";
import { append, hits, MOST_LINES, NO_LINES, parts, pattern, type Lines } from "./logs";

const STAMP = "2026-01-02T03:04:05.123456789Z";
const out = (text: string) => ({ error: false, text });
const err = (text: string) => ({ error: true, text });
const texts = (state: Lines) => state.lines.map((line) => line.text);

describe("a log", () => {
  it("joins what belongs to a line, however it comes", () => {
    let state = append(NO_LINES, [out("one\ntw"), out("o\nthr")]);
    state = append(state, [out("ee")]);
    expect(texts(state)).toEqual(["one", "two", "three"]);
    expect(texts(append(state, [out("\n"), out("four\n")]))).toEqual(["one", "two", "three", "four"]);
  });

  it("keeps the two outputs apart", () => {
    const state = append(NO_LINES, [out("a"), err("b\n"), out("c\n")]);
    expect(state.lines.map(({ text, error }) => [text, error])).toEqual([
      ["a", false],
      ["b", true],
      ["c", false],
    ]);
  });

  it("takes the time off each piece, also within a line", () => {
    const state = append(NO_LINES, [out(`${STAMP} 2026 was\n`), out(`${STAMP} a go`), out(`${STAMP} od year\n`)]);
    expect(texts(state)).toEqual(["2026 was", "a good year"]);
    expect(state.lines.map((line) => line.stamp)).toEqual([STAMP, STAMP]);
  });

  it("shows what a terminal would", () => {
    expect(texts(append(NO_LINES, [out("\u001b[31mred\u001b[0m\r\n10%\r20%\n\n")]))).toEqual(["red", "20%", ""]);
  });

  it("goes on with a colour on the next line of the same output", () => {
    const state = append(NO_LINES, [out("\u001b[32mgreen\n"), err("plain\n"), out("green"), out(" still\u001b[m\nplain\n")]);
    expect(state.lines.map((line) => line.spans?.map((span) => span.style.ink))).toEqual([
      [2],
      undefined,
      [2],
      undefined,
    ]);
    expect(texts(state)[2]).toBe("green still");
  });

  it("lets old lines go in heaps and keeps their numbers", () => {
    const state = append(NO_LINES, [out("x\n".repeat(MOST_LINES + 2))]);
    expect(state.dropped).toBe(0);
    const full = append(state, [out("x\n".repeat(9_999))]);
    expect([full.lines.length, full.dropped, full.lines[0]?.number]).toEqual([MOST_LINES, 10_001, 10_002]);
    expect(append(full, [out("y\n")]).dropped).toBe(0);
  });
});

describe("a search in a log", () => {
  const state = append(NO_LINES, [out("GET /a\npost /a.b\n\u001b[31mg\u001b[0met out\n")]);

  it("finds lines whatever the case, by what is shown", () => {
    expect(hits(state.lines, pattern("get") as RegExp)).toEqual([1, 3]);
    expect(hits(state.lines, pattern("/a.b") as RegExp)).toEqual([2]);
    expect(hits(state.lines, pattern("get") as RegExp, 1)).toEqual([3]);
    expect(pattern("")).toBeUndefined();
  });

  it("marks what was found, across colours", () => {
    const line = state.lines[2];
    if (!line) throw new Error("no third line");
    expect(parts(line, pattern("GET")).map(({ text, hit, style }) => [text, hit, style.ink])).toEqual([
      ["g", true, 1],
      ["et", true, undefined],
      [" out", false, undefined],
    ]);
    expect(parts(line, pattern("t")).map(({ text, hit }) => [text, hit])).toEqual([
      ["g", false],
      ["e", false],
      ["t", true],
      [" ou", false],
      ["t", true],
    ]);
  });
});

describe("colours", () => {
  it.each([
    ["\u001b[1;31mx", { bold: true, ink: 1 }],
    ["\u001b[91;44mx", { ink: 9, ground: 4 }],
    ["\u001b[38;5;196mx", { ink: "#ff0000" }],
    ["\u001b[38;5;9mx", { ink: 9 }],
    ["\u001b[38;5;244mx", { ink: "#808080" }],
    ["\u001b[48;2;1;2;300mx", { ground: "#0102ff" }],
    ["\u001b[1m\u001b[22mx", {}],
    ["\u001b[2K\u001b[1Gx", {}],
    ["\u001b]0;title\u0007x", {}],
    ["\u001b[31m\u001b[39mx", {}],
  ])("%j", (line, style) => {
    const found = styled(line, PLAIN);
    expect(found.text).toBe("x");
    expect(found.spans?.[0]?.style ?? {}).toEqual(style);
  });

  it("leave no control characters behind", () => {
    expect(styled("a\u0000\u0007b\tc\u001b", PLAIN).text).toBe("ab\tc");
  });
});
