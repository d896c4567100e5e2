// A container's files for the browser.
import type { FileMark } from "../../../lib/bindings";
import type { FileSource } from "../../../lib/files";
import { t } from "../../../lib/i18n/index.svelte";
import * as ipc from "../../../lib/ipc";
import * as files from "../../../lib/ipc/containerFiles";
import { saveAs } from "../../../lib/saveAs";

export function containerSource(id: string): FileSource {
  const mark = (mark: FileMark | null): string | undefined => (mark === null ? undefined : t(`details.mark.${mark}`));
  return {
    key: id,
    async list(path, after) {
      const { entries, next } = await files.containerFiles(id, path, after ?? null);
      return {
        entries: entries.map((entry) => ({
          name: entry.name,
          path: `${path === "/" ? "" : path}/${entry.name}`,
          kind: entry.kind,
          sizeBytes: entry.size_bytes,
          mode: entry.mode,
          modifiedUnixS: entry.modified_unix_s,
          target: entry.target ?? undefined,
          mark: mark(entry.mark),
        })),
        next: next ?? undefined,
      };
    },
    async read(path, limitBytes) {
      const bytes = new Uint8Array(await files.containerFile(id, path, limitBytes));
      const truncated = bytes.length > limitBytes;
      return { bytes: truncated ? bytes.slice(0, limitBytes) : bytes, truncated };
    },
    async download({ name, path, kind }) {
      const folder = kind === "directory";
      const to = await saveAs(name, folder);
      if (to !== null) await files.containerFileSave(id, path, folder, to);
    },
    async upload(folder) {
      const from = await ipc.pickFile(t("details.uploadTo", { folder }));
      if (from !== null) await files.containerFilesUpload(id, folder, [from]);
    },
    write: (path, text) => files.containerFileWrite(id, path, text),
  };
}
