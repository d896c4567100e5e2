import { describe, expect, it } from "vitest";
import type { Container, Port, Sample } from "../bindings";
import { arrange, links, matches, variables, type Arrangement } from "./containers";
import { advanceUse, MOST_USES, sparkPath, type History } from "./stats";

const container = (name: string, more: Partial<Container> = {}): Container => ({
  id: `${name}0123456789`,
  name,
  image: "nginx",
  command: "sh",
  state: "running",
  status: "",
  created_unix_s: 1,
  ports: [],
  project: null,
  service: null,
  ...more,
});
const how = (more: Partial<Arrangement<Container>> = {}): Arrangement<Container> => ({
  query: "",
  order: { key: "name", down: false },
  closed: new Set(),
  use: () => undefined,
  ...more,
});
const shown = (rows: Container[], arrangement: Partial<Arrangement<Container>> = {}): string[] =>
  arrange(rows, how(arrangement)).map((entry) =>
    entry.type === "project" ? `[${entry.name} ${entry.members.length}]` : entry.container.name,
  );

describe("the list", () => {
  const rows = [
    container("web", { project: "shop" }),
    container("alone", { state: "exited", created_unix_s: 9 }),
    container("db", { project: "shop", image: "postgres" }),
    container("zoo", { created_unix_s: 5 }),
  ];

  it("puts a project's containers together, where its name belongs", () => {
    expect(shown(rows)).toEqual(["alone", "[shop 2]", "db", "web", "zoo"]);
    expect(shown(rows, { order: { key: "name", down: true } })).toEqual(["zoo", "[shop 2]", "web", "db", "alone"]);
  });

  it("folds a project, but not over what is looked for", () => {
    const closed = new Set(["shop"]);
    expect(shown(rows, { closed })).toEqual(["alone", "[shop 2]", "zoo"]);
    expect(shown(rows, { closed, query: "postgres" })).toEqual(["[shop 1]", "db"]);
  });

  it("shows what runs first, the newest first", () => {
    expect(shown(rows, { order: { key: "state", down: false } })).toEqual(["zoo", "[shop 2]", "db", "web", "alone"]);
  });

  it("sorts by use, and what is not known comes last either way", () => {
    const use = (row: Container): number | undefined => ({ web: 2, db: 1 })[row.name];
    const plain = rows.map((row) => ({ ...row, project: null }));
    expect(shown(plain, { use, order: { key: "cpu", down: true } })).toEqual(["web", "db", "alone", "zoo"]);
    expect(shown(plain, { use, order: { key: "cpu", down: false } })).toEqual(["db", "web", "alone", "zoo"]);
  });

  it("finds by words in name, image, project, state, port and id", () => {
    const one = container("web", {
      project: "shop",
      ports: [{ container_port: 80, protocol: "tcp", host_port: 8080, host_ip: "" }],
    });
    for (const query of ["web", "SHOP nginx", "running", "8080:80", "web0123"]) expect(matches(one, query)).toBe(true);
    for (const query of ["shop db", "9090"]) expect(matches(one, query)).toBe(false);
  });
});

describe("ports", () => {
  const port = (more: Partial<Port>): Port => ({
    container_port: 80,
    protocol: "tcp",
    host_port: 8080,
    host_ip: "0.0.0.0",
    ...more,
  });

  it("are links where a browser reaches them, once each", () => {
    expect(links([port({}), port({ host_ip: "::" })])).toEqual([{ text: "8080:80", url: "http://localhost:8080/" }]);
    expect(links([port({ container_port: 443 })])[0]?.url).toBe("https://localhost:8080/");
    expect(links([port({ protocol: "udp" })])).toEqual([{ text: "8080:80/udp", url: undefined }]);
    expect(links([port({ host_ip: "192.168.1.2" })])[0]?.url).toBeUndefined();
    expect(links([port({ host_port: null })])).toEqual([]);
  });
});

describe("the environment", () => {
  it("hides what looks like a secret", () => {
    const told = variables(["PATH=/bin", "DB_PASSWORD=x=y", "API_KEY=", "URL=http://a:b@c/", "GITHUB_TOKEN=t", "BARE"]);
    expect(told.map(({ name, secret }) => [name, secret])).toEqual([
      ["PATH", false],
      ["DB_PASSWORD", true],
      ["API_KEY", false],
      ["URL", true],
      ["GITHUB_TOKEN", true],
      ["BARE", false],
    ]);
    expect(told[1]?.value).toBe("x=y");
  });
});

describe("use", () => {
  const sample = (second: number, cpu: number | null, sent: number | null = null): Sample => ({
    id: "a",
    taken: new Date(second * 1000).toISOString(),
    cpu_ns: cpu,
    memory_bytes: 7,
    memory_limit_bytes: null,
    received_bytes: null,
    sent_bytes: sent,
    read_bytes: null,
    written_bytes: null,
    pids: 1,
  });
  const after = (...samples: Sample[]): History => {
    const [first, ...rest] = samples;
    return rest.reduce(advanceUse, advanceUse(undefined, first as Sample));
  };

  it("is what was used between two measurements", () => {
    const { uses } = after(sample(1, 0, 0), sample(3, 1e9, 500));
    expect(uses.map(({ cpus, sent, memoryBytes }) => [cpus, sent, memoryBytes])).toEqual([
      [null, null, 7],
      [0.5, 250, 7],
    ]);
  });

  it("is unknown across a restart and a gap, and counted once", () => {
    expect(after(sample(1, 5e9), sample(2, 1e9)).uses.at(-1)?.cpus).toBeNull();
    expect(after(sample(1, 0), sample(60, 1e9)).uses.map((use) => use.cpus)).toEqual([null, null, null]);
    expect(after(sample(1, 0), sample(1, 0)).uses.length).toBe(1);
  });

  it("is forgotten after a while", () => {
    const many = Array.from({ length: MOST_USES + 5 }, (_, second) => sample(second + 1, second));
    expect(after(...many).uses.length).toBe(MOST_USES);
  });

  it("is drawn in pieces", () => {
    expect(sparkPath([0, 1, null, 2], 59, 10, 1)).toBe("M56.0 10.0L57.0 5.0M59.0 0.0");
    expect(sparkPath([], 59, 10, 1)).toBe("");
  });
});
