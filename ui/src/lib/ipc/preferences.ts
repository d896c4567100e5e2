import type { Preferences, PreferencesChange, Update, Updates } from "../bindings";
import { invoke } from "./core";

export const preferences = (): Promise<Preferences> => invoke("preferences");
export const preferencesChange = (change: PreferencesChange): Promise<Preferences> =>
  invoke("preferences_change", { change });
/** What tray and notifications speak. */
export const languageChosen = (language: string): Promise<void> => invoke("language_chosen", { language });
export const updates = (): Promise<Updates> => invoke("updates");
export const updateCheck = (): Promise<Update | null> => invoke("update_check");
/** Ends with the app, which starts anew as the newer version. */
export const updateInstall = (): Promise<void> => invoke("update_install");
