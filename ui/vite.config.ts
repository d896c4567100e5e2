import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/**
 * The shell freezes `Object.prototype` against whatever might pollute it. Where that is frozen, `toString` cannot be given
 * to an object by assignment, which xterm does once.
 */
const xtermBesideFrozenPrototypes: Plugin = {
  name: "xterm-beside-frozen-prototypes",
  transform(code, id) {
    if (!/@xterm\/(xterm|addon-webgl)\/lib\//.test(id)) return undefined;
    const fitting = code.replace(/(\w+)\.toString=(\w+);/g, 'Object.defineProperty($1,"toString",{value:$2});');
    if (fitting === code) this.error(`${id} assigns no toString any more: this plugin can go`);
    return { code: fitting, map: null };
  },
};

export default defineConfig(({ mode }) => ({
  plugins: [svelte(), xtermBesideFrozenPrototypes],
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
