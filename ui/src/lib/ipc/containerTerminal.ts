// A shell in a container: bytes one way, keys the other.
import { Channel } from "@tauri-apps/api/core";
import type { TerminalEvent, TerminalSize } from "../bindings";
import { invoke, type Stream } from "./core";

export interface TerminalStream extends Stream {
  write(text: string): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
}

export function terminalOpen(
  id: string,
  size: TerminalSize,
  output: (bytes: Uint8Array) => void,
  told: (event: TerminalEvent) => void,
): TerminalStream {
  const onEvent = new Channel<ArrayBuffer | TerminalEvent>((message) => {
    if (message instanceof ArrayBuffer) output(new Uint8Array(message));
    else told(message);
  });
  const channel = onEvent.id;
  // Keys arrive in the order in which they were pressed.
  let last: Promise<void> = Promise.resolve();
  const inOrder = (work: () => Promise<void>): Promise<void> => (last = last.then(work, work));
  return {
    done: invoke<void>("terminal_open", { id, size, onEvent }),
    write: (text) => inOrder(() => invoke("terminal_write", { channel, text })),
    resize: (size) => inOrder(() => invoke("terminal_resize", { channel, size })),
    close() {
      onEvent.onmessage = () => {};
      void invoke("stream_close", { channel });
    },
  };
}
