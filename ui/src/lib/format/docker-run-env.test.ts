import { describe, expect, it } from "vitest";
import { readEnv } from "./docker-run-env";

const pairs = (text: string): string[] => readEnv(text).variables.map(({ name, value }) => `${name}|${value}`);

describe("a .env file", () => {
  it("is read as compose reads it", () => {
    expect(
      pairs(
        [
          "\ufeff# comment",
          "A=1",
          "",
          "export B = two words  # and a comment",
          "C='single # \"quoted\"'",
          'D="double \\"quoted\\"\\nline" # comment',
          "E=",
          "F=a=b#c",
          'G="first',
          'second"',
          "H.I-J=x",
        ].join("\r\n"),
      ),
    ).toEqual(["A|1", "B|two words", "C|single # \"quoted\"", 'D|double "quoted"\nline', "E|", "F|a=b#c", "G|first\nsecond", "H.I-J|x"]);
  });

  it("names the lines that are nothing of the kind", () => {
    const { variables, wrong } = readEnv('A=1\nwhat is this\nB="x\ny"\n=no name\n# fine\nC="open');
    expect(variables.map(({ name }) => name)).toEqual(["A", "B", "C"]);
    expect(wrong).toEqual([2, 5]);
    expect(readEnv("")).toEqual({ variables: [], wrong: [] });
  });
});
