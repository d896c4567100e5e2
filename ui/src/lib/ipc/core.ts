// How the page calls the shell. Nothing else in the page calls Tauri's core.
import { Channel, invoke } from "@tauri-apps/api/core";
import type { Failure } from "../bindings";

export { invoke };

/** A running command that feeds a channel. */
export interface Stream {
  /** Settles when the command has ended, however it ended. */
  readonly done: Promise<void>;
  close(): void;
}

export function stream<T>(command: string, args: Record<string, unknown>, receive: (event: T) => void): Stream {
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

/** What a command was rejected with; anything that is not the shell's own form becomes one. */
export function failure(reason: unknown): Failure {
  if (typeof reason === "object" && reason !== null && "code" in reason && "message" in reason) {
    return reason as Failure;
  }
  return { code: "other", message: reason instanceof Error ? reason.message : String(reason) };
}
