// A session in the C locale calls its language "C", which is no language tag: whatever formats numbers throws at it, uPlot
// as soon as it is loaded. Imported before all else.
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en", configurable: true });
}
