// What the page shows: its section and its open dialog.
export type Section = "containers" | "images";

export type Dialog =
  | { kind: "run"; reference: string }
  | { kind: "confirm"; title: string; body: string; action: string; confirmed: () => void }
  | { kind: "vm-failure" };

class View {
  section = $state<Section>("containers");
  dialog = $state.raw<Dialog | undefined>();

  ask(title: string, body: string, action: string, confirmed: () => void): void {
    this.dialog = { kind: "confirm", title, body, action, confirmed };
  }

  close(): void {
    this.dialog = undefined;
  }
}
export const view = new View();
