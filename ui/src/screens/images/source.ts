// An image's files as the file browser takes them: of all layers together, or of one alone.
import type { ImageEntry } from "../../lib/bindings";
import type { FileEntry, FileSource } from "../../lib/files";
import { t } from "../../lib/i18n/index.svelte";
import { imageFile, imageFiles, imageFileSave } from "../../lib/ipc";
import { saveAs } from "../../lib/saveAs";

/** A file of the browser, with what only images know of it. */
export interface ImageFileEntry extends FileEntry {
  readonly entry: ImageEntry;
}

/** The path of a name in a folder, percent-encoded: names in an image are bytes, not always text. */
export const pathOf = (folder: string, { name, name_encoded }: Pick<ImageEntry, "name" | "name_encoded">): string =>
  `${folder === "/" ? "" : folder}/${name_encoded ?? encodeURIComponent(name)}`;

/** The name to offer for a copy: as text, or still encoded where it is none. */
export function nameIn(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export function fileEntry(folder: string, entry: ImageEntry, mark: string | undefined): ImageFileEntry {
  return {
    name: entry.name,
    path: pathOf(folder, entry),
    kind: entry.kind,
    sizeBytes: entry.size_bytes,
    mode: entry.mode,
    modifiedUnixS: entry.modified_unix_s,
    target: entry.target ?? undefined,
    mark,
    entry,
  };
}

export function imageSource(image: string, layer: number | undefined): FileSource {
  return {
    key: `${image} ${layer ?? "all"}`,
    async list(path, after) {
      const { entries, next } = await imageFiles(image, path, layer, after);
      // In one layer alone all come from it.
      const mark = (entry: ImageEntry): string | undefined =>
        layer === undefined && entry.kind !== "directory" ? t("image.files.mark", { number: entry.layer + 1 }) : undefined;
      return { entries: entries.map((entry) => fileEntry(path, entry, mark(entry))), next: next ?? undefined };
    },
    async read(path, limitBytes) {
      // One more tells whether there is more.
      const read = new Uint8Array(await imageFile(image, path, limitBytes + 1, layer));
      return { bytes: read.subarray(0, limitBytes), truncated: read.length > limitBytes };
    },
    async download({ path, kind }) {
      const folder = kind === "directory";
      const to = await saveAs(nameIn(path), folder);
      if (to !== null) await imageFileSave(image, path, folder, to, layer);
    },
  };
}
