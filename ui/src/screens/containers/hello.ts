// The first container that anybody runs.
import { runOf } from "../../lib/format/docker-run";
import { containers } from "../../lib/stores/containers.svelte";
import { view } from "../../lib/stores/view.svelte";

/** The image that comes with Coracle. */
export const HELLO = "coracle/hello:latest";

/** Runs it and shows what it says. */
export async function runHello(): Promise<void> {
  view.go("containers", await containers.run(runOf(HELLO)), "logs");
}
