import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Container, LogEvent, StatsBatch } from "../bindings";

const streams = vi.hoisted(() => ({
  logs: [] as { receive: (event: unknown) => void; closed: boolean; fail: (reason: unknown) => void }[],
  stats: [] as { receive: (event: unknown) => void; closed: boolean; fail: (reason: unknown) => void }[],
}));
vi.mock("../ipc", async (original) => {
  const opened = (kind: "logs" | "stats", receive: (event: never) => void) => {
    let fail = (_: unknown): void => {};
    const done = new Promise<void>((_, reject) => (fail = reject));
    const stream = { receive: receive as (event: unknown) => void, closed: false, fail };
    streams[kind].push(stream);
    return { done, close: () => void (stream.closed = true) };
  };
  return {
    ...(await original<object>()),
    containersList: () => Promise.resolve([]),
    containerLogs: (_id: string, _tail: number, receive: (event: LogEvent) => void) => opened("logs", receive),
    containersStats: (receive: (batch: StatsBatch) => void) => opened("stats", receive),
  };
});

import { changed, connected } from "./changes";
import { LogReading } from "./containerLogs.svelte";
import { containerList } from "./containerList.svelte";
import { containers } from "./containers.svelte";
import { containerStats } from "./containerStats.svelte";
import { notices } from "./notices.svelte";

const row = (id: string, more: Partial<Container> = {}) => ({
  id,
  name: id,
  image: "i",
  command: "",
  state: "running",
  status: "",
  created_unix_s: 1,
  ports: [],
  project: null,
  service: null,
  parsed: {},
  ...more,
});
const output = (...texts: string[]): LogEvent => ({
  type: "output",
  pieces: texts.map((text) => ({ error: false, text })),
});

beforeEach(() => {
  vi.useFakeTimers();
  streams.logs.length = 0;
  streams.stats.length = 0;
  notices.all = [];
});

describe("picking in the list", () => {
  beforeEach(() => {
    containers.all = ["a", "b", "c", "d"].map((id) => row(id));
    containerList.query = "";
    containerList.order = { key: "name", down: false };
    containerList.pickShown(false);
  });
  const picked = (): string[] => containerList.picked.map(({ id }) => id);

  it("takes all between two with Shift", () => {
    containerList.pick("a", true, false);
    containerList.pick("c", true, true);
    expect(picked()).toEqual(["a", "b", "c"]);
    containerList.pick("b", false, false);
    expect(picked()).toEqual(["a", "c"]);
  });

  it("never holds what a search hides or what is gone", () => {
    containerList.pickShown(true);
    expect(containerList.all).toBe(true);
    containerList.query = "b";
    expect(picked()).toEqual(["b"]);
    containerList.query = "";
    containers.all = [row("a")];
    expect(picked()).toEqual(["a"]);
  });
});

describe("the reading of a log", () => {
  const read = async (reading: LogReading, event: LogEvent): Promise<void> => {
    streams.logs.at(-1)?.receive(event);
    await vi.advanceTimersByTimeAsync(120);
    void reading;
  };

  it("goes on after a restart, and leaves nothing open", async () => {
    const reading = new LogReading({ id: "a", name: "a" });
    await read(reading, output("one\n"));
    await read(reading, { type: "end" });
    expect(reading.live).toBe(false);
    changed({ subject: "container", action: "start", id: "a" } as never);
    expect(streams.logs.length).toBe(2);
    expect(reading.content.lines.length).toBe(1);
    await read(reading, output("one\ntwo\n"));
    expect(reading.content.lines.map(({ text }) => text)).toEqual(["one", "two"]);
    reading.close();
    expect(streams.logs.at(-1)?.closed).toBe(true);
    connected();
    expect(streams.logs.length).toBe(2);
  });

  it("finds what was there and what comes", async () => {
    const reading = new LogReading({ id: "a", name: "a" });
    await read(reading, output("get a\n", "b\n", "ge"));
    reading.search("get");
    expect([reading.found, reading.present]).toEqual([[1], 1]);
    await read(reading, output("t c\n", "get d\n"));
    expect(reading.found).toEqual([1, 3, 4]);
    reading.step(-1);
    expect(reading.present).toBe(4);
    reading.step(1);
    expect(reading.present).toBe(1);
    reading.close();
  });

  it("keeps what it read of one that removed itself, and says nothing", async () => {
    const reading = new LogReading({ id: "a", name: "a" });
    await read(reading, output("last words\n"));
    streams.logs[0]?.fail({ code: "not_found", message: "no such container" });
    await vi.advanceTimersByTimeAsync(1);
    expect([reading.live, reading.content.lines.length, notices.all.length]).toEqual([false, 1, 0]);
    reading.close();
  });
});

describe("the use of containers", () => {
  it("is measured while somebody looks, once for all", () => {
    const leave = [containerStats.watch(), containerStats.watch()];
    expect(streams.stats.length).toBe(1);
    leave[0]?.();
    leave[0]?.();
    expect(streams.stats[0]?.closed).toBe(false);
    leave[1]?.();
    expect(streams.stats[0]?.closed).toBe(true);
  });

  it("outlives an end, for the charts, and is forgotten with the container", () => {
    const leave = containerStats.watch();
    const sample = { id: "a", taken: "2026-01-01T00:00:00Z", cpu_ns: 1, memory_bytes: 2 };
    streams.stats[0]?.receive({ samples: [sample] });
    expect(containerStats.latest("a")?.memoryBytes).toBe(2);
    changed({ subject: "container", action: "die", id: "a" } as never);
    expect(containerStats.latest("a")?.memoryBytes).toBe(2);
    changed({ subject: "container", action: "destroy", id: "a" } as never);
    expect(containerStats.latest("a")).toBeUndefined();
    leave();
  });
});
