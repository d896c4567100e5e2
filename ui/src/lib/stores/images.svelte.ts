// The images that coracled lists, a row per name.
import { matching, nextOrder, rows, sorted, type Column, type ImageRow, type Order } from "../format/images";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

export { rows, type ImageRow } from "../format/images";

/** What of a container's life changes who uses an image. */
const USE = new Set(["create", "destroy", "rename", "start", "die"]);

class Images {
  all = $state.raw<readonly ImageRow[]>([]);
  loaded = $state(false);
  /** Keys of rows with an action under way. */
  busy = $state<Record<string, boolean>>({});
  query = $state("");
  order = $state.raw<Order>({ by: "name", falling: false });
  /** Images, not their names. */
  readonly count = $derived(new Set(this.all.map(({ image }) => image.id)).size);
  readonly shown = $derived(sorted(matching(this.all, this.query), this.order));

  readonly refresh = coalesced(() => this.load());
  /** Containers change often and in crowds; who uses an image may be told a little later. */
  readonly refreshUse = coalesced(() => this.load(), 400);

  async load(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      this.all = rows(await ipc.imagesList());
      this.loaded = true;
    });
  }

  has(reference: string): boolean {
    return this.all.some((row) => row.reference === reference);
  }

  /** The rows of one image, by its id or one of its names. */
  of(image: string): readonly ImageRow[] {
    const id = this.all.find((row) => row.image.id === image || row.reference === image)?.image.id;
    return this.all.filter((row) => row.image.id === id);
  }

  sort(by: Column): void {
    this.order = nextOrder(this.order, by);
  }

  /** Docker's refusal, when force would help or the reader has to do something first; none once it is done. */
  async remove(row: ImageRow, force = false): Promise<string | undefined> {
    this.busy[row.key] = true;
    try {
      await ipc.imageRemove(row.reference, force);
      return undefined;
    } catch (reason) {
      const { code, message } = ipc.failure(reason);
      if (code === "conflict" && !force) return message;
      notices.add(t("error.remove", { name: row.reference }), message);
      return undefined;
    } finally {
      await this.load();
      delete this.busy[row.key];
    }
  }

  /** Gives an image one more name. Failures are the caller's to show. */
  async tag(image: string, reference: string): Promise<void> {
    await ipc.imageTag(image, reference);
    await this.load();
  }

  async untag(reference: string): Promise<void> {
    await notices.attempt(t("error.remove", { name: reference }), () => ipc.imageRemove(reference, false));
    await this.load();
  }

  /** The bytes freed. Failures are the caller's to show. */
  async prune(named: boolean): Promise<number> {
    const freed = await ipc.imagesPrune(named);
    await this.load();
    return freed;
  }
}
export const images = new Images();
onConnected(() => void images.load());
onChange("image", () => images.refresh());
onChange("container", ({ action }) => {
  if (USE.has(action)) images.refreshUse();
});
