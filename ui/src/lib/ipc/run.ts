import type { Drag, RunRequest, Started } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const containerRun = (request: RunRequest): Promise<Started> => invoke("container_run", { request });
/** Files and folders of this computer that are dragged over the window; one listener at a time. */
export const drags = (receive: (drag: Drag) => void): Stream => stream("drags", {}, receive);
