import type { RunRequest, Started } from "../bindings";
import { invoke } from "./core";

export const containerRun = (request: RunRequest): Promise<Started> => invoke("container_run", { request });
