// What can be done to a container, in its row and on its page.
import CirclePlay from "@lucide/svelte/icons/circle-play";
import CircleStop from "@lucide/svelte/icons/circle-stop";
import Copy from "@lucide/svelte/icons/copy";
import FolderOpen from "@lucide/svelte/icons/folder-open";
import Pause from "@lucide/svelte/icons/pause";
import Pencil from "@lucide/svelte/icons/pencil";
import Play from "@lucide/svelte/icons/play";
import RotateCw from "@lucide/svelte/icons/rotate-cw";
import ScrollText from "@lucide/svelte/icons/scroll-text";
import SquareTerminal from "@lucide/svelte/icons/square-terminal";
import Trash from "@lucide/svelte/icons/trash";
import Zap from "@lucide/svelte/icons/zap";
import type { Item } from "../../components/types";
import { t } from "../../lib/i18n/index.svelte";
import { containers, isUp, type ContainerRow } from "../../lib/stores/containers.svelte";
import { view } from "../../lib/stores/view.svelte";
import RunDialog from "../run/RunDialog.svelte";
import RenameDialog from "./RenameDialog.svelte";

/** Asks, then removes; `removed` is called when it is gone. */
export function askRemove(container: ContainerRow, removed: () => void = () => {}): void {
  const body = isUp(container) ? t("containers.remove.running") : t("containers.remove.body");
  view.ask(t("containers.remove.title", { name: container.name }), body, t("action.remove"), async () => {
    if (await containers.remove(container)) removed();
  });
}

export function items(container: ContainerRow, removed?: () => void): Item[][] {
  const up = isUp(container);
  const paused = container.state === "paused";
  const disabled = containers.busy[container.id] ?? false;
  const act = (action: Parameters<typeof containers.act>[1]) => () => void containers.act(container, action);
  const go = (tab: string) => () => view.go("containers", container.id, tab);
  return [
    [
      up
        ? { id: "stop", text: t("action.stop"), icon: CircleStop, disabled, act: act("stop") }
        : { id: "start", text: t("action.start"), icon: Play, disabled, act: act("start") },
      { id: "restart", text: t("action.restart"), icon: RotateCw, disabled: disabled || !up, act: act("restart") },
      paused
        ? { id: "unpause", text: t("action.unpause"), icon: CirclePlay, disabled, act: act("unpause") }
        : {
            id: "pause",
            text: t("action.pause"),
            icon: Pause,
            disabled: disabled || container.state !== "running",
            act: act("pause"),
          },
      { id: "kill", text: t("action.kill"), icon: Zap, disabled: disabled || !up, act: act("kill") },
    ],
    [
      { id: "logs", text: t("tab.logs"), icon: ScrollText, act: go("logs") },
      { id: "terminal", text: t("tab.terminal"), icon: SquareTerminal, disabled: !up, act: go("terminal") },
      { id: "files", text: t("tab.files"), icon: FolderOpen, act: go("files") },
    ],
    [
      {
        id: "run",
        text: t("containers.runAnother"),
        icon: Play,
        act: () => view.show(RunDialog, { reference: container.image }),
      },
      { id: "rename", text: t("action.renameDots"), icon: Pencil, act: () => view.show(RenameDialog, { container }) },
      {
        id: "copy",
        text: t("containers.copyId"),
        icon: Copy,
        act: () => void navigator.clipboard.writeText(container.id),
      },
    ],
    [
      {
        id: "remove",
        text: t("action.removeDots"),
        icon: Trash,
        danger: true,
        disabled,
        act: () => askRemove(container, removed),
      },
    ],
  ];
}
