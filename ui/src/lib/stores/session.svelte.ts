// The connection to coracled and the state of its VM, as the shell tells them.
import type { Vm, WatchEvent } from "../bindings";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { changed, connected, disconnected } from "./changes";
import { notices } from "./notices.svelte";

export type Link = { state: "connecting" } | { state: "connected" } | { state: "unreachable"; message: string };

class Session {
  link = $state.raw<Link>({ state: "connecting" });
  vm = $state.raw<Vm>({ state: "unknown" });
  /** When the present boot began. */
  bootBeganMs = $state(0);
  /** Whether lists were ever shown. */
  met = $state(false);
  /** A start or stop asked for here, not yet answered. */
  vmBusy = $state(false);
  serviceBusy = $state(false);

  open(): void {
    ipc.watch((event) => this.receive(event));
  }

  receive(event: WatchEvent): void {
    switch (event.type) {
      case "connecting":
        // Between two tries nothing is known that was not known before.
        if (this.link.state !== "unreachable") this.link = { state: "connecting" };
        break;
      case "connected":
        this.link = { state: "connected" };
        this.met = true;
        connected();
        break;
      case "unreachable":
        disconnected();
        this.link = { state: "unreachable", message: event.message };
        this.vm = { state: "unknown" };
        break;
      case "vm":
        if (event.vm.state === "booting" && this.vm.state !== "booting") {
          this.bootBeganMs = event.vm.since_unix_ms ?? Date.now();
        }
        this.vm = event.vm;
        break;
      case "changed":
        changed(event);
        break;
    }
  }

  async startService(): Promise<void> {
    this.serviceBusy = true;
    await notices.attempt(t("error.service"), ipc.serviceStart);
    this.serviceBusy = false;
  }

  async startVm(): Promise<void> {
    await this.#changeVm(t("error.vmStart"), ipc.vmStart);
  }

  async stopVm(): Promise<void> {
    await this.#changeVm(t("error.vmStop"), ipc.vmStop);
  }

  async restartVm(): Promise<void> {
    await this.#changeVm(t("error.vmRestart"), ipc.vmRestart);
  }

  async #changeVm(title: string, change: () => Promise<Vm>): Promise<void> {
    this.vmBusy = true;
    try {
      await change();
    } catch (reason) {
      // A failed VM says why at its own place.
      if (this.vm.state !== "failed") notices.add(title, ipc.failure(reason).message);
    } finally {
      this.vmBusy = false;
    }
  }
}
export const session = new Session();
