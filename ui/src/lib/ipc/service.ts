import type { DockerContext, Finding, Vm, WatchEvent } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const watch = (receive: (event: WatchEvent) => void): Stream => stream("watch", {}, receive);
export const serviceStart = (): Promise<void> => invoke("service_start");
export const vmStart = (): Promise<Vm> => invoke("vm_start");
export const vmStop = (): Promise<Vm> => invoke("vm_stop");
export const vmRestart = (): Promise<Vm> => invoke("vm_restart");
/** Forgets which accelerators did not work: the next start tries them again. */
export const vmReprobe = (): Promise<Vm> => invoke("vm_reprobe");
/** What helps and what hinders on this machine. */
export const doctor = (): Promise<Finding[]> => invoke("doctor");
export const dockerContext = (): Promise<DockerContext> => invoke("docker_context");
/** Writes the context, and makes it docker's own choice if `select`. */
export const dockerContextInstall = (select: boolean): Promise<DockerContext> =>
  invoke("docker_context_install", { select });
/** Writes everything that helps to find a fault into the file `path`. */
export const supportBundle = (path: string): Promise<void> => invoke("support_bundle", { path });
