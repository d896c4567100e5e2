// Files as the browser shows them, wherever they lie: an image, a container, a volume. Pure but for the source itself.

export type FileKind =
  | "file"
  | "directory"
  | "symlink"
  | "char_device"
  | "block_device"
  | "fifo"
  | "socket"
  /** A layer's mark that a file of lower layers is gone. */
  | "whiteout"
  | "unknown";

export interface FileEntry {
  /** For people. */
  readonly name: string;
  /** What the source knows it by: `list` and `read` take it. A path of text unless the source says otherwise. */
  readonly path: string;
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  readonly modifiedUnixS: number;
  /** Where a symbolic link leads. */
  readonly target?: string | undefined;
  /** A word or two beside the name, such as the layer or that it was changed. */
  readonly mark?: string | undefined;
}

export interface FilePage {
  readonly entries: readonly FileEntry[];
  /** What `list` takes for more; none at the end. */
  readonly next?: string | undefined;
}

export interface FileContents {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether the file is longer. */
  readonly truncated: boolean;
}

export interface FileSource {
  /** Another key is another place: the browser begins anew. */
  readonly key: string;
  /** The names in a directory; `/` is the root. */
  list(path: string, after?: string): Promise<FilePage>;
  /** The beginning of a file. */
  read(path: string, limitBytes: number): Promise<FileContents>;
  /** Asks where to, and copies the file there, or the folder as a tar. */
  download?(entry: FileEntry): Promise<void>;
  /** Asks which files, and copies them into the folder. */
  upload?(folder: string): Promise<void>;
  /** Replaces a file's contents by text. */
  write?(path: string, text: string): Promise<void>;
  /** A mark of a path whose entry has none. */
  marks?(path: string): string | undefined;
}

/** What of a file is read to show it. */
export const PREVIEW_BYTES = 512 * 1024;
/** A picture is shown whole or not at all. */
export const PICTURE_BYTES = 16 * 1024 * 1024;

const PICTURES: readonly (readonly [string, readonly number[]])[] = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
];

export const mayBePicture = (name: string): boolean => /\.(png|jpe?g|gif)$/i.test(name);

export type Preview =
  | { kind: "text"; text: string; language: "json" | "yaml" | "text"; truncated: boolean }
  | { kind: "picture"; type: string; bytes: Uint8Array<ArrayBuffer> }
  | { kind: "binary"; bytes: Uint8Array<ArrayBuffer>; truncated: boolean }
  | { kind: "empty" };

/** What a file's beginning turns out to be. */
export function preview(name: string, { bytes, truncated }: FileContents): Preview {
  if (bytes.length === 0) return { kind: "empty" };
  const picture = PICTURES.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte));
  if (picture && !truncated) return { kind: "picture", type: picture[0], bytes };
  const text = decoded(bytes, truncated);
  if (text === undefined) return { kind: "binary", bytes, truncated };
  const language = /\.json$/i.test(name) ? "json" : /\.ya?ml$/i.test(name) ? "yaml" : "text";
  return { kind: "text", text, language, truncated };
}

function decoded(bytes: Uint8Array, truncated: boolean): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    // A cut may lie within a character: `stream` waits for its rest in vain, and drops it.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: truncated });
  } catch {
    return undefined;
  }
}

/** A row of bytes as `hexdump -C` has it: offset, bytes in eights, characters. */
export function hexRow(bytes: Uint8Array, row: number, columns: 8 | 16): { offset: string; hex: string; text: string } {
  const start = row * columns;
  const cut = [...bytes.subarray(start, start + columns)];
  const hex = cut.map((byte) => byte.toString(16).padStart(2, "0"));
  const eights = [hex.slice(0, 8).join(" "), hex.slice(8).join(" ")].slice(0, columns / 8);
  return {
    offset: start.toString(16).padStart(8, "0"),
    hex: eights.join("  ").padEnd(columns * 3),
    text: cut.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join(""),
  };
}

const TYPE_LETTERS: Record<FileKind, string> = {
  file: "-",
  directory: "d",
  symlink: "l",
  char_device: "c",
  block_device: "b",
  fifo: "p",
  socket: "s",
  whiteout: "-",
  unknown: "?",
};

/** As `ls -l` has it. */
export function modeText({ kind, mode }: Pick<FileEntry, "kind" | "mode">): string {
  const bit = (mask: number, letter: string): string => ((mode & mask) !== 0 ? letter : "-");
  const special = (mask: number, run: number, letter: string): string =>
    (mode & mask) === 0 ? bit(run, "x") : (mode & run) !== 0 ? letter : letter.toUpperCase();
  return [
    TYPE_LETTERS[kind],
    bit(0o400, "r"), bit(0o200, "w"), special(0o4000, 0o100, "s"),
    bit(0o040, "r"), bit(0o020, "w"), special(0o2000, 0o010, "s"),
    bit(0o004, "r"), bit(0o002, "w"), special(0o1000, 0o001, "t"),
  ].join("");
}

/** Where a link in `folder` leads, as a rooted path without dots. */
export function resolved(folder: string, target: string): string {
  const parts = target.startsWith("/") ? [] : folder.split("/").filter(Boolean);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
