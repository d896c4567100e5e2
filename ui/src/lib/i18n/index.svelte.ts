// Every text of the page. A key that one language lacks does not compile.
import en from "./en.json";
import zhCN from "./zh-CN.json";

export type Key = keyof typeof en;
export type Values = Record<string, string | number>;
type Counted = Key extends infer K ? (K extends `${infer Stem}.other` ? Stem : never) : never;

const languages: Record<string, { name: string; texts: Record<Key, string> }> = {
  en: { name: "English", texts: en },
  "zh-CN": { name: "简体中文", texts: zhCN },
};
export type Language = "en" | "zh-CN";
export const LANGUAGES: readonly Language[] = ["en", "zh-CN"];

/** The nearest language that there is. */
export function nearest(wanted: readonly string[]): Language {
  return wanted[0]?.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

class I18n {
  language = $state<Language>("en");
}
const i18n = new I18n();

export const language = (): Language => i18n.language;
export const languageName = (language: Language): string => languages[language]?.name ?? language;
export function setLanguage(language: Language): void {
  i18n.language = language;
  document.documentElement.lang = language;
}

export function t(key: Key, values: Values = {}): string {
  const text = languages[i18n.language]?.texts[key] ?? en[key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A text that depends on a number. */
export function tn(stem: Counted, count: number): string {
  const form = new Intl.PluralRules(i18n.language).select(count) === "one" ? "one" : "other";
  return t(`${stem}.${form}` as Key, { count });
}

/** A text whose key is made up from what coracled says; none if there is no such text. */
export function known(key: string): string | undefined {
  return key in en ? t(key as Key) : undefined;
}
