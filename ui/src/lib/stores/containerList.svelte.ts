// How the containers' list is looked at: kept while other pages are.
import { arrange, isUp, type Entry, type Order, type SortKey } from "../format/containers";
import { containers, type ContainerRow } from "./containers.svelte";
import { containerStats } from "./containerStats.svelte";

/** What one expects to see first of a column. */
const DOWN_FIRST: Record<SortKey, boolean> = { name: false, state: false, cpu: true, memory: true };

class ContainerList {
  query = $state("");
  order = $state.raw<Order>({ key: "state", down: false });
  #closed = $state.raw<ReadonlySet<string>>(new Set());
  #picked = $state.raw<ReadonlySet<string>>(new Set());
  #lastPicked: string | undefined;

  readonly entries: readonly Entry<ContainerRow>[] = $derived(
    arrange(containers.all, {
      query: this.query,
      order: this.order,
      closed: this.#closed,
      use: (row, key) => {
        const use = isUp(row) ? containerStats.latest(row.id) : undefined;
        return (key === "cpu" ? use?.cpus : use?.memoryBytes) ?? undefined;
      },
    }),
  );
  readonly #shown = $derived(
    this.entries.flatMap((entry) => (entry.type === "container" ? [entry.container] : entry.open ? [] : entry.members)),
  );
  /** What is picked and shown: nobody acts on what a search hides. */
  readonly picked = $derived(this.#shown.filter(({ id }) => this.#picked.has(id)));
  readonly all = $derived(this.#shown.length > 0 && this.picked.length === this.#shown.length);

  isPicked(id: string): boolean {
    return this.#picked.has(id);
  }

  sort(key: SortKey): void {
    const down = this.order.key === key ? !this.order.down : DOWN_FIRST[key];
    this.order = { key, down };
  }

  fold(project: string): void {
    const closed = new Set(this.#closed);
    if (!closed.delete(project)) closed.add(project);
    this.#closed = closed;
  }

  /** With `range`, all from the one picked before. */
  pick(id: string, picked: boolean, range: boolean): void {
    const ids = this.#shown.map((row) => row.id);
    const [from, to] = [range ? ids.indexOf(this.#lastPicked ?? id) : -1, ids.indexOf(id)];
    const between = from < 0 ? [id] : ids.slice(Math.min(from, to), Math.max(from, to) + 1);
    this.#pickAll(between, picked);
    this.#lastPicked = id;
  }

  pickMembers(members: readonly ContainerRow[], picked: boolean): void {
    this.#pickAll(
      members.map(({ id }) => id),
      picked,
    );
  }

  pickShown(picked: boolean): void {
    this.pickMembers(this.#shown, picked);
  }

  #pickAll(ids: readonly string[], picked: boolean): void {
    const all = new Set(this.#picked);
    for (const id of ids) {
      if (picked) all.add(id);
      else all.delete(id);
    }
    this.#picked = all;
  }
}
export const containerList = new ContainerList();
