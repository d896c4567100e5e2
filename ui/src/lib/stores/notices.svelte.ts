// Messages that wait to be read.
import { failure } from "../ipc";

export interface Notice {
  readonly id: number;
  readonly title: string;
  /** coracled's own words. */
  readonly detail: string;
}

class Notices {
  all = $state<Notice[]>([]);
  #next = 1;

  add(title: string, detail: string): void {
    // The same trouble twice is one message.
    this.all = this.all.filter((notice) => notice.title !== title || notice.detail !== detail);
    this.all.push({ id: this.#next++, title, detail });
    if (this.all.length > 4) this.all.shift();
  }

  dismiss(id: number): void {
    this.all = this.all.filter((notice) => notice.id !== id);
  }

  /** Runs `work`; tells the reader under `title` if it fails. True when it did not. */
  async attempt(title: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (reason) {
      this.add(title, failure(reason).message);
      return false;
    }
  }
}
export const notices = new Notices();
