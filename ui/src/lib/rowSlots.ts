// Keys for a virtual list that let a row that scrolls in take over the elements of one that scrolls out: making and dropping
// dozens of rows in each frame keeps the garbage collector busy enough to be seen.

interface Slot {
  readonly number: number;
  index: number;
  /** The last drawing that it was part of. */
  drawing: number;
}

/** Asked once for each row of a drawing, in the order of the list. */
export class RowSlots {
  #slots = new Map<string, Slot>();
  #next = 0;
  #drawing = 0;
  #first = 0;
  #last = -1;
  #length = 0;

  /** The key of the row of `entry`, which lies at `index`. The same as long as it is drawn; no two rows have the same. */
  key(entry: string, index: number): number {
    // A drawing is of rows without a gap.
    if (index !== this.#last + 1 || this.#drawing === 0) this.#begin(index);
    this.#last = index;
    const known = this.#slots.get(entry);
    const number = known?.number ?? this.#leaving() ?? this.#next++;
    this.#slots.set(entry, { number, index, drawing: this.#drawing });
    return number;
  }

  /** What was not part of the last drawing has no elements any more. */
  #begin(index: number): void {
    for (const [entry, slot] of this.#slots) if (slot.drawing !== this.#drawing) this.#slots.delete(entry);
    this.#length = this.#last - this.#first + 1;
    this.#first = index;
    this.#drawing += 1;
  }

  /** Of a row that was drawn last time and cannot be this time, whose length is about the same. */
  #leaving(): number | undefined {
    for (const [entry, { number, index, drawing }] of this.#slots) {
      if (drawing === this.#drawing || (index >= this.#first && index <= this.#first + this.#length)) continue;
      this.#slots.delete(entry);
      return number;
    }
    return undefined;
  }
}

/** Before these elements become another row's: whoever pressed a key did not mean that one. */
export function letGo(row: HTMLElement | undefined): void {
  const focused = document.activeElement;
  if (focused instanceof HTMLElement && row?.contains(focused)) focused.blur();
}
