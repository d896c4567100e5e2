// Theme and language, kept by the web view; and what the shell keeps and acts on.
import type { Preferences as Kept, PreferencesChange } from "../bindings";
import { LANGUAGES, language, nearest, setLanguage, t, type Language } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { notices } from "./notices.svelte";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const after = <T>(all: readonly T[], present: T): T => all[(all.indexOf(present) + 1) % all.length] ?? present;

class Preferences {
  theme = $state<Theme>("system");
  /** What the shell keeps; nothing until it has told. */
  kept = $state.raw<Kept | undefined>();
  #systemIsDark = $state(false);
  /** The theme that shows. */
  readonly scheme = $derived(this.theme === "system" ? (this.#systemIsDark ? "dark" : "light") : this.theme);

  restore(): void {
    const system = matchMedia("(prefers-color-scheme: dark)");
    this.#systemIsDark = system.matches;
    system.addEventListener("change", ({ matches }) => {
      this.#systemIsDark = matches;
      this.#show();
    });
    const theme = localStorage.getItem("theme");
    this.theme = THEMES.find((known) => known === theme) ?? "system";
    this.#show();
    const kept = localStorage.getItem("language");
    this.#speak(LANGUAGES.find((known) => known === kept) ?? nearest(navigator.languages));
  }

  async load(): Promise<void> {
    await notices.attempt(t("error.preferences"), async () => {
      this.kept = await ipc.preferences();
    });
  }

  async change(change: PreferencesChange): Promise<void> {
    await notices.attempt(t("error.preferencesKept"), async () => {
      this.kept = await ipc.preferencesChange(change);
    });
  }

  chooseTheme(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem("theme", theme);
    this.#show();
  }

  chooseLanguage(chosen: Language): void {
    localStorage.setItem("language", chosen);
    this.#speak(chosen);
  }

  nextTheme(): void {
    this.chooseTheme(after(THEMES, this.theme));
  }

  nextLanguage(): void {
    this.chooseLanguage(after(LANGUAGES, language()));
  }

  #show(): void {
    document.documentElement.dataset["theme"] = this.scheme;
  }

  #speak(chosen: Language): void {
    setLanguage(chosen);
    // Tray and notifications speak the page's language.
    void notices.attempt(t("error.preferencesKept"), () => ipc.languageChosen(chosen));
  }
}
export const preferences = new Preferences();
