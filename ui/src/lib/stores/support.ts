// The support bundle, written where the person wants it.
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { notices } from "./notices.svelte";

/** As `coracle-support-20261126-013000.tar.gz`. */
export function bundleName(now: Date): string {
  const digits = now.toISOString().replace(/[-:]/g, "").slice(0, 15).replace("T", "-");
  return `coracle-support-${digits}.tar.gz`;
}

export async function saveSupportBundle(): Promise<void> {
  await notices.attempt(t("error.support"), async () => {
    const kinds = [{ name: t("support.kind"), extensions: ["tar.gz"] }];
    const path = await ipc.saveFile(t("support.title"), bundleName(new Date()), kinds);
    if (path === null) return;
    await ipc.supportBundle(path);
    notices.done(t("support.saved"), path, {
      text: t("support.show"),
      run: () => void notices.attempt(t("error.open"), () => ipc.showInFolder(path)),
    });
  });
}
