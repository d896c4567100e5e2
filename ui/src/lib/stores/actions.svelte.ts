// What the command palette offers beside sections and things, and what shortcuts do. Screens register what they can do
// for as long as they are there.
import { untrack } from "svelte";
import { matches } from "../format/shortcut";

export interface Action {
  readonly id: string;
  readonly title: () => string;
  /** Other words that find it, in any language. */
  readonly keywords?: string | undefined;
  /** Such as `Mod+K`, `Alt+ArrowLeft` or `?`; `Mod` is Command on a Mac, Ctrl elsewhere. */
  readonly shortcut?: string | undefined;
  /** Only listed under `?`, not offered in the palette. */
  readonly unlisted?: boolean | undefined;
  readonly run: () => void;
}

class Actions {
  all = $state.raw<readonly Action[]>([]);

  /** The answer takes it away again. The last one registered under an id counts. */
  register(action: Action): () => void {
    // An effect that registers does not depend on what others register.
    const others = (gone: (other: Action) => boolean): Action[] => untrack(() => this.all).filter((other) => !gone(other));
    this.all = [...others(({ id }) => id === action.id), action];
    return () => void (this.all = others((other) => other === action));
  }

  /** Runs the action whose shortcut was pressed. */
  key(event: KeyboardEvent): void {
    if (event.defaultPrevented) return;
    const action = this.all.findLast(({ shortcut }) => shortcut !== undefined && matches(shortcut, event));
    if (!action) return;
    event.preventDefault();
    action.run();
  }
}
export const actions = new Actions();
