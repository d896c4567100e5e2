// The groups of settings, and what each holds: for the tabs and for the command palette.
import type { Key } from "../../lib/i18n/index.svelte";

export const GROUPS = [
  {
    id: "general",
    entries: ["settings.theme", "settings.language", "settings.startAtLogin", "settings.keepRunning", "settings.notifications"],
  },
  { id: "machine", entries: ["settings.memory", "settings.cpus", "settings.disk", "settings.accelerator"] },
  { id: "network", entries: ["settings.publishOn", "settings.proxy", "settings.dns"] },
  { id: "registries", entries: ["settings.accounts", "settings.mirrors", "settings.insecure"] },
  { id: "folders", entries: ["settings.fileSharing"] },
  { id: "about", entries: ["settings.updates", "settings.context", "settings.support"] },
] as const satisfies readonly { id: string; entries: readonly Key[] }[];

export type Group = (typeof GROUPS)[number]["id"];
