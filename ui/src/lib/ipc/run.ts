import type { RunRequest } from "../bindings";
import { invoke } from "./core";

export const containerRun = (request: RunRequest): Promise<string> => invoke("container_run", { request });
