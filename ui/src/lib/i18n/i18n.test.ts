import { describe, expect, it } from "vitest";
import en from "./en";
import zhCN from "./zh-CN";
import { known, nearest, setLanguage, t, tn } from "./index.svelte";

const blanks = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([blank]) => blank).sort();

describe("translations", () => {
  it("have the same keys, and fill the same blanks", () => {
    expect(Object.keys(zhCN).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) {
      expect(blanks(zhCN[key as keyof typeof en]), key).toEqual(blanks(text));
    }
  });

  it("fill blanks and count", () => {
    setLanguage("en");
    expect(t("pull.of", { name: "nginx" })).toBe("Pulling nginx");
    expect([tn("images.summary", 1), tn("images.summary", 2)]).toEqual(["1 image", "2 images"]);
    expect(known("state.running")).toBe("Running");
    expect(known("state.moonlit")).toBeUndefined();
    setLanguage("zh-CN");
    expect(tn("images.summary", 1)).toBe("1 个镜像");
  });

  it("are chosen by the system's first language", () => {
    expect([nearest(["zh-Hans-CN"]), nearest(["de-DE", "zh"]), nearest([])]).toEqual(["zh-CN", "en", "en"]);
  });
});
