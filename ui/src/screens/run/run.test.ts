import { cleanup, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Drag, RunRequest } from "../../lib/bindings";
import { parseLine, runOf, writeLine } from "../../lib/format/docker-run";

const idle = { done: new Promise<void>(() => {}), close: () => {} };
const ipc = vi.hoisted(() => ({
  containerRun: vi.fn<(request: RunRequest) => Promise<unknown>>(),
  imagePull: vi.fn<(image: string, options: object) => unknown>(),
  drags: vi.fn<(receive: (drag: Drag) => void) => unknown>(),
  labReport: vi.fn(() => Promise.resolve(null)),
  settings: vi.fn(() => new Promise(() => {})),
  containersList: vi.fn(() => Promise.resolve([])),
  imagesList: vi.fn(() => Promise.resolve([])),
  volumesList: vi.fn(() => Promise.resolve([])),
  mountsList: vi.fn(() => Promise.resolve([])),
  networksList: vi.fn(() => Promise.resolve([])),
  networkUses: vi.fn(() => Promise.resolve([])),
}));
vi.mock("../../lib/ipc", async (original) => ({ ...(await original<object>()), ...ipc }));

import { RunForm } from "../../lib/stores/run.svelte";
import RunDialog from "./RunDialog.svelte";

beforeEach(() => {
  // What jsdom lacks.
  HTMLDialogElement.prototype.showModal = function show() {
    this.open = true;
  };
  ipc.containerRun.mockReset().mockResolvedValue({ id: "c1", warnings: [] });
  ipc.imagePull.mockReset();
  ipc.drags.mockReset().mockReturnValue(idle);
});
afterEach(cleanup);

const opened = (reference = "nginx:latest") => {
  const onclose = vi.fn();
  render(RunDialog, { reference, onclose });
  return onclose;
};
const submit = () => fireEvent.submit(screen.getByTestId("run-submit").closest("form") as HTMLFormElement);
const value = (testid: string): string => screen.getByTestId<HTMLInputElement>(testid).value;

describe("the run dialog", () => {
  it("takes a pasted line apart, shows it again, and sends all of it", async () => {
    const onclose = opened();
    await fireEvent.click(screen.getByTestId("run-paste"));
    const line = "docker run -d --name web -p 8080:80 -e A=1 -v data:/data:ro --cap-add NET_ADMIN nginx:alpine sh -c 'a b'";
    await fireEvent.input(screen.getByTestId("run-paste-text"), { target: { value: `sudo ${line}` } });
    await fireEvent.click(screen.getByTestId("run-paste-take"));
    expect([value("run-image"), value("run-name"), value("run-port-host"), value("run-variable-name")]).toEqual([
      "nginx:alpine", "web", "8080", "A",
    ]);
    expect([value("run-further"), value("run-command")]).toEqual(["--cap-add NET_ADMIN", "sh -c 'a b'"]);
    expect(screen.getByTestId("run-line").textContent).toBe(line);
    await submit();
    await vi.waitFor(() => expect(onclose).toHaveBeenCalled());
    expect(ipc.containerRun).toHaveBeenCalledExactlyOnceWith(parseLine(line).request);
  });

  it("names what a line has that is not to be, and leaves the form as it was", async () => {
    opened();
    await fireEvent.click(screen.getByTestId("run-paste"));
    await fireEvent.input(screen.getByTestId("run-paste-text"), { target: { value: "docker run --gpus all --nonsense x" } });
    await fireEvent.click(screen.getByTestId("run-paste-take"));
    expect(screen.getByTestId("run-paste-problem").textContent).toMatch(/--gpus.*--nonsense/s);
    expect(value("run-image")).toBe("nginx:latest");
  });

  it("stays open with coracled's own words", async () => {
    const message = 'Conflict. The container name "/web" is already in use by container "c0".';
    ipc.containerRun.mockRejectedValue({ code: "conflict", message });
    const onclose = opened();
    await fireEvent.input(screen.getByTestId("run-name"), { target: { value: "web" } });
    await submit();
    expect((await screen.findByTestId("run-problem")).textContent).toBe(message);
    expect(onclose).not.toHaveBeenCalled();
    expect(value("run-name")).toBe("web");
    expect(ipc.imagePull).not.toHaveBeenCalled();
  });

  it("pulls what is not there, for the platform that was asked for, and runs it then", async () => {
    ipc.containerRun.mockRejectedValueOnce({ code: "not_found", message: "No such image: far/away:1" });
    ipc.imagePull.mockReturnValue({ ...idle, done: Promise.resolve() });
    const onclose = opened("far/away:1");
    await fireEvent.input(screen.getByTestId("run-further"), { target: { value: "--platform linux/arm64" } });
    await submit();
    await vi.waitFor(() => expect(onclose).toHaveBeenCalled());
    expect(ipc.imagePull.mock.calls[0]?.slice(0, 2)).toEqual(["far/away:1", { platform: "linux/arm64" }]);
    expect(ipc.containerRun).toHaveBeenCalledTimes(2);
  });

  it("asks coracled nothing while something is missing", async () => {
    opened("");
    await submit();
    expect((await screen.findByTestId("run-problem")).textContent).toBe("Name an image.");
    expect(ipc.containerRun).not.toHaveBeenCalled();
  });

  it("takes folders that are dropped on it", async () => {
    opened();
    const receive = ipc.drags.mock.calls[0]?.[0];
    receive?.({ type: "over" });
    receive?.({ type: "dropped", paths: ["/home/me/site", "/home/me/site"] });
    expect((await screen.findAllByTestId("run-mount")).length).toBe(1);
    expect([value("run-mount-source"), value("run-mount-target")]).toEqual(["/home/me/site", "/site"]);
  });
});

describe("the form", () => {
  it("gives back what it was filled with", () => {
    for (const line of [
      "docker run x",
      "docker run -itd --rm --name a -p 80 -p '[::1]:1:2/udp' -e 'A=b = c' -v /a:/b -v data:/c:ro --network n -m 100k --cpus .5 x a 'b c' ''",
      "docker run --entrypoint '' --restart on-failure:2 --runtime vm --init --label a=b --label c=d --tmpfs /t:size=1m x",
      "docker run --mount 'type=bind,source=/a:b,target=/c' --no-healthcheck=false --health-cmd 'a \"b\"' x",
    ]) {
      const { request, problems } = parseLine(line);
      expect(problems, line).toEqual([]);
      const form = new RunForm("other");
      form.fill(request);
      expect(form.request, line).toEqual(request);
      expect(form.problems, line).toEqual([]);
      expect(parseLine(writeLine(form.request)).request, line).toEqual(request);
    }
  });

  it("says what coracled need not be asked", () => {
    const form = new RunForm("x");
    form.fill({
      ...runOf("x"),
      ports: [{ host: "80", container: "", protocol: "tcp" }],
      mounts: [
        { source: "~/a", target: "/a", read_only: false },
        { source: "data", target: "b", read_only: false },
      ],
    });
    form.command = "echo 'a";
    form.further = "--nonsense";
    expect(form.problems.map(({ key }) => key)).toEqual([
      "run.command.unclosed",
      "run.check.port",
      "run.check.source",
      "run.check.target",
      "run.paste.unknown",
    ]);
  });

  it("moves further options to their fields", () => {
    const form = new RunForm("x");
    form.further = "--init --name a -p 80:80";
    form.settle();
    expect([form.name, form.ports.length, form.further]).toEqual(["a", 1, "--init"]);
  });
});
