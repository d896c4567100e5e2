import type { Vm, WatchEvent } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const watch = (receive: (event: WatchEvent) => void): Stream => stream("watch", {}, receive);
export const serviceStart = (): Promise<void> => invoke("service_start");
export const vmStart = (): Promise<Vm> => invoke("vm_start");
export const vmStop = (): Promise<Vm> => invoke("vm_stop");
