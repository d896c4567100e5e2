// The containers' list: what is found, in which order, under which project. Pure, so that tables can test it.
import type { Container, Port } from "../bindings";

export type SortKey = "name" | "state" | "cpu" | "memory";

export interface Order {
  readonly key: SortKey;
  readonly down: boolean;
}

export type Entry<Row extends Container> =
  | {
      readonly type: "project";
      readonly key: string;
      readonly name: string;
      readonly members: readonly Row[];
      readonly open: boolean;
    }
  | { readonly type: "container"; readonly key: string; readonly container: Row; readonly grouped: boolean };

export interface Arrangement<Row> {
  readonly query: string;
  readonly order: Order;
  /** Names of projects that are folded. */
  readonly closed: ReadonlySet<string>;
  /** What a running one uses; undefined where that is not known. */
  readonly use: (row: Row, key: "cpu" | "memory") => number | undefined;
}

/** web2 before web10. */
const names = new Intl.Collator("en", { numeric: true });

const UP = ["running", "paused", "restarting", "stopping"];
export const isUp = ({ state }: Pick<Container, "state">): boolean => UP.includes(state);

/** Each word must be somewhere in what is known of it. */
export function matches(container: Container, query: string): boolean {
  const ports = container.ports.map(({ host_port, container_port }) => `${host_port ?? ""}:${container_port}`);
  const { name, image, state, project, service, command } = container;
  const known = [name, image, state, project ?? "", service ?? "", command, ...ports].join("\n").toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => known.includes(word) || (word.length >= 4 && container.id.startsWith(word)));
}

/** The list from top to bottom: a project's containers stand together, where its first one belongs. */
export function arrange<Row extends Container>(rows: readonly Row[], how: Arrangement<Row>): Entry<Row>[] {
  const found = rows.filter((row) => matches(row, how.query.trim())).sort((a, b) => compare(a, b, how));
  const projects = new Map<string, Row[]>();
  for (const row of found) {
    if (row.project !== null) projects.set(row.project, [...(projects.get(row.project) ?? []), row]);
  }
  const entries: Entry<Row>[] = [];
  const told = new Set<string>();
  for (const row of ordered(found, projects, how)) {
    const { project } = row;
    if (project === null) entries.push({ type: "container", key: row.id, container: row, grouped: false });
    else if (!told.has(project)) {
      told.add(project);
      const members = projects.get(project) ?? [];
      // What is looked for is shown.
      const open = how.query !== "" || !how.closed.has(project);
      entries.push({ type: "project", key: `project ${project}`, name: project, members, open });
      if (open) {
        for (const container of members) entries.push({ type: "container", key: container.id, container, grouped: true });
      }
    }
  }
  return entries;
}

/** By name, a project stands where its own name belongs. */
function ordered<Row extends Container>(
  found: readonly Row[],
  projects: ReadonlyMap<string, readonly Row[]>,
  { order }: Arrangement<Row>,
): readonly Row[] {
  if (order.key !== "name" || projects.size === 0) return found;
  const name = (row: Row): string => row.project ?? row.name;
  return [...found].sort((a, b) => turned(order, names.compare(name(a), name(b))));
}

const turned = ({ down }: Order, difference: number): number => (down ? -difference : difference);

function compare<Row extends Container>(a: Row, b: Row, { order, use }: Arrangement<Row>): number {
  const byName = names.compare(a.name, b.name);
  switch (order.key) {
    case "name":
      return turned(order, byName);
    case "state":
      return turned(order, Number(isUp(b)) - Number(isUp(a))) || b.created_unix_s - a.created_unix_s || byName;
    case "cpu":
    case "memory": {
      const [left, right] = [use(a, order.key), use(b, order.key)];
      // What is not known comes last, whichever way.
      if (left === undefined || right === undefined) {
        return Number(left === undefined) - Number(right === undefined) || byName;
      }
      return turned(order, left - right) || byName;
    }
  }
}

export interface Link {
  readonly text: string;
  /** None for what no browser speaks, and what other computers alone reach. */
  readonly url: string | undefined;
}

const EVERYWHERE = ["", "0.0.0.0", "::"];
const HERE = /^(127\.|::1$)/;

/** Published ports, once each though they are published in IPv4 and IPv6. */
export function links(ports: readonly Port[]): Link[] {
  const all = new Map<string, Link>();
  for (const { host_port, host_ip, container_port, protocol } of ports) {
    if (host_port === null || host_port === 0) continue;
    const text = `${host_port}:${container_port}${protocol === "tcp" ? "" : `/${protocol}`}`;
    const local = EVERYWHERE.includes(host_ip) || HERE.test(host_ip);
    const scheme = [443, 8443].includes(container_port) ? "https" : "http";
    const url = protocol === "tcp" && local ? `${scheme}://localhost:${host_port}/` : undefined;
    const before = all.get(text);
    if (!before?.url) all.set(text, { text, url });
  }
  return [...all.values()];
}

const SECRET = /(pass(word|wd|phrase)?|secret|token|api_?key|private_?key|access_?key|credential|auth)/i;

export interface Variable {
  readonly name: string;
  readonly value: string;
  /** Its name says that not everyone should read it. */
  readonly secret: boolean;
}

export function variables(environment: readonly string[]): Variable[] {
  return environment.map((text) => {
    const equals = text.indexOf("=");
    const [name, value] = equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
    // An address with a password in it is one, whatever its name.
    const secret = (SECRET.test(name) && value !== "") || /:\/\/[^/\s:@]*:[^/\s@]+@/.test(value);
    return { name, value, secret };
  });
}
