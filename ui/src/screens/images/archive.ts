// Archives of images: the system's dialogs choose the file, the shell reads or writes it.
import { archiveName, type ImageRow } from "../../lib/format/images";
import { t } from "../../lib/i18n/index.svelte";
import { pickFile, saveFile } from "../../lib/ipc";
import { notices } from "../../lib/stores/notices.svelte";
import { pulls } from "../../lib/stores/pulls.svelte";

const kinds = () => [{ name: t("archive.kind"), extensions: ["tar", "tgz", "gz", "xz", "bz2", "zst"] }];

export async function loadArchive(): Promise<void> {
  await notices.attempt(t("archive.error.choose"), async () => {
    const path = await pickFile(t("archive.load.title"), kinds());
    if (path !== null) pulls.load(path);
  });
}

export async function saveArchive(row: ImageRow): Promise<void> {
  await notices.attempt(t("archive.error.choose"), async () => {
    const path = await saveFile(t("archive.save.title"), archiveName(row), kinds());
    if (path !== null) pulls.save([row.reference], path);
  });
}
