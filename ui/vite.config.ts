import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  // Under Vitest, Svelte's browser build is what the page runs too.
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  build: {
    target: "safari15",
    // The content policy forbids data: fonts and inline code; small files stay files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { environment: "jsdom", include: ["src/**/*.test.ts"] },
}));
