// What the page shows: its place and its open dialog.
import type { Component } from "svelte";
import ConfirmDialog from "../../components/ConfirmDialog.svelte";

export const SECTIONS = ["dashboard", "containers", "images", "volumes", "networks", "lab", "settings"] as const;
/** The first run is a place too, which the sidebar does not list. */
export type Section = (typeof SECTIONS)[number] | "welcome";

export interface Place {
  readonly section: Section;
  /** The thing that is looked at; none for the list. */
  readonly id?: string | undefined;
  /** Which of its tabs. */
  readonly tab?: string | undefined;
}

/** A component that takes the whole page until it calls `onclose`. */
export interface Dialog {
  readonly component: Component<Record<string, unknown> & { onclose: () => void }>;
  readonly props: Record<string, unknown>;
}

const MOST_STEPS_BACK = 50;

class View {
  place = $state.raw<Place>({ section: "dashboard" });
  dialog = $state.raw<Dialog | undefined>();
  #before: Place[] = [];

  get section(): Section {
    return this.place.section;
  }

  go(section: Section, id?: string, tab?: string): void {
    this.#before = [...this.#before, this.place].slice(-MOST_STEPS_BACK);
    this.place = { section, id, tab };
  }

  /** Another tab of the same thing is no step. */
  turn(tab: string): void {
    this.place = { ...this.place, tab };
  }

  /** To where one came from; to the list if one came from nowhere. */
  back(): void {
    this.place = this.#before.pop() ?? { section: this.section };
  }

  /** Opens a dialog; it replaces one that is open. */
  show<P extends { onclose: () => void }>(component: Component<P>, props: Omit<P, "onclose">): void {
    this.dialog = { component: component as unknown as Dialog["component"], props };
  }

  /** Asks before something that cannot be undone. */
  ask(title: string, body: string, action: string, confirmed: () => void): void {
    this.show(ConfirmDialog, { title, body, action, confirmed });
  }

  close(): void {
    this.dialog = undefined;
  }
}
export const view = new View();
