// Messages that wait to be read.
import { failure } from "../ipc";

export interface Notice {
  readonly id: number;
  readonly title: string;
  /** coracled's own words. */
  readonly detail: string;
  readonly kind: "trouble" | "done";
  /** What can be done about it. */
  readonly action?: NoticeAction | undefined;
}

export interface NoticeAction {
  readonly text: string;
  readonly run: () => void;
}

/** Good news goes by itself. */
const DONE_MS = 8_000;

class Notices {
  all = $state<Notice[]>([]);
  #next = 1;

  add(title: string, detail: string): void {
    this.#put({ id: this.#next++, title, detail, kind: "trouble" });
  }

  /** Tells of something that went well. */
  done(title: string, detail = "", action?: NoticeAction): void {
    const id = this.#next++;
    this.#put({ id, title, detail, kind: "done", action });
    setTimeout(() => this.dismiss(id), DONE_MS);
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

  #put(notice: Notice): void {
    // The same trouble twice is one message.
    this.all = this.all.filter(({ title, detail }) => title !== notice.title || detail !== notice.detail);
    this.all.push(notice);
    if (this.all.length > 4) this.all.shift();
  }
}
export const notices = new Notices();
