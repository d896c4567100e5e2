// The images that coracled lists, a row per name.
import type { Image } from "../bindings";
import { shortId } from "../format/text";
import { t } from "../i18n/index.svelte";
import * as ipc from "../ipc";
import { onChange, onConnected } from "./changes";
import { notices } from "./notices.svelte";
import { coalesced } from "./refresh";

export interface ImageRow {
  readonly key: string;
  /** What coracled knows it by. */
  readonly reference: string;
  /** None for an image that lost its last name. */
  readonly name: string | undefined;
  readonly tag: string;
  readonly image: Image;
}

/** A row per name, by name. */
export function rows(list: readonly Image[]): ImageRow[] {
  const all = list.flatMap((image): ImageRow[] => {
    if (image.references.length === 0) {
      return [{ key: image.id, reference: image.id, name: undefined, tag: shortId(image.id), image }];
    }
    return image.references.map((reference) => {
      const colon = reference.lastIndexOf(":");
      const tagged = colon > reference.lastIndexOf("/");
      return {
        key: `${image.id} ${reference}`,
        reference,
        name: tagged ? reference.slice(0, colon) : reference,
        tag: tagged ? reference.slice(colon + 1) : "",
        image,
      };
    });
  });
  // Nameless ones last: they are seldom wanted.
  const nameless = (row: ImageRow): number => (row.name === undefined ? 1 : 0);
  return all.sort(
    (a, b) =>
      nameless(a) - nameless(b) || (a.name ?? "").localeCompare(b.name ?? "") || a.tag.localeCompare(b.tag),
  );
}

class Images {
  all = $state.raw<readonly ImageRow[]>([]);
  loaded = $state(false);
  busy = $state<Record<string, boolean>>({});

  readonly refresh = coalesced(() => this.load());

  async load(): Promise<void> {
    await notices.attempt(t("error.load"), async () => {
      this.all = rows(await ipc.imagesList());
      this.loaded = true;
    });
  }

  has(reference: string): boolean {
    return this.all.some((row) => row.reference === reference);
  }

  async remove(row: ImageRow): Promise<boolean> {
    this.busy[row.key] = true;
    try {
      return await notices.attempt(t("error.remove", { name: row.reference }), () =>
        ipc.imageRemove(row.reference, false),
      );
    } finally {
      await this.load();
      delete this.busy[row.key];
    }
  }
}
export const images = new Images();
onConnected(() => void images.load());
onChange("image", () => images.refresh());
