import type { Container, LogEvent } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const containersList = (): Promise<Container[]> => invoke("containers_list");
export const containerStart = (id: string): Promise<void> => invoke("container_start", { id });
export const containerStop = (id: string): Promise<void> => invoke("container_stop", { id });
export const containerRemove = (id: string, force: boolean): Promise<void> =>
  invoke("container_remove", { id, force });
export const containerLogs = (id: string, tail: number, receive: (event: LogEvent) => void): Stream =>
  stream("container_logs", { id, tail }, receive);
