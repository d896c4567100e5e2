// coracled's settings. What is shown is what coracled told last; a change shows when coracled has taken it.
import type { Settings, SettingValues } from "../bindings";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onConnected } from "./changes";
import { notices } from "./notices.svelte";

export type SettingName = keyof SettingValues;

class SettingsStore {
  told = $state.raw<Settings | undefined>();
  /** Changes that are on their way. */
  busy = $state(0);
  /** Grows with each refusal, so that fields show again what counts. */
  refusals = $state(0);

  async load(): Promise<void> {
    await notices.attempt(t("error.settings"), async () => {
      this.told = await ipc.settings();
    });
  }

  async change(change: ipc.SettingsChange): Promise<boolean> {
    this.busy += 1;
    const taken = await notices.attempt(t("error.settingsChange"), async () => {
      this.told = await ipc.settingsChange(change);
    });
    this.busy -= 1;
    if (!taken) this.refusals += 1;
    return taken;
  }

  /** Saved, but not what the VM runs with. */
  readonly pending = $derived(
    this.told ? (Object.keys(this.told.fields) as SettingName[]).filter((name) => this.told?.fields[name].pending) : [],
  );
}
export const settings = new SettingsStore();
// Only what was looked at before: nobody else needs it.
onConnected(() => {
  if (settings.told) void settings.load();
});
