import { describe, expect, it } from "vitest";
import type { Network, NetworkUse, Port } from "../../lib/bindings";
import { draw, fitting, NAME_PX, PORTS_PX, portTexts, ROW_PX } from "./map";

const network = (name: string, built_in = false): Network => ({
  id: `id-${name}`,
  name,
  driver: "bridge",
  internal: false,
  ipv6: false,
  subnets: [],
  created_unix_s: null,
  labels: [],
  options: [],
  built_in,
});
const use = (container: string, name: string, started = true): NetworkUse => ({
  network_id: started ? `id-${name}` : "",
  network: name,
  container_id: container,
  container,
  running: started,
  aliases: [],
  ipv4: "",
  ipv6: "",
  mac: "",
});

describe("the drawing of networks", () => {
  it("puts neighbours on a network beside each other, and leads lines from their first stop to the last", () => {
    const networks = [network("back"), network("front"), network("bridge", true), network("host", true)];
    const uses = [use("web", "front"), use("proxy", "front"), use("db", "back"), use("proxy", "back"), use("alone", "bridge", false)];
    const { lines, rows } = draw(networks, uses, [], 1000);
    // `host` is there always, and nobody uses it.
    expect(lines.map(({ network: { name }, from, to }) => [name, from, to])).toEqual([
      ["back", 0, 1],
      ["front", 1, 2],
      ["bridge", 3, 3],
    ]);
    expect(rows.map(({ name, stops, running }) => [name, stops.length, running])).toEqual([
      ["db", 1, true],
      ["proxy", 2, true],
      ["web", 1, true],
      ["alone", 1, false],
    ]);
    expect(new Set(rows.map(({ y }) => y)).size).toBe(4);
  });

  it("stays legible with many: lines keep their distance, rows their height", () => {
    const networks = Array.from({ length: 8 }, (_, index) => network(`n${index}`));
    const uses = Array.from({ length: 30 }, (_, index) => use(`c${index}`, `n${index % 8}`));
    const { lines, rows, widthPx, heightPx, linePx } = draw(networks, uses, [], 900);
    expect(linePx).toBeGreaterThanOrEqual(86);
    expect(widthPx).toBe(NAME_PX + PORTS_PX + 8 * linePx);
    expect(heightPx).toBeGreaterThanOrEqual(30 * ROW_PX);
    expect(new Set(lines.map(({ x }) => x)).size).toBe(8);
    expect(rows).toHaveLength(30);
    // With few there is no gap as wide as the window.
    expect(draw(networks.slice(0, 1), [], [], 2000).linePx).toBe(210);
  });

  it("names ports once, and cuts long names", () => {
    const port = (host_ip: string, host_port: number | null, protocol = "tcp"): Port => ({ container_port: 80, host_port, host_ip, protocol });
    expect(portTexts([port("127.0.0.1", 8080), port("::1", 8080), port("127.0.0.1", 53, "udp")])).toEqual(["8080→80", "53→80/udp"]);
    expect(fitting("short", 100)).toBe("short");
    expect(fitting("a-very-long-name-indeed", 70)).toBe("a-very-lo…");
    expect(fitting("很长的容器名称在这里", 70).length).toBeLessThan(7);
  });
});
