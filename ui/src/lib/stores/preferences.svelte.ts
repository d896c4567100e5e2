// Theme and language, kept by the web view.
import { LANGUAGES, language, nearest, setLanguage, type Language } from "../i18n/index.svelte";

export type Theme = "system" | "light" | "dark";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

const after = <T>(all: readonly T[], present: T): T => all[(all.indexOf(present) + 1) % all.length] ?? present;

class Preferences {
  theme = $state<Theme>("system");

  restore(): void {
    const theme = localStorage.getItem("theme");
    this.#applyTheme(THEMES.find((known) => known === theme) ?? "system");
    const kept = localStorage.getItem("language");
    setLanguage(LANGUAGES.find((known) => known === kept) ?? nearest(navigator.languages));
  }

  nextTheme(): void {
    this.#applyTheme(after(THEMES, this.theme));
    localStorage.setItem("theme", this.theme);
  }

  nextLanguage(): void {
    const next: Language = after(LANGUAGES, language());
    setLanguage(next);
    localStorage.setItem("language", next);
  }

  #applyTheme(theme: Theme): void {
    this.theme = theme;
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  }
}
export const preferences = new Preferences();
