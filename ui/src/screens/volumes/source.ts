// A volume's files as the file browser takes them.
import type { VolumeEntry } from "../../lib/bindings";
import type { FileEntry, FileKind, FileSource } from "../../lib/files";
import { t } from "../../lib/i18n/index.svelte";
import { pickFile, volumeFile, volumeFiles, volumeFileSave, volumeUpload } from "../../lib/ipc";
import { saveAs } from "../../lib/saveAs";

const KINDS: Record<string, FileKind> = {
  file: "file",
  directory: "directory",
  link: "symlink",
  character: "char_device",
  block: "block_device",
  fifo: "fifo",
  socket: "socket",
};

export function fileEntry(folder: string, entry: VolumeEntry): FileEntry {
  return {
    name: entry.name,
    path: `${folder === "/" ? "" : folder}/${entry.name}`,
    kind: KINDS[entry.kind] ?? "unknown",
    sizeBytes: entry.size_bytes,
    mode: entry.mode,
    modifiedUnixS: entry.modified_unix_s,
    target: entry.target ?? undefined,
  };
}

export function volumeSource(volume: string): FileSource {
  return {
    key: volume,
    async list(path, after) {
      const { entries, more } = await volumeFiles(volume, path, after ?? null);
      return { entries: entries.map((entry) => fileEntry(path, entry)), next: more ? entries.at(-1)?.name : undefined };
    },
    async read(path, limitBytes) {
      const bytes = new Uint8Array(await volumeFile(volume, path, limitBytes));
      return { bytes: bytes.slice(0, limitBytes), truncated: bytes.length > limitBytes };
    },
    async download({ name, path, kind }) {
      const folder = kind === "directory";
      const to = await saveAs(name, folder);
      if (to !== null) await volumeFileSave(volume, path, folder, to);
    },
    async upload(folder) {
      const from = await pickFile(t("volumes.files.upload"));
      if (from !== null) await volumeUpload(volume, folder, [from]);
    },
  };
}
