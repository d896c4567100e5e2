// What the command palette offers while the list of images is in sight.
import { t } from "../../lib/i18n/index.svelte";
import { actions } from "../../lib/stores/actions.svelte";
import { view } from "../../lib/stores/view.svelte";
import { loadArchive } from "./archive";
import PruneDialog from "./PruneDialog.svelte";

export const openPrune = (): void => view.show(PruneDialog, {});

/** The answer takes them away again. */
export function registerImages(): () => void {
  const away = [
    actions.register({
      id: "images-load",
      title: () => t("images.action.load"),
      keywords: "docker load tar 加载",
      run: () => void loadArchive(),
    }),
    actions.register({
      id: "images-prune",
      title: () => t("images.action.prune"),
      keywords: "docker image prune clean 清理",
      run: openPrune,
    }),
  ];
  return () => away.forEach((leave) => leave());
}
