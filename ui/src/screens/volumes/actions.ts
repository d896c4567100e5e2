// What can be done to volumes: the system's dialogs choose files, the shell reads and writes them.
import type { Volume } from "../../lib/bindings";
import { t } from "../../lib/i18n/index.svelte";
import { pickFile, saveFile } from "../../lib/ipc";
import { actions } from "../../lib/stores/actions.svelte";
import { notices } from "../../lib/stores/notices.svelte";
import { view } from "../../lib/stores/view.svelte";
import { volumes } from "../../lib/stores/volumes.svelte";
import CreateDialog from "./CreateDialog.svelte";
import PruneDialog from "./PruneDialog.svelte";

export const openCreate = (): void => view.show(CreateDialog, {});
export const openPrune = (): void => view.show(PruneDialog, {});

const kinds = () => [{ name: t("volumes.tar"), extensions: ["tar", "gz", "tgz", "xz", "bz2", "zst"] }];
const lastPart = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;

export async function backup(name: string): Promise<void> {
  let to: string | null = null;
  const asked = await notices.attempt(t("error.pick"), async () => {
    to = await saveFile(t("volumes.backup.title", { name }), `${name}.tar`, kinds());
  });
  if (!asked || to === null) return;
  if (await volumes.backup(name, to)) notices.done(t("volumes.copied.backup", { name, path: lastPart(to) }), to);
}

export async function restore(name: string): Promise<void> {
  let from: string | null = null;
  const asked = await notices.attempt(t("error.pick"), async () => {
    from = await pickFile(t("volumes.restore.title", { name }), kinds());
  });
  if (!asked || from === null) return;
  const path: string = from;
  view.ask(t("volumes.restore.ask", { name }), t("volumes.restore.body", { file: path }), t("volumes.restore.act"), () => {
    void volumes.restore(name, path).then((whole) => {
      if (whole) notices.done(t("volumes.copied.restore", { name, path: lastPart(path) }));
    });
  });
}

export function askToRemove({ name }: Volume, gone?: () => void): void {
  view.ask(t("volumes.remove.title", { name }), t("volumes.remove.body"), t("action.remove"), () => {
    void volumes.remove(name).then((removed) => {
      if (removed) gone?.();
    });
  });
}

/** The answer takes them away again. */
export function registerVolumes(): () => void {
  const away = [
    actions.register({
      id: "volumes-new",
      title: () => t("volumes.new"),
      keywords: "docker volume create 存储卷",
      run: openCreate,
    }),
    actions.register({
      id: "volumes-prune",
      title: () => t("volumes.prune"),
      keywords: "docker volume prune clean 清理",
      run: openPrune,
    }),
  ];
  return () => away.forEach((leave) => leave());
}
