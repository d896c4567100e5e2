// What the run dialog's fields hold, and the request that they make.
import type { RunRequest } from "../bindings";
import { addOptions, runOf, writeOptions, type Parsed, type Said } from "../format/docker-run";
import { joinWords, shellWords } from "../format/docker-run-words";
import type { Variable } from "../format/docker-run-env";

let rows = 0;

/** A row of a list; its key stays when others go. */
type Row<T> = T & { readonly key: number };
const row = <T>(fields: T): Row<T> => ({ ...fields, key: ++rows });

export interface PortFields {
  host: string;
  container: string;
  protocol: string;
}
export interface VariableFields {
  name: string;
  value: string;
}
export interface MountFields {
  kind: "folder" | "volume";
  source: string;
  target: string;
  readOnly: boolean;
}

/** The whole path of a folder of this computer. */
const isPath = (text: string): boolean => /^([\\/]|[A-Za-z]:[\\/])/.test(text);
const isFolder = (source: string): boolean => isPath(source) || /^[.~$`]/.test(source);
const isVolumeName = (text: string): boolean => /^[A-Za-z0-9][\w.-]+$/.test(text);

export class RunForm {
  image = $state("");
  name = $state("");
  command = $state("");
  entrypoint = $state("");
  /** The image's entrypoint is taken away. */
  noEntrypoint = $state(false);
  ports = $state<Row<PortFields>[]>([]);
  mounts = $state<Row<MountFields>[]>([]);
  environment = $state<Row<VariableFields>[]>([]);
  network = $state("");
  memoryBytes = $state(0);
  cpus = $state(0);
  restart = $state("no");
  /** Of `on-failure`. */
  restartMost = $state("");
  tty = $state(false);
  interactive = $state(false);
  removeOnExit = $state(false);
  runtime = $state("");
  further = $state("");

  constructor(image: string) {
    this.fill(runOf(image));
  }

  fill(request: RunRequest): void {
    this.image = request.image;
    this.name = request.name ?? "";
    this.command = joinWords(request.command);
    this.entrypoint = request.entrypoint ?? "";
    this.noEntrypoint = request.entrypoint === "";
    this.ports = request.ports.map((port) => row({ ...port }));
    this.mounts = request.mounts.map(({ source, target, read_only }) =>
      row<MountFields>({ kind: isFolder(source) ? "folder" : "volume", source, target, readOnly: read_only }),
    );
    this.environment = request.environment.map((text) => {
      const equals = text.indexOf("=");
      return row({ name: text.slice(0, equals), value: text.slice(equals + 1) });
    });
    this.network = request.network ?? "";
    this.memoryBytes = request.memory_bytes ?? 0;
    this.cpus = request.cpus ?? 0;
    const [policy = "no", most = ""] = request.restart.split(":");
    this.restart = policy;
    this.restartMost = most;
    this.tty = request.tty;
    this.interactive = request.interactive;
    this.removeOnExit = request.remove_on_exit;
    this.runtime = request.runtime ?? "";
    this.further = writeOptions(request.further);
  }

  addPort(): void {
    this.ports.push(row({ host: "", container: "", protocol: "tcp" }));
  }

  addVolume(): void {
    this.mounts.push(row({ kind: "volume", source: "", target: "", readOnly: false }));
  }

  /** A folder is found under its own name in the container until someone says otherwise. */
  addFolder(path: string): void {
    if (this.mounts.some((mount) => mount.source === path)) return;
    const name = path.split(/[\\/]/).findLast(Boolean) ?? "host";
    this.mounts.push(row({ kind: "folder", source: path, target: `/${name}`, readOnly: false }));
  }

  /** One that is there already gets the new value. */
  addVariables(variables: readonly Variable[]): void {
    for (const { name, value } of variables) {
      const known = this.environment.find((other) => other.name === name);
      if (known) known.value = value;
      else this.environment.push(row({ name, value }));
    }
  }

  /** What the fields say, and what is wrong with the further options. */
  readonly #made = $derived.by((): Parsed => {
    const command = shellWords(this.command);
    const fields: RunRequest = {
      image: this.image.trim(),
      name: this.name.trim() || null,
      command: "words" in command ? command.words.map(({ text }) => text) : [],
      entrypoint: this.entrypoint.trim() || (this.noEntrypoint ? "" : null),
      ports: this.ports.filter(({ host, container }) => host || container).map(({ key: _, ...port }) => port),
      environment: this.environment.filter(({ name }) => name).map(({ name, value }) => `${name}=${value}`),
      mounts: this.mounts
        .filter(({ source, target }) => source || target)
        .map(({ source, target, readOnly }) => ({ source, target, read_only: readOnly })),
      network: this.network || null,
      memory_bytes: this.memoryBytes || null,
      cpus: this.cpus || null,
      restart: this.restart + (this.restart === "on-failure" && this.restartMost ? `:${this.restartMost}` : ""),
      tty: this.tty,
      interactive: this.interactive,
      remove_on_exit: this.removeOnExit,
      runtime: this.runtime || null,
      further: [],
    };
    return addOptions(fields, this.further);
  });

  readonly request = $derived(this.#made.request);

  /** What keeps it from being sent; coracled judges the rest. */
  readonly problems = $derived.by((): Said[] => {
    const found: Said[] = [];
    const command = shellWords(this.command);
    if (!this.image.trim()) found.push({ key: "run.check.image", values: {} });
    if ("problem" in command) {
      const { problem } = command;
      if (problem.kind === "unclosed") found.push({ key: "run.command.unclosed", values: {} });
      else found.push({ key: "run.command.operator", values: { text: problem.text } });
    }
    for (const { host, container } of this.ports) if (host && !container) found.push({ key: "run.check.port", values: {} });
    for (const { kind, source, target } of this.mounts) {
      if (!source && !target) continue;
      if (!(kind === "folder" ? isPath(source) : isVolumeName(source))) {
        found.push({ key: "run.check.source", values: { text: source } });
      }
      if (!target.startsWith("/")) found.push({ key: "run.check.target", values: { text: target } });
    }
    if (this.environment.some(({ name, value }) => !name && value)) found.push({ key: "run.check.variable", values: {} });
    return [...found, ...this.#made.problems];
  });

  /** Options that have a field of their own go there. */
  settle(): void {
    if (this.#made.problems.length === 0) this.fill(this.#made.request);
  }
}
