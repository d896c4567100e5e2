// The drawing of networks: each is a line from top to bottom, each container a row, with a stop at every line it is on.
// Pure: places and texts, no drawing.
import type { Container, Network, NetworkUse, Port } from "../../lib/bindings";

export const NAME_PX = 176;
export const PORTS_PX = 122;
export const ROW_PX = 34;
export const HEAD_PX = 52;
const LEAST_LINE_PX = 86;
/** From here on addresses have room as well; otherwise they are in the hint and in the words below. */
const ROOMY_PX = 116;
const MOST_LINE_PX = 210;
const COLOURS = 6;

export interface Line {
  readonly network: Network;
  readonly x: number;
  /** A token's number. */
  readonly colour: number;
  readonly users: readonly NetworkUse[];
  /** Rows of its first and its last stop; none without stops. */
  readonly from: number | undefined;
  readonly to: number | undefined;
}
export interface Stop {
  readonly line: Line;
  readonly use: NetworkUse;
}
export interface Row {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
  readonly y: number;
  readonly ports: readonly Port[];
  readonly stops: readonly Stop[];
}
export interface Drawing {
  readonly lines: readonly Line[];
  readonly rows: readonly Row[];
  readonly widthPx: number;
  readonly heightPx: number;
  /** From one line to the next. */
  readonly linePx: number;
  /** Whether addresses have room. */
  readonly roomy: boolean;
}

const belongs = (use: NetworkUse, network: Network): boolean =>
  use.network_id ? use.network_id === network.id : use.network === network.name;

export function draw(
  networks: readonly Network[],
  uses: readonly NetworkUse[],
  containers: readonly Pick<Container, "id" | "ports">[],
  availablePx: number,
): Drawing {
  // Nobody looks for a network without containers in a drawing of connections, except for one made for some.
  const shown = networks.filter((network) => !network.built_in || uses.some((use) => belongs(use, network)));
  const left = NAME_PX + PORTS_PX;
  const each = (availablePx - left) / Math.max(1, shown.length);
  const linePx = Math.round(Math.min(MOST_LINE_PX, Math.max(LEAST_LINE_PX, each)));

  const places = new Map<string, NetworkUse[]>();
  for (const use of uses) places.set(use.container_id, [...(places.get(use.container_id) ?? []), use]);
  const first = (own: readonly NetworkUse[]): number =>
    Math.min(...own.map((use) => shown.findIndex((network) => belongs(use, network))));
  // Neighbours on a line are neighbours in the drawing; those that lead to other lines come last.
  const order = [...places].sort(
    ([, a], [, b]) =>
      first(a) - first(b) || a.length - b.length || (a[0]?.container ?? "").localeCompare(b[0]?.container ?? ""),
  );
  const rowOf = new Map(order.map(([id], index) => [id, index]));

  const lines = shown.map((network, index): Line => {
    const users = uses.filter((use) => belongs(use, network));
    const rows = users.map((use) => rowOf.get(use.container_id) ?? 0);
    return {
      network,
      users,
      x: left + index * linePx + 14,
      colour: (index % COLOURS) + 1,
      from: rows.length > 0 ? Math.min(...rows) : undefined,
      to: rows.length > 0 ? Math.max(...rows) : undefined,
    };
  });
  const rows = order.map(([id, own], index): Row => ({
    id,
    name: own[0]?.container ?? "",
    running: own.some(({ running }) => running),
    y: rowY(index),
    ports: (containers.find((container) => container.id === id)?.ports ?? []).filter(({ host_port }) => host_port !== null),
    stops: lines.flatMap((line) => {
      const use = line.users.find(({ container_id }) => container_id === id);
      return use ? [{ line, use }] : [];
    }),
  }));
  return {
    lines,
    rows,
    linePx,
    roomy: linePx >= ROOMY_PX,
    widthPx: Math.max(availablePx, left + shown.length * linePx),
    heightPx: rows.length * ROW_PX + 12,
  };
}

export const rowY = (index: number): number => index * ROW_PX + ROW_PX / 2 + 4;

/** Ports of this computer, each once though it listens on two addresses: `8080→80`, `53→53/udp`. */
export function portTexts(ports: readonly Port[]): string[] {
  const text = ({ host_port, container_port, protocol }: Port): string =>
    `${host_port}→${container_port}${protocol === "tcp" ? "" : `/${protocol}`}`;
  return [...new Set(ports.map(text))];
}

/** As much of a text as has room: SVG cuts nothing off by itself. */
export function fitting(text: string, roomPx: number, letterPx = 7): string {
  const width = (char: string): number => (char.charCodeAt(0) > 0x2e80 ? letterPx * 1.9 : letterPx);
  let used = 0;
  for (let at = 0; at < text.length; at += 1) {
    used += width(text.charAt(at));
    if (used > roomPx) return `${text.slice(0, Math.max(1, at - 1))}…`;
  }
  return text;
}
