// Numbers and names as people read them.

/** Making a format costs more than all else in a row; there are few, and they are asked for again and again. */
function kept<Format, Options>(Made: new (language: string, options: Options) => Format) {
  const formats = new Map<string, Format>();
  return (language: string, options: Options): Format => {
    const key = language + JSON.stringify(options);
    const known = formats.get(key) ?? new Made(language, options);
    formats.set(key, known);
    return known;
  };
}
export const numberFormat = kept<Intl.NumberFormat, Intl.NumberFormatOptions>(Intl.NumberFormat);
const relativeFormat = kept<Intl.RelativeTimeFormat, Intl.RelativeTimeFormatOptions>(Intl.RelativeTimeFormat);

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Decimal units, as docker prints them. */
export function bytes(count: number, language: string): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return numberFormat(language, {
    style: "unit",
    unit: UNITS[unit] ?? "byte",
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: digits,
  }).format(value);
}

/** Seconds with one decimal. */
export function seconds(ms: number, language: string): string {
  const options = { style: "unit", unit: "second", unitDisplay: "short" } as const;
  return numberFormat(language, {
    ...options,
    minimumFractionDigits: 1,
    maximumFractionDigits: 1,
  }).format(ms / 1000);
}

const STEPS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function largestUnit(duration: number): readonly [Intl.RelativeTimeFormatUnit, number] {
  return STEPS.find(([, length]) => duration >= length) ?? ["second", 1];
}

/** "3 minutes ago". */
export function ago(thenMs: number, nowMs: number, language: string): string {
  const passed = Math.max(0, (nowMs - thenMs) / 1000);
  const [unit, length] = largestUnit(passed);
  const count = unit === "second" ? 0 : Math.floor(passed / length);
  return relativeFormat(language, { numeric: "auto" }).format(-count, unit);
}

/** "3 min". */
export function span(thenMs: number, nowMs: number, language: string): string {
  const passed = Math.max(0, (nowMs - thenMs) / 1000);
  const [unit, length] = largestUnit(passed);
  return numberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(
    Math.floor(passed / length),
  );
}

/** A digest or id as docker abbreviates it. */
export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12);
