// An opened folder tree: what of a FileSource has been listed, and which folders are open.
//
// A folder of ten thousand files comes page by page; rows are flat, so that only those in sight are drawn.
import type { FileEntry, FilePage, FileSource } from "../files";
import { failure } from "../ipc";

export interface Folder {
  readonly entries: readonly FileEntry[];
  readonly next: string | undefined;
  readonly loading: boolean;
  readonly problem: string | undefined;
}

export type TreeRow =
  | {
      readonly type: "entry";
      readonly key: string;
      readonly depth: number;
      readonly entry: FileEntry;
      /** The path for people. */
      readonly shown: string;
      /** The path of its folder. */
      readonly folder: string;
    }
  | { readonly type: "more" | "loading" | "empty"; readonly key: string; readonly depth: number; readonly folder: string }
  | { readonly type: "problem"; readonly key: string; readonly depth: number; readonly folder: string; readonly message: string };

export const ROOT = "/";
const NONE: Folder = { entries: [], next: undefined, loading: false, problem: undefined };

/** The rows from top to bottom. */
export function flatten(folders: ReadonlyMap<string, Folder>, open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const visit = (path: string, shown: string, depth: number): void => {
    const folder = folders.get(path) ?? NONE;
    for (const entry of folder.entries) {
      const shownHere = `${shown}/${entry.name}`;
      rows.push({ type: "entry", key: entry.path, depth, entry, shown: shownHere, folder: path });
      if (entry.kind === "directory" && open.has(entry.path)) visit(entry.path, shownHere, depth + 1);
    }
    const tail = { key: `${path}\n`, depth, folder: path };
    if (folder.problem !== undefined) rows.push({ type: "problem", ...tail, message: folder.problem });
    else if (folder.loading) rows.push({ type: "loading", ...tail });
    else if (folder.next !== undefined) rows.push({ type: "more", ...tail });
    else if (folder.entries.length === 0) rows.push({ type: "empty", ...tail });
  };
  visit(ROOT, "", 0);
  return rows;
}

const folderFirst = (a: FileEntry, b: FileEntry): number =>
  Number(b.kind === "directory") - Number(a.kind === "directory");

/** Folders first, unless it comes in pages: what is in sight must not be pushed away by the next one. */
function extended(before: Folder, page: FilePage): Folder {
  const whole = before.entries.length === 0 && page.next === undefined;
  const entries = whole ? [...page.entries].sort(folderFirst) : [...before.entries, ...page.entries];
  return { entries, next: page.next, loading: false, problem: undefined };
}

export class FileTree {
  #folders = $state.raw<ReadonlyMap<string, Folder>>(new Map());
  #open = $state.raw<ReadonlySet<string>>(new Set());
  readonly rows = $derived(flatten(this.#folders, this.#open));
  readonly #loads = new Map<string, Promise<void>>();

  constructor(readonly source: FileSource) {}

  isOpen(path: string): boolean {
    return this.#open.has(path);
  }

  async open(path: string): Promise<void> {
    this.#open = new Set(this.#open).add(path);
    if (!this.#folders.has(path)) await this.load(path);
  }

  close(path: string): void {
    const open = new Set(this.#open);
    open.delete(path);
    this.#open = open;
  }

  /** The folder's next page; its first if there is none yet. */
  load(path: string): Promise<void> {
    const running = this.#loads.get(path) ?? this.#load(path).finally(() => this.#loads.delete(path));
    this.#loads.set(path, running);
    return running;
  }

  async #load(path: string): Promise<void> {
    const before = this.#folders.get(path) ?? NONE;
    this.#set(path, { ...before, loading: true, problem: undefined });
    try {
      this.#set(path, extended(before, await this.source.list(path, before.next)));
    } catch (reason) {
      this.#set(path, { ...before, loading: false, problem: failure(reason).message });
    }
  }

  /** Lists all open folders anew; they stay open, and what is shown stays until the answer is there. */
  async refresh(): Promise<void> {
    const shown = [ROOT, ...this.#open].filter((path) => this.#folders.has(path));
    const fresh = new Map<string, Folder>();
    for (const path of shown) fresh.set(path, await this.#first(path));
    this.#folders = fresh;
  }

  async #first(path: string): Promise<Folder> {
    try {
      return extended(NONE, await this.source.list(path));
    } catch (reason) {
      return { ...NONE, problem: failure(reason).message };
    }
  }

  /** Opens the folders on the way to a path of names, and tells its entry; none if it is not there. */
  async reveal(shown: string): Promise<FileEntry | undefined> {
    let folder = ROOT;
    let found: FileEntry | undefined;
    for (const name of shown.split("/").filter(Boolean)) {
      if (found && found.kind !== "directory") return undefined;
      await (folder === ROOT ? this.#folders.has(ROOT) || this.load(ROOT) : this.open(folder));
      found = await this.#named(folder, name);
      if (!found) return undefined;
      folder = found.path;
    }
    return found;
  }

  async #named(path: string, name: string): Promise<FileEntry | undefined> {
    for (;;) {
      const folder = this.#folders.get(path);
      const found = folder?.entries.find((entry) => entry.name === name);
      if (found || folder?.next === undefined || folder.problem !== undefined) return found;
      await this.load(path);
    }
  }

  #set(path: string, folder: Folder): void {
    this.#folders = new Map(this.#folders).set(path, folder);
  }
}
