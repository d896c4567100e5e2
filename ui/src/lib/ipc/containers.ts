import type { Container, ContainerAction, ContainerDetails, IsolationMap, LogEvent, StatsBatch } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const containersList = (): Promise<Container[]> => invoke("containers_list");
export const containerAct = (id: string, action: ContainerAction): Promise<void> =>
  invoke("container_act", { id, action });
export const containerRename = (id: string, name: string): Promise<void> => invoke("container_rename", { id, name });
export const containerRemove = (id: string, force: boolean): Promise<void> =>
  invoke("container_remove", { id, force });
export const containerDetails = (id: string): Promise<ContainerDetails> => invoke("container_details", { id });
export const containerIsolation = (id: string): Promise<IsolationMap> => invoke("container_isolation", { id });

/** The last `tail` lines, then what comes. */
export const containerLogs = (
  id: string,
  tail: number,
  receive: (event: LogEvent) => void,
  timestamps = false,
): Stream => stream("container_logs", { id, tail, timestamps }, receive);
/** Writes all of a container's output to a path that `saveFile` gave. */
export const containerLogsSave = (id: string, path: string, timestamps: boolean): Promise<void> =>
  invoke("container_logs_save", { id, path, timestamps });
/** What all running containers use, once a second. */
export const containersStats = (receive: (batch: StatsBatch) => void): Stream =>
  stream("containers_stats", {}, receive);
