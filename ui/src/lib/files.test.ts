import { describe, expect, it } from "vitest";
import { hexRow, modeText, preview, resolved } from "./files";

const contents = (bytes: ArrayLike<number> | string, truncated = false) => ({
  bytes: typeof bytes === "string" ? new TextEncoder().encode(bytes) : new Uint8Array(bytes),
  truncated,
});

describe("a file's beginning", () => {
  it("is text when it is UTF-8 without zeros, by its name JSON or YAML", () => {
    expect(preview("hosts", contents("a\tä\n"))).toEqual({ kind: "text", text: "a\tä\n", language: "text", truncated: false });
    expect(preview("package.JSON", contents("{}"))).toMatchObject({ language: "json" });
    expect(preview("compose.yml", contents("a: 1"))).toMatchObject({ language: "yaml" });
    expect(preview("x", contents([0x61, 0]))).toMatchObject({ kind: "binary" });
    expect(preview("x", contents([0x61, 0xff]))).toMatchObject({ kind: "binary" });
    expect(preview("x", contents([]))).toEqual({ kind: "empty" });
  });

  it("may end within a character only where it was cut", () => {
    const cut = [0x61, 0xc3];
    expect(preview("x", contents(cut, true))).toMatchObject({ kind: "text", text: "a", truncated: true });
    expect(preview("x", contents(cut))).toMatchObject({ kind: "binary" });
  });

  it("is a picture by its bytes, whole", () => {
    const png = [0x89, 0x50, 0x4e, 0x47, 0x0d];
    expect(preview("a.txt", contents(png))).toMatchObject({ kind: "picture", type: "image/png" });
    expect(preview("a.png", contents(png, true))).toMatchObject({ kind: "binary" });
    expect(preview("a.png", contents("no picture"))).toMatchObject({ kind: "text" });
  });

  it("keeps a byte order mark, so that saving does not lose it", () => {
    expect(preview("x", contents([0xef, 0xbb, 0xbf, 0x61]))).toMatchObject({ text: "\ufeffa" });
  });
});

describe("bytes", () => {
  it("are shown as hexdump does", () => {
    const { bytes } = contents("0123456789abcdefgh\n");
    expect(hexRow(bytes, 0, 16)).toEqual({
      offset: "00000000",
      hex: "30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66",
      text: "0123456789abcdef",
    });
    expect(hexRow(bytes, 1, 8)).toEqual({ offset: "00000008", hex: "38 39 61 62 63 64 65 66 ", text: "89abcdef" });
    expect(hexRow(bytes, 1, 16)).toEqual({ offset: "00000010", hex: "67 68 0a".padEnd(48), text: "gh." });
  });
});

describe("permissions", () => {
  it.each([
    ["file", 0o644, "-rw-r--r--"],
    ["directory", 0o1777, "drwxrwxrwt"],
    ["file", 0o4755, "-rwsr-xr-x"],
    ["file", 0o6644, "-rwSr-Sr--"],
    ["symlink", 0o777, "lrwxrwxrwx"],
  ] as const)("%s %o", (kind, mode, text) => expect(modeText({ kind, mode })).toBe(text));
});

describe("a symbolic link", () => {
  it.each([
    ["/usr/bin", "../lib/x", "/usr/lib/x"],
    ["/usr/bin", "/etc/./y", "/etc/y"],
    ["", "../../up", "/up"],
    ["/a", ".", "/a"],
    ["/a", "..", "/"],
  ])("in %j to %j leads to %j", (folder, target, path) => expect(resolved(folder, target)).toBe(path));
});
