// The sections' screens. The first two are there at once; the others come when they are gone to, or when the page has
// nothing else to do: what they bring along would make the app start later.
import type { Component } from "svelte";
import { t } from "../lib/i18n/index.svelte";
import { notices } from "../lib/stores/notices.svelte";
import type { Section } from "../lib/stores/view.svelte";
import Containers from "../screens/containers/Containers.svelte";
import Dashboard from "../screens/dashboard/Dashboard.svelte";

const later = {
  images: () => import("../screens/images/Images.svelte"),
  volumes: () => import("../screens/volumes/Volumes.svelte"),
  networks: () => import("../screens/networks/Networks.svelte"),
  lab: () => import("../screens/lab/Lab.svelte"),
  settings: () => import("../screens/settings/Settings.svelte"),
  welcome: () => import("../screens/welcome/Welcome.svelte"),
} satisfies Partial<Record<Section, () => Promise<{ default: Component }>>>;
type Later = keyof typeof later;

/** After the first lists have been drawn. */
const QUIET_MS = 1_500;

class Screens {
  #loaded = $state.raw<Partial<Record<Section, Component>>>({ dashboard: Dashboard, containers: Containers });

  get(section: Section): Component | undefined {
    return this.#loaded[section];
  }

  async load(section: Section): Promise<void> {
    if (this.#loaded[section] || !(section in later)) return;
    await notices.attempt(t("error.screen"), async () => {
      const { default: component } = await later[section as Later]();
      this.#loaded = { ...this.#loaded, [section]: component };
    });
  }

  /** The rest, one after the other. */
  loadRest(): void {
    setTimeout(() => void this.#rest(), QUIET_MS);
  }

  async #rest(): Promise<void> {
    for (const section of Object.keys(later) as Later[]) await this.load(section);
  }
}
export const screens = new Screens();
