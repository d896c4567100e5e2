import type { Account, Settings, SettingValues } from "../bindings";
import { invoke } from "./core";

/** Null puts a setting back to its default. */
export type SettingsChange = { [Name in keyof SettingValues]?: SettingValues[Name] | null };

export const settings = (): Promise<Settings> => invoke("settings");
export const settingsChange = (change: SettingsChange): Promise<Settings> => invoke("settings_change", { change });
/** The accounts that are kept on this computer, without their secrets. */
export const registryAccounts = (): Promise<Account[]> => invoke("registry_accounts");
export const registryLogin = (server: string, user: string, password: string): Promise<void> =>
  invoke("registry_login", { server, user, password });
export const registryLogout = (server: string): Promise<void> => invoke("registry_logout", { server });
