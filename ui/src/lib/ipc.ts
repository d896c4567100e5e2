// The shell's commands, typed. Nothing else in the page calls Tauri.
import { Channel, invoke } from "@tauri-apps/api/core";
import type {
  Container,
  Failure,
  Image,
  LogEvent,
  PullProgress,
  RunRequest,
  Vm,
  WatchEvent,
} from "./bindings";

/** A running command that feeds a channel. */
export interface Stream {
  /** Settles when the command has ended, however it ended. */
  readonly done: Promise<void>;
  close(): void;
}

function stream<T>(command: string, args: Record<string, unknown>, receive: (event: T) => void): Stream {
  const onEvent = new Channel<T>(receive);
  const done = invoke<void>(command, { ...args, onEvent });
  return {
    done,
    close() {
      onEvent.onmessage = () => {};
      void invoke("stream_close", { channel: onEvent.id });
    },
  };
}

export const watch = (receive: (event: WatchEvent) => void): Stream => stream("watch", {}, receive);
export const serviceStart = (): Promise<void> => invoke("service_start");
export const vmStart = (): Promise<Vm> => invoke("vm_start");
export const vmStop = (): Promise<Vm> => invoke("vm_stop");

export const containersList = (): Promise<Container[]> => invoke("containers_list");
export const containerRun = (request: RunRequest): Promise<string> => invoke("container_run", { request });
export const containerStart = (id: string): Promise<void> => invoke("container_start", { id });
export const containerStop = (id: string): Promise<void> => invoke("container_stop", { id });
export const containerRemove = (id: string, force: boolean): Promise<void> =>
  invoke("container_remove", { id, force });
export const containerLogs = (id: string, tail: number, receive: (event: LogEvent) => void): Stream =>
  stream("container_logs", { id, tail }, receive);

export const imagesList = (): Promise<Image[]> => invoke("images_list");
export const imagePull = (reference: string, receive: (progress: PullProgress) => void): Stream =>
  stream("image_pull", { reference }, receive);
export const imageRemove = (reference: string, force: boolean): Promise<void> =>
  invoke("image_remove", { reference, force });

/** What a command was rejected with; anything that is not the shell's own form becomes one. */
export function failure(reason: unknown): Failure {
  if (typeof reason === "object" && reason !== null && "code" in reason && "message" in reason) {
    return reason as Failure;
  }
  return { code: "other", message: reason instanceof Error ? reason.message : String(reason) };
}
