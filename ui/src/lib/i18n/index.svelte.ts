// Every text of the page. A key that one language lacks does not compile.
import i18next from "i18next";
import en from "./en";
import zhCN from "./zh-CN";

export type Key = keyof typeof en;
export type Values = Record<string, string | number>;
type Counted = Key extends infer K ? (K extends `${infer Stem}.other` ? Stem : never) : never;

const languages = {
  en: { name: "English", texts: en },
  "zh-CN": { name: "简体中文", texts: zhCN satisfies Record<Key, string> },
};
export type Language = keyof typeof languages;
export const LANGUAGES: readonly Language[] = ["en", "zh-CN"];

void i18next.init({
  lng: "en",
  fallbackLng: "en",
  initAsync: false,
  resources: Object.fromEntries(
    Object.entries(languages).map(([language, { texts }]) => [language, { translation: texts }]),
  ),
  // Keys are whole words with dots in them; Svelte escapes what it shows.
  keySeparator: false,
  nsSeparator: false,
  pluralSeparator: ".",
  interpolation: { prefix: "{", suffix: "}", escapeValue: false },
});

/** The nearest language that there is. */
export function nearest(wanted: readonly string[]): Language {
  return wanted[0]?.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

// What is read here is drawn anew when the language changes.
const chosen = $state<{ language: Language }>({ language: "en" });

export const language = (): Language => chosen.language;
export const languageName = (language: Language): string => languages[language].name;
export function setLanguage(language: Language): void {
  void i18next.changeLanguage(language);
  chosen.language = language;
  document.documentElement.lang = language;
}

export function t(key: Key, values: Values = {}): string {
  return i18next.t(key, { ...values, lng: chosen.language });
}

/** A text that depends on a number. */
export function tn(stem: Counted, count: number, values: Values = {}): string {
  return i18next.t(stem, { ...values, count, lng: chosen.language });
}

/** A text whose key is made up from what coracled says; none if there is no such text. */
export function known(key: string, values: Values = {}): string | undefined {
  return key in en ? t(key as Key, values) : undefined;
}
