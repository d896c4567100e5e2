import { describe, expect, it } from "vitest";
import { keys, matches } from "./shortcut";

const press = (key: string, more: KeyboardEventInit = {}): KeyboardEvent => new KeyboardEvent("keydown", { key, ...more });

describe("shortcuts", () => {
  it("take Command on a Mac and Ctrl elsewhere", () => {
    expect(matches("Mod+K", press("k", { ctrlKey: true }), false)).toBe(true);
    expect(matches("Mod+K", press("k", { metaKey: true }), true)).toBe(true);
    expect(matches("Mod+K", press("k", { ctrlKey: true }), true)).toBe(false);
    expect(matches("Mod+K", press("k"), false)).toBe(false);
    expect(matches("Mod+K", press("K", { ctrlKey: true, shiftKey: true }), false)).toBe(false);
    expect(matches("Alt+ArrowLeft", press("ArrowLeft", { altKey: true }), false)).toBe(true);
  });

  it("of one plain key wait while something is typed", () => {
    const field = document.createElement("input");
    document.body.append(field);
    const seen: boolean[] = [];
    const listen = (event: KeyboardEvent): void => void seen.push(matches("?", event, false));
    document.addEventListener("keydown", listen);
    document.body.dispatchEvent(press("?", { shiftKey: true, bubbles: true }));
    field.dispatchEvent(press("?", { shiftKey: true, bubbles: true }));
    document.removeEventListener("keydown", listen);
    field.remove();
    expect(seen).toEqual([true, false]);
  });

  it("are written as the system does", () => {
    expect(keys("Mod+k", false)).toEqual(["Ctrl", "K"]);
    expect(keys("Mod+Shift+P", true)).toEqual(["⌘", "⇧", "P"]);
    expect(keys("Alt+ArrowLeft", false)).toEqual(["Alt", "←"]);
  });
});
