// Where to copy what the file browser shows.
import { t } from "./i18n/index.svelte";
import { saveFile } from "./ipc";

/** Asks where to write a file, or a folder as a tar; null if nowhere. */
export const saveAs = (name: string, folder: boolean): Promise<string | null> =>
  saveFile(t("files.saveAs", { name }), folder ? `${name}.tar` : name);
