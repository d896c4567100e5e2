// How a container's state is shown, in the list and on its page.
import type { Tone } from "../../components/types";
import { ago, span } from "../../lib/format/text";
import { known, language, t } from "../../lib/i18n/index.svelte";
import { isUp, type ContainerRow } from "../../lib/stores/containers.svelte";

// What a stop by its user leaves: SIGKILL and SIGTERM.
const STOPPED = [0, 137, 143];

export function tone({ state, parsed }: ContainerRow): Tone {
  if (state === "running") return parsed.health === "unhealthy" ? "bad" : parsed.health === "starting" ? "warn" : "good";
  if (isUp({ state })) return "warn";
  return state === "dead" || !STOPPED.includes(parsed.exitCode ?? 0) ? "bad" : "idle";
}

export function stateText({ state, parsed }: ContainerRow): string {
  if (state === "exited" && parsed.exitCode) return t("state.exitedCode", { code: parsed.exitCode });
  return known(`state.${state}`) ?? state;
}

export function ageText(container: ContainerRow, nowMs: number): string | undefined {
  const since = container.parsed.sinceMs;
  if (since === undefined) return undefined;
  return isUp(container) && nowMs - since >= 5_000
    ? t("state.for", { time: span(since, nowMs, language()) })
    : ago(since, nowMs, language());
}

/** "Stop web": for who hears a button without seeing its row. */
export const named = (action: string, { name }: { name: string }): string => t("action.on", { action, name });
