// What can be done to networks.
import type { Network } from "../../lib/bindings";
import { t } from "../../lib/i18n/index.svelte";
import { actions } from "../../lib/stores/actions.svelte";
import { networks } from "../../lib/stores/networks.svelte";
import { view } from "../../lib/stores/view.svelte";
import CreateDialog from "./CreateDialog.svelte";
import PruneDialog from "./PruneDialog.svelte";

export const openCreate = (): void => view.show(CreateDialog, {});
export const openPrune = (): void => view.show(PruneDialog, {});

export function askToRemove(network: Network, gone?: () => void): void {
  view.ask(t("networks.remove.title", { name: network.name }), t("networks.remove.body"), t("action.remove"), () => {
    void networks.remove(network).then((removed) => {
      if (removed) gone?.();
    });
  });
}

/** Why it cannot be removed; empty if it can. */
export function keptBy(network: Network): string {
  if (network.built_in) return t("networks.staysBuiltIn");
  return networks.usersOf(network).some(({ running }) => running) ? t("networks.inUse") : "";
}

/** The answer takes them away again. */
export function registerNetworks(): () => void {
  const away = [
    actions.register({
      id: "networks-new",
      title: () => t("networks.new"),
      keywords: "docker network create 网络",
      run: openCreate,
    }),
    actions.register({
      id: "networks-prune",
      title: () => t("networks.prune"),
      keywords: "docker network prune clean 清理",
      run: openPrune,
    }),
  ];
  return () => away.forEach((leave) => leave());
}
