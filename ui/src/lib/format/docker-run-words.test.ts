import { describe, expect, it } from "vitest";
import { joinWords, quoted, shellWords } from "./docker-run-words";

describe("quoting", () => {
  it("leaves plain words alone", () => {
    for (const word of ["nginx:1.27", "/a/b", "A=b", "user@host", "1,2", "50%"]) expect(quoted(word)).toBe(word);
    expect([quoted(""), quoted("a b"), quoted("it's"), quoted("$x"), quoted("漢")]).toEqual(["''", "'a b'", "'it'\\''s'", "'$x'", "'漢'"]);
  });

  it("is undone by reading", () => {
    const words = ["", "a b", "'", '"', "\\", "a\nb", "$(x)", "`", "~", "#", "~/x", "a\\\nb"];
    const read = shellWords(joinWords(words));
    expect("words" in read && read.words.map(({ text }) => text)).toEqual(words);
    expect("words" in read && read.words.flatMap(({ expands }) => expands)).toEqual([]);
  });
});
