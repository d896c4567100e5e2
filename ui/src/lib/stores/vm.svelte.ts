// The VM from a person's side: stopping it stops containers, which is asked first; and what it uses, while someone looks.
import type { Vm, VmUsage } from "../bindings";
import type { Tone } from "../../components/types";
import { t, tn } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { containers } from "./containers.svelte";
import { onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { session } from "./session.svelte";
import { view } from "./view.svelte";

/** How far the charts look back. */
const HISTORY_S = 120;

const TONES: Record<Vm["state"], Tone> = {
  off: "idle",
  booting: "warn",
  running: "good",
  stopping: "warn",
  failed: "bad",
  unknown: "idle",
};

/** Why a running VM stands still at present. */
export const halted = (vm: Vm): string | null => (vm.state === "running" ? vm.halted : null);

export const tone = (vm: Vm): Tone => (halted(vm) === null ? TONES[vm.state] : "bad");

export const isMoving = (state: Vm["state"]): boolean => state === "booting" || state === "stopping";

class VirtualMachine {
  /** The last minutes, oldest first; empty while nobody looks. */
  history = $state.raw<readonly VmUsage[]>([]);
  readonly usage = $derived(this.history.at(-1));
  #looking = 0;
  #stream: ipc.Stream | undefined;

  /** Measures until the answer is called. */
  look(): () => void {
    this.#looking += 1;
    if (this.#looking === 1) this.#open();
    return () => {
      this.#looking -= 1;
      if (this.#looking === 0) this.#close();
    };
  }

  /** coracled has been found again, or for the first time. */
  reconnected(): void {
    if (this.#looking === 0) return;
    this.#close();
    this.#open();
  }

  askToStop(): void {
    this.#ask(t("vm.stop.title"), t("action.stop"), () => void session.stopVm());
  }

  askToRestart(): void {
    this.#ask(t("vm.restart.title"), t("action.restart"), () => void session.restartVm());
  }

  #ask(title: string, action: string, act: () => void): void {
    if (containers.running === 0) act();
    else view.ask(title, tn("vm.stop.body", containers.running), action, act);
  }

  #open(): void {
    const stream = ipc.vmUsage((usage) => this.#take(usage));
    this.#stream = stream;
    stream.done.catch((reason: unknown) => {
      // One that is gone with coracled is told elsewhere, and opened anew on connecting.
      if (this.#stream === stream && session.link.state === "connected") {
        notices.add(t("error.usage"), ipc.failure(reason).message);
      }
    });
  }

  #close(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.history = [];
  }

  #take(usage: VmUsage): void {
    const oldest = usage.at_unix_ms - HISTORY_S * 1_000;
    // What another boot used says nothing of this one.
    const same = this.usage?.state === usage.state ? this.history : [];
    this.history = [...same.filter(({ at_unix_ms }) => at_unix_ms >= oldest), usage];
  }
}
export const vm = new VirtualMachine();
onConnected(() => vm.reconnected());
