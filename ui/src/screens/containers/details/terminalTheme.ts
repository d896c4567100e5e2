// The terminal's colours are the page's.
import type { ITheme } from "@xterm/xterm";

const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const NAMES = [
  "black",
  "red",
  "green",
  "yellow",
  "blue",
  "magenta",
  "cyan",
  "white",
  "brightBlack",
  "brightRed",
  "brightGreen",
  "brightYellow",
  "brightBlue",
  "brightMagenta",
  "brightCyan",
  "brightWhite",
] as const satisfies readonly (keyof ITheme)[];

export function terminalTheme(): ITheme {
  return {
    ...Object.fromEntries(NAMES.map((name, index) => [name, token(`--ansi-${index}`)])),
    background: token("--sunken"),
    foreground: token("--ink"),
    cursor: token("--accent"),
    cursorAccent: token("--sunken"),
    selectionBackground: token("--selection"),
    scrollbarSliderBackground: token("--line"),
    scrollbarSliderHoverBackground: token("--line-strong"),
    scrollbarSliderActiveBackground: token("--line-strong"),
  };
}

export const terminalFont = (): string => token("--font-mono");
