// What can be done from everywhere.
import { t } from "../lib/i18n/index.svelte";
import { actions, type Action } from "../lib/stores/actions.svelte";
import { preferences } from "../lib/stores/preferences.svelte";
import { session } from "../lib/stores/session.svelte";
import { saveSupportBundle } from "../lib/stores/support";
import { SECTIONS, view } from "../lib/stores/view.svelte";
import { vm } from "../lib/stores/vm.svelte";
import CommandPalette from "./CommandPalette.svelte";
import ShortcutsDialog from "./ShortcutsDialog.svelte";

const always: readonly Action[] = [
  {
    id: "palette",
    title: () => t("palette.open"),
    shortcut: "Mod+K",
    unlisted: true,
    run: () => (view.dialog?.component === CommandPalette ? view.close() : view.show(CommandPalette, {})),
  },
  { id: "shortcuts", title: () => t("action.shortcuts"), shortcut: "?", run: () => view.show(ShortcutsDialog, {}) },
  { id: "back", title: () => t("action.back"), shortcut: "Alt+ArrowLeft", unlisted: true, run: () => view.back() },
  { id: "theme", title: () => t("action.theme"), keywords: "dark light 深色 浅色", run: () => preferences.nextTheme() },
  {
    id: "language",
    title: () => t("action.language"),
    keywords: "english chinese 中文 英语",
    run: () => preferences.nextLanguage(),
  },
  { id: "support-bundle", title: () => t("action.supportBundle"), keywords: "logs 日志", run: () => void saveSupportBundle() },
  { id: "welcome", title: () => t("action.welcome"), keywords: "doctor setup 诊断", run: () => view.go("welcome") },
  ...SECTIONS.map(
    (section, index): Action => ({
      id: `go-${section}`,
      title: () => t("action.goTo", { name: t(`nav.${section}`) }),
      shortcut: `Mod+${index + 1}`,
      unlisted: true,
      run: () => view.go(section),
    }),
  ),
];

export function registerAlways(): void {
  always.forEach((action) => actions.register(action));
}

/** What fits the VM's present state. The answer takes it away again. */
export function registerVm(): () => void {
  const all: Action[] = [];
  if (session.vm.state === "off" || session.vm.state === "failed") {
    all.push({ id: "vm-start", title: () => t("action.vmStart"), keywords: "vm 虚拟机", run: () => void session.startVm() });
  }
  if (session.vm.state === "running") {
    all.push(
      { id: "vm-stop", title: () => t("action.vmStop"), keywords: "vm 虚拟机", run: () => vm.askToStop() },
      { id: "vm-restart", title: () => t("action.vmRestart"), keywords: "vm 虚拟机 reboot", run: () => vm.askToRestart() },
    );
  }
  const away = all.map((action) => actions.register(action));
  return () => away.forEach((leave) => leave());
}
