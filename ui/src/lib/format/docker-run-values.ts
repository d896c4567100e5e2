// Values of `docker run`'s options, as far as the form has fields for them.
import type { RunMount, RunPort } from "../bindings";

const UNITS = ["", "k", "m", "g", "t", "p"];

/** `512m`, `1.5GiB`: binary units, bytes without one. Nothing if it is no size. */
export function readSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgtp]?)(?:i?b)?)$/i.exec(text.trim());
  if (!match || /\di b?$/i.test(text)) return undefined;
  return Math.floor(Number(match[1]) * 1024 ** UNITS.indexOf((match[2] ?? "").toLowerCase()));
}

/** The shortest that says just this. */
export function writeSize(bytes: number): string {
  let unit = 0;
  let count = bytes;
  while (unit < 3 && count > 0 && count % 1024 === 0) {
    count /= 1024;
    unit += 1;
  }
  return `${count}${UNITS[unit] || "b"}`;
}

/** `[[address:]host:]container[/protocol]`. */
export function readPort(text: string): RunPort {
  const long = readLongPort(text);
  if (long) return long;
  const [ports = "", protocol = "tcp"] = text.split("/", 2);
  const colon = ports.lastIndexOf(":");
  return { host: colon < 0 ? "" : ports.slice(0, colon), container: ports.slice(colon + 1), protocol };
}

/** `published=8080,target=80,protocol=tcp`. */
function readLongPort(text: string): RunPort | undefined {
  if (!/(^|,)target=/.test(text)) return undefined;
  const parts = Object.fromEntries(text.split(",").map((part) => part.split("=", 2) as [string, string]));
  return { host: parts["published"] ?? "", container: parts["target"] ?? "", protocol: parts["protocol"] ?? "tcp" };
}

export function writePort({ host, container, protocol }: RunPort): string {
  return `${host ? `${host}:` : ""}${container}${protocol === "tcp" ? "" : `/${protocol}`}`;
}

/** `source:target[:ro]`; nothing for what the form has no field for. */
export function readVolume(text: string): RunMount | undefined {
  // The colon of a drive separates nothing.
  const drive = /^[A-Za-z]:[\\/]/.exec(text)?.[0] ?? "";
  const [rest = "", target, mode = "rw", ...more] = text.slice(drive.length).split(":");
  const source = drive + rest;
  if (!source || !target || more.length > 0 || !["ro", "rw"].includes(mode)) return undefined;
  return { source, target, read_only: mode === "ro" };
}

/** `type=bind,source=…,target=…[,readonly]`, or of a named volume; nothing for what the form has no field for. */
export function readMount(text: string): RunMount | undefined {
  let type = "volume";
  const mount = { source: "", target: "", read_only: false };
  for (const part of csv(text)) {
    const equals = part.indexOf("=");
    const key = (equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    const value = equals < 0 ? undefined : part.slice(equals + 1);
    if (key === "type" && value) type = value;
    else if (["source", "src"].includes(key) && value) mount.source = value;
    else if (["target", "dst", "destination"].includes(key) && value) mount.target = value;
    else if (["readonly", "ro"].includes(key) && ["true", "1", undefined].includes(value)) mount.read_only = true;
    else return undefined;
  }
  const rooted = /^(\/|[A-Za-z]:[\\/])/.test(mount.source);
  if (!mount.source || !mount.target || (type === "bind") !== rooted || !["bind", "volume"].includes(type)) return undefined;
  return mount;
}

/** The option and its value. */
export function writeMount({ source, target, read_only }: RunMount): [string, string] {
  if (readVolume(`${source}:${target}`)?.source === source) {
    return ["-v", `${source}:${target}${read_only ? ":ro" : ""}`];
  }
  const parts = ["type=bind", `source=${source}`, `target=${target}`, ...(read_only ? ["readonly"] : [])];
  return ["--mount", parts.map((part) => (/[",]/.test(part) ? `"${part.replaceAll('"', '""')}"` : part)).join(",")];
}

/** A line of CSV. */
export function csv(text: string): string[] {
  const fields = [""];
  let quote = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"' && quote && text.charAt(at + 1) === '"') fields.push(`${fields.pop() ?? ""}${text.charAt(++at)}`);
    else if (char === '"') quote = !quote;
    else if (char === "," && !quote) fields.push("");
    else fields.push(`${fields.pop() ?? ""}${char}`);
  }
  return fields;
}
