// A `docker run` line and what the run dialog asks for, each made from the other. Pure.
import type { RunRequest } from "../bindings";
import type { Key, Values } from "../i18n/index.svelte";
import { longFlag, shortFlag, type Flag } from "./docker-run-flags";
import { quoted, shellWords, type Word, type WordsProblem } from "./docker-run-words";
import { readMount, readPort, readSize, readVolume, writeMount, writePort, writeSize } from "./docker-run-values";

/** A text to show. */
export interface Said {
  readonly key: Key;
  readonly values: Values;
}

export interface Parsed {
  readonly request: RunRequest;
  /** What the person should know, though the line was understood. */
  readonly notes: readonly Said[];
  /** What of it could not be taken over. */
  readonly problems: readonly Said[];
}

/** An image just as it is. */
export const runOf = (image: string): RunRequest => ({
  image,
  name: null,
  command: [],
  entrypoint: null,
  ports: [],
  environment: [],
  mounts: [],
  network: null,
  memory_bytes: null,
  cpus: null,
  restart: "no",
  tty: false,
  interactive: false,
  remove_on_exit: false,
  runtime: null,
  further: [],
});

const RESTARTS = /^(no|always|unless-stopped|on-failure(:\d+)?)$/;
/** Other names of the default. */
const DEFAULT_RUNTIMES = ["", "container", "runc", "io.containerd.runc.v2"];
const TRUE = ["", "1", "t", "T", "true", "TRUE", "True"];
const FALSE = ["0", "f", "F", "false", "FALSE", "False"];
/** Left out without a word: the app follows a container that it starts in its own way. */
const SILENT = ["attach", "detach", "quiet", "sig-proxy"];

/** Docker's own options before its verb that take a value. */
const GLOBAL_WITH_VALUE = ["-c", "--context", "-H", "--host", "--config", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey"];
const SUDO_WITH_VALUE = ["-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt"];

class Parser {
  readonly notes: Said[] = [];
  readonly problems: Said[] = [];
  readonly request = runOf("");

  constructor(private readonly words: Word[]) {}

  wrong(key: Key, values: Values = {}): void {
    this.problems.push({ key, values });
  }

  note(key: Key, values: Values = {}): void {
    if (!this.notes.some((said) => said.key === key && said.values["text"] === values["text"])) {
      this.notes.push({ key, values });
    }
  }

  /** `sudo docker --context x container run`; false if that is not what stands there. */
  head(): boolean {
    const next = (): string => this.words[0]?.text ?? "";
    const skip = (withValue: readonly string[]): void => {
      while (next().startsWith("-")) {
        const option = this.words.shift()?.text ?? "";
        if (withValue.includes(option)) this.words.shift();
      }
    };
    // A prompt that was copied along.
    while (/^[$%>]$/.test(next())) this.words.shift();
    while (/^\w+=/.test(next())) this.words.shift();
    if (next() === "sudo") {
      this.words.shift();
      skip(SUDO_WITH_VALUE);
      while (/^\w+=/.test(next())) this.words.shift();
    }
    if (/(^|[\\/])(docker|podman|nerdctl|coracle)(\.exe)?$/.test(next())) {
      this.words.shift();
      skip(GLOBAL_WITH_VALUE);
    }
    if (next() === "container") this.words.shift();
    return this.words.shift()?.text === "run";
  }

  options(): void {
    for (;;) {
      const text = this.words[0]?.text;
      if (text === undefined || text === "-" || !text.startsWith("-")) return;
      const word = this.words.shift();
      if (!word || text === "--") return;
      for (const expansion of word.expands) this.note("run.paste.expands", { text: expansion });
      if (text.startsWith("--")) this.#long(text);
      else this.#short(text);
    }
  }

  #value(): string | undefined {
    const word = this.words.shift();
    for (const expansion of word?.expands ?? []) this.note("run.paste.expands", { text: expansion });
    return word?.text;
  }

  #long(text: string): void {
    const equals = text.indexOf("=");
    const written = equals < 0 ? text : text.slice(0, equals);
    const flag = longFlag(written.slice(2));
    if (!flag) {
      this.wrong("run.paste.unknown", { flag: written });
      return;
    }
    const given = equals < 0 ? undefined : text.slice(equals + 1);
    const value = given ?? (flag.kind === "switch" ? "true" : this.#value());
    this.#take(flag, written, value);
  }

  /** `-itd`, `-p80:80`, `-p=80:80`, `-dp 80:80`. */
  #short(text: string): void {
    for (let at = 1; at < text.length; at += 1) {
      const letter = text.charAt(at);
      const flag = shortFlag(letter);
      if (!flag) {
        this.wrong("run.paste.unknown", { flag: `-${letter}` });
        return;
      }
      const rest = text.slice(at + 1);
      if (flag.kind === "switch" && !rest.startsWith("=")) {
        this.#take(flag, `-${letter}`, "true");
        continue;
      }
      this.#take(flag, `-${letter}`, rest === "" ? this.#value() : rest.replace(/^=/, ""));
      return;
    }
  }

  #take(flag: Flag, written: string, value: string | undefined): void {
    if (value === undefined) {
      this.wrong("run.paste.noValue", { flag: written });
      return;
    }
    if (flag.kind === "switch" && !TRUE.includes(value) && !FALSE.includes(value)) {
      this.wrong("run.paste.badValue", { flag: written, value });
    } else if (flag.role === "refused") {
      this.wrong("run.paste.refused", { flag: written });
    } else if (flag.role === "client") {
      if (!SILENT.includes(flag.name)) this.note("run.paste.leftOut", { text: written });
    } else if (flag.role === "field") {
      if (!this.#field(flag.name, value)) this.wrong("run.paste.badValue", { flag: written, value });
    } else {
      this.#further(flag, value);
    }
  }

  #field(name: string, value: string): boolean {
    const { request } = this;
    const on = TRUE.includes(value);
    switch (name) {
      case "name":
        request.name = value || null;
        return true;
      case "entrypoint":
        request.entrypoint = value;
        return true;
      case "env":
        if (!value.includes("=")) this.note("run.paste.envValue", { text: value });
        request.environment.push(value.includes("=") ? value : `${value}=`);
        return value !== "" && !value.startsWith("=");
      case "publish":
        request.ports.push(readPort(value));
        return true;
      case "memory": {
        const bytes = readSize(value);
        request.memory_bytes = bytes || null;
        return bytes !== undefined;
      }
      case "cpus":
        request.cpus = Number(value) || null;
        return value.trim() !== "" && Number(value) >= 0 && Number.isFinite(Number(value));
      case "restart":
        request.restart = value || "no";
        return RESTARTS.test(request.restart);
      case "runtime":
        request.runtime = DEFAULT_RUNTIMES.includes(value) ? null : value;
        return true;
      case "rm":
        request.remove_on_exit = on;
        return true;
      case "tty":
        request.tty = on;
        return true;
      case "interactive":
        request.interactive = on;
        return true;
      default:
        return false;
    }
  }

  /** The common forms of some have fields as well. */
  #further({ name, kind }: Flag, value: string): void {
    const { request } = this;
    const mount = name === "volume" ? readVolume(value) : name === "mount" ? readMount(value) : undefined;
    if (mount) {
      if (/^\.\.?([\\/]|$)/.test(mount.source)) this.note("run.paste.relative", { text: mount.source });
      request.mounts.push(mount);
      return;
    }
    const first = request.network === null && !request.further.some((option) => option.flag === "--network");
    if (name === "network" && first && !value.includes("=")) {
      request.network = value || null;
      return;
    }
    const option = { flag: `--${name}`, value: kind === "switch" ? String(TRUE.includes(value)) : value };
    if (kind !== "list") request.further = request.further.filter((other) => other.flag !== option.flag);
    request.further.push(option);
  }

  image(): void {
    const [image, ...command] = this.words;
    if (!image) this.wrong("run.paste.noImage");
    for (const word of this.words) {
      for (const expansion of word.expands) this.note("run.paste.expands", { text: expansion });
    }
    this.request.image = image?.text ?? "";
    this.request.command = command.map(({ text }) => text);
  }
}

const WORDS_PROBLEMS: Record<WordsProblem["kind"], Key> = {
  unclosed: "run.paste.unclosed",
  operator: "run.paste.operator",
  more: "run.paste.more",
};

const notWords = (problem: WordsProblem): Said => ({
  key: WORDS_PROBLEMS[problem.kind],
  values: problem.kind === "unclosed" ? {} : { text: problem.text },
});

/** Takes a line apart. What is in the request counts only if there is no problem. */
export function parseLine(line: string): Parsed {
  const split = shellWords(line.trim());
  if ("problem" in split) return { request: runOf(""), notes: [], problems: [notWords(split.problem)] };
  const parser = new Parser(split.words);
  if (parser.head()) {
    parser.options();
    parser.image();
  } else {
    parser.wrong("run.paste.notRun");
  }
  return parser;
}

/** Options alone, added to what there is: those that have a field go there. */
export function addOptions(request: RunRequest, line: string): Parsed {
  const split = shellWords(line.trim());
  if ("problem" in split) return { request, notes: [], problems: [notWords(split.problem)] };
  const parser = new Parser(split.words);
  Object.assign(parser.request, structuredClone(request), { further: [] });
  parser.options();
  const rest = split.words[0];
  if (rest) parser.wrong("run.further.noOption", { text: rest.text });
  return parser;
}

/** `--cap-add NET_ADMIN --init`. */
export const writeOptions = (further: RunRequest["further"]): string =>
  further.map(({ flag, value }) => writeOption(flag, value)).join(" ");

function writeOption(flag: string, value: string): string {
  if (longFlag(flag.slice(2))?.kind === "switch") return value === "true" ? flag : `${flag}=${value}`;
  // What begins with a dash is not taken for an option of its own.
  return value.startsWith("-") || value === "" ? `${flag}=${value === "" ? "" : quoted(value)}` : `${flag} ${quoted(value)}`;
}

/** The line in pieces that belong together: `docker run`, an option with its value, the image with its command. */
export function writeParts(request: RunRequest): string[] {
  const parts = [`docker run -d${request.interactive ? "i" : ""}${request.tty ? "t" : ""}`];
  const add = (flag: string, value: string | null): void => {
    if (value !== null) parts.push(writeOption(flag, value));
  };
  if (request.remove_on_exit) parts.push("--rm");
  add("--name", request.name);
  add("--restart", request.restart === "no" ? null : request.restart);
  add("--runtime", request.runtime);
  for (const port of request.ports) add("-p", writePort(port));
  for (const variable of request.environment) add("-e", variable);
  for (const mount of request.mounts) add(...writeMount(mount));
  add("--network", request.network);
  add("--memory", request.memory_bytes === null ? null : writeSize(request.memory_bytes));
  add("--cpus", request.cpus === null ? null : String(request.cpus));
  add("--entrypoint", request.entrypoint);
  for (const { flag, value } of request.further) parts.push(writeOption(flag, value));
  parts.push([request.image, ...request.command].map(quoted).join(" "));
  return parts;
}

export const writeLine = (request: RunRequest): string => writeParts(request).join(" ");
