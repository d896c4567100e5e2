// Colours and weights in a program's output (ECMA-48 SGR). Pure, so that tables can test it.

/** 0 to 15 name colours of the theme; the rest is told as `#rrggbb`. */
export type Colour = number | string;

export interface Style {
  readonly ink?: Colour;
  readonly ground?: Colour;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
  readonly inverse?: boolean;
}

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export interface Styled {
  /** Without any control sequence. */
  readonly text: string;
  /** None when all of it is plain. */
  readonly spans: readonly Span[] | undefined;
  /** What the next line begins with. */
  readonly style: Style;
}

export const PLAIN: Style = {};

// Control sequences (CSI), strings (OSC), and the short ones; only SGR, which ends in `m`, means something here.
// eslint-disable-next-line no-control-regex
const CONTROL = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\^_])/g;
// eslint-disable-next-line no-control-regex
const LEFT_OVER = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** A line as a terminal would still show it, in which a carriage return goes back to the start. */
export function styled(line: string, style: Style): Styled {
  const back = line.indexOf("\r") < 0 ? line : afterReturn(line);
  if (style === PLAIN && back.indexOf("\u001b") < 0) {
    return { text: back.replace(LEFT_OVER, ""), spans: undefined, style };
  }
  const spans: Span[] = [];
  let present = style;
  let from = 0;
  const add = (end: number): void => {
    const text = back.slice(from, end).replace(LEFT_OVER, "");
    if (text !== "") spans.push({ text, style: present });
  };
  for (const match of back.matchAll(CONTROL)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") present = changed(present, match[1] ?? "");
  }
  add(back.length);
  const plain = spans.every((span) => span.style === PLAIN);
  return { text: spans.map((span) => span.text).join(""), spans: plain ? undefined : spans, style: present };
}

function afterReturn(line: string): string {
  const ended = line.replace(/\r+$/, "");
  return ended.slice(ended.lastIndexOf("\r") + 1);
}

type Change = (style: Style) => Style;
const CHANGES: Record<number, Change> = {
  1: (style) => ({ ...style, bold: true }),
  2: (style) => ({ ...style, dim: true }),
  3: (style) => ({ ...style, italic: true }),
  4: (style) => ({ ...style, underline: true }),
  7: (style) => ({ ...style, inverse: true }),
  22: ({ bold: _bold, dim: _dim, ...style }) => style,
  23: ({ italic: _italic, ...style }) => style,
  24: ({ underline: _underline, ...style }) => style,
  27: ({ inverse: _inverse, ...style }) => style,
  39: ({ ink: _ink, ...style }) => style,
  49: ({ ground: _ground, ...style }) => style,
};

function changed(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let present = style;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 0) present = PLAIN;
    else if (code === 38 || code === 48) {
      const [colour, taken] = extended(codes.slice(at + 1));
      at += taken;
      if (colour !== undefined) present = { ...present, [code === 38 ? "ink" : "ground"]: colour };
    } else if (within(code, 30)) present = { ...present, ink: code - 30 };
    else if (within(code, 40)) present = { ...present, ground: code - 40 };
    else if (within(code, 90)) present = { ...present, ink: code - 82 };
    else if (within(code, 100)) present = { ...present, ground: code - 92 };
    else present = CHANGES[code]?.(present) ?? present;
  }
  return Object.keys(present).length === 0 ? PLAIN : present;
}

const within = (code: number, first: number): boolean => code >= first && code < first + 8;
const hex = (value: number): string => Math.min(255, Math.max(0, value)).toString(16).padStart(2, "0");

/** `5;n` of a palette of 256, or `2;r;g;b`; and how many codes that took. */
function extended([kind, ...rest]: number[]): [Colour | undefined, number] {
  if (kind === 5 && rest[0] !== undefined) return [ofPalette(rest[0]), 2];
  if (kind === 2 && rest.length >= 3) return [`#${rest.slice(0, 3).map(hex).join("")}`, 4];
  return [undefined, 0];
}

function ofPalette(index: number): Colour {
  if (index < 16) return index;
  if (index >= 232) return `#${hex(8 + (index - 232) * 10).repeat(3)}`;
  const cube = index - 16;
  const level = (value: number): string => hex(value === 0 ? 0 : 55 + value * 40);
  return `#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`;
}
