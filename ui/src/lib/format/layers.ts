// Arithmetic and words of layers and instructions. Pure, so that tables can test it.
import type { ImageInstruction, ImageLayer, ImageLayers } from "../bindings";

/** An instruction as its Dockerfile had it. */
export interface Instruction {
  /** `RUN`, `COPY`, …; empty for what is not known as one. */
  readonly word: string;
  readonly text: string;
}

const WORDS =
  /^(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\s+/;

/** Both builders put something around it: `/bin/sh -c #(nop) `, `RUN /bin/sh -c `, ` # buildkit`. */
export function instruction(createdBy: string): Instruction {
  let text = createdBy.replace(/\s*# buildkit\s*$/, "").trim();
  const plain = /^\/bin\/sh -c #\(nop\)\s+/.exec(text);
  if (plain) text = text.slice(plain[0].length);
  else if (/^(\|\d+ .*?)?\/bin\/sh -c /.test(text)) text = `RUN ${text}`;
  // Arguments of the build stand before the shell: `|1 VERSION=2 /bin/sh -c make`.
  text = text.replace(/^RUN (\|\d+ .*?)?\/bin\/sh -c\s+/, "RUN ");
  const word = WORDS.exec(text);
  if (!word) return { word: "", text };
  return { word: word[1] ?? "", text: text.slice(word[0].length).trim() };
}

/** One piece of the bar of layers. */
export interface Piece {
  readonly index: number;
  /** From 0 to 1, of the whole bar. */
  readonly start: number;
  readonly width: number;
  /** Of its width, what later layers hide. */
  readonly hidden: number;
}

/** Of what every layer gets at least, so that it can be seen and clicked. */
const LEAST = 0.006;

/** The bar of layers by their files' bytes, lowest first. */
export function pieces(layers: readonly ImageLayer[]): Piece[] {
  const total = layers.reduce((sum, { content_bytes }) => sum + content_bytes, 0);
  const shares = layers.map(({ content_bytes }) => Math.max(LEAST, total > 0 ? content_bytes / total : 1 / layers.length));
  const whole = shares.reduce((sum, share) => sum + share, 0);
  let start = 0;
  return layers.map((layer, at) => {
    const width = (shares[at] ?? 0) / whole;
    const piece = { index: layer.index, start, width, hidden: hiddenShare(layer) };
    start += width;
    return piece;
  });
}

/** Of a layer's bytes, the share that later layers overwrite or delete. */
export const hiddenShare = ({ content_bytes, wasted_bytes }: Pick<ImageLayer, "content_bytes" | "wasted_bytes">): number =>
  content_bytes > 0 ? Math.min(1, wasted_bytes / content_bytes) : 0;

export type Verdict = "good" | "fair" | "poor";

/** As `dive` draws its lines: below 90 % an image fails its check; little waste is none worth work. */
export function verdict({ efficiency, wasted_bytes }: Pick<ImageLayers, "efficiency" | "wasted_bytes">): Verdict {
  if (efficiency >= 0.97 || wasted_bytes < 1_000_000) return "good";
  return efficiency >= 0.9 ? "fair" : "poor";
}

/** As a Dockerfile reads, with the layer that each made, and each one's share of the largest. */
export function told(history: readonly ImageInstruction[]): (ImageInstruction & { layer: number | undefined; share: number })[] {
  const most = Math.max(1, ...history.map(({ size_bytes }) => size_bytes));
  let layer = 0;
  return [...history].reverse().map((step) => ({
    ...step,
    layer: step.size_bytes > 0 ? layer++ : undefined,
    share: step.size_bytes / most,
  }));
}
